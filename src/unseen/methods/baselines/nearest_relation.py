"""Relations that no triple has shown, by those whose texts sound most like theirs."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.sparse import csr_array
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.ontologies import texts_of
from unseen.data.typing import IntArray
from unseen.methods.base import Card, NotFittedError
from unseen.methods.parameters import Positive
from unseen.methods.tails import TailRanker, Triples, among, as_queries, check_range, checked_pairs, split_encoder
from unseen.nn.text_vectors import text_vectors, word_vectors
from unseen.nn.unseen_classes import candidates


class NearestRelation(TailRanker):
    """Answer for a relation with the triples of the seen relations, by how much their texts are like its own [1].

        w_rs = softmax_s(cos(v_r, v_s) / temperature),  v the vectors of texts less their mean over the seen relations

        score(h, r, t) = sum_s w_rs ( [(h, s, t) is known] + share of the triples of s that end in t )

    Nothing is learnt, and nothing but the texts is read of an ontology. A tail that ends no triple has the score 0.

    Parameters
    ----------
    temperature : float, > 0
        How much more the nearest relations count than others.
    generalized : bool
        Whether `predict` may name seen relations, too. `rank` takes any.

    Attributes
    ----------
    heads_, tails_, relations_ : int arrays (n,)
        The known triples; relations by their place among the seen ones.
    weights_ : Tensor (n_relations, n_seen)
        w, rows sum to 1.
    n_entities_ : int
    asked_ : int array (k,)
        The relations that `predict` chooses among.

    References
    ----------
    [1] Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings", ICLR 2014, with the triples
        of relations in the place of embeddings of classes.
    """

    card = Card(
        slug="nearest-relation",
        cost=0.1,
        title="Zero-Shot Learning by Convex Combination of Semantic Embeddings",
        venue="ICLR 2014",
        summary="Rank the tails of a relation without triples by the triples of relations that sound like it.",
        unseen={"classes"},
        modalities={"node"},
        protocols={"zsl", "gzsl"},
        needs=(Triples(),),
        baseline=True,
        notes=(
            "Form and temperature were chosen on the relations of Nations, UMLS and the locales, where `ontozsl` had "
            "been judged before.",
        ),
    )

    reads_entities: ClassVar[bool] = False

    temperature: Positive = 0.1
    generalized: bool = False

    heads_: IntArray = dataclasses.field(init=False)
    tails_: IntArray = dataclasses.field(init=False)
    relations_: IntArray = dataclasses.field(init=False)
    weights_: Float[Tensor, "r s"] = dataclasses.field(init=False)
    n_entities_: int = dataclasses.field(init=False)
    asked_: IntArray = dataclasses.field(init=False)

    def fit(self, *, source: Domain, classes: ClassSpace, encoder: Any = None) -> Self:
        """Keep the triples, and how alike the texts of relations are."""
        for kept in ("_shares", "_of_heads"):
            vars(self).pop(kept, None)
        entities, words = split_encoder(encoder)
        self.asked_ = candidates(source, classes, self.generalized)
        pairs, self.n_entities_ = checked_pairs(source.x, entities)
        seen, relations = np.unique(source.labels, return_inverse=True)
        triples = np.unique(np.column_stack([pairs[:, 0], relations, pairs[:, 1]]), axis=0)  # each is known once
        self.heads_, self.relations_, self.tails_ = triples.T
        known = torch.as_tensor(seen)
        texts = text_vectors(texts_of(classes), word_vectors(words))
        v = F.normalize(texts.vectors - texts.vectors[known].mean(dim=0), dim=1)
        v[torch.as_tensor(~texts.known)] = 0.0  # a text of unknown words is like none
        self.weights_ = torch.softmax(v @ v[known].T / self.temperature, dim=1)
        return self

    def score_tails(self, x: Any) -> Float[Tensor, "n e"]:
        """How much of what is known of such relations says each entity, (n, n_entities)."""
        if "weights_" not in self.fitted:
            raise NotFittedError("this NearestRelation has not been fitted; call fit first")
        queries = as_queries(x, self.n_entities_, len(self.weights_)).numpy()
        w = self.weights_[queries[:, 1]].numpy()
        scores = w @ self._shares
        query, triple = self._of_heads[queries[:, 0]].nonzero()
        np.add.at(scores, (query, self.tails_[triple]), w[query, self.relations_[triple]])
        return torch.as_tensor(scores)

    def decision_function(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n r"]:
        """The same score of each pair (head, tail) for every relation; -1e4 if not asked for."""
        pairs = x.long()
        check_range(pairs, self.n_entities_, "entities")
        heads, tails = pairs.numpy().T
        evidence = self._shares.T[tails].toarray()
        query, triple = self._of_heads[heads].nonzero()
        holds = self.tails_[triple] == tails[query]
        np.add.at(evidence, (query[holds], self.relations_[triple[holds]]), np.float32(1))
        scores = torch.as_tensor(evidence) @ self.weights_.T
        return among(scores, self.asked_)

    @cached_property
    def _shares(self) -> csr_array:
        """Share of the triples of each seen relation that end in an entity, (n_seen, n_entities)."""
        size = self.weights_.shape[1], self.n_entities_
        each = 1 / np.bincount(self.relations_, minlength=size[0])[self.relations_]
        return csr_array((each.astype(np.float32), (self.relations_, self.tails_)), shape=size)

    @cached_property
    def _of_heads(self) -> csr_array:
        """Which triples begin with an entity, (n_entities, n)."""
        n = len(self.heads_)
        return csr_array((np.ones(n, dtype=bool), (self.heads_, np.arange(n))), shape=(self.n_entities_, n))
