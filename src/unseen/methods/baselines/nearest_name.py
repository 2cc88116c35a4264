"""The nodes of a taxonomy whose names sound most like a phrase."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import IntArray
from unseen.data.words import fold
from unseen.methods.base import UNKNOWN, Card
from unseen.methods.parameters import NonNegative
from unseen.methods.phrases import PhraseMapper, Ranked, competing
from unseen.nn.text_vectors import text_vectors, word_vectors

TOGETHER = 128
"""Phrases that are compared with all names at once."""
NOTHING = -1.0
"""Score of a node without a name: below all that a name can have."""


class NearestName(PhraseMapper):
    """Rank nodes by their most similar name: the cosine of vectors, and of the weighted trigrams of letters [1, 2].

        score(phrase, node) = max over names of (cos(vectors) + letters * cos(trigrams)) / (1 + letters)

    Nothing is learnt, so a node without a name is never found before one that has one.

    Parameters
    ----------
    letters : float, >= 0
        Weight of the trigrams, which know what vectors do not: abbreviations, codes, misspelt and rare words.

    Attributes
    ----------
    phrases_ : array of str (m,)
        The names, those of a node beside each other.
    places_ : int array (m,)
        The node of each.
    vectors_ : Tensor (m, d)
        Unit vectors; a name without a known word has zeros.
    nodes_count_ : int

    References
    ----------
    [1] Reimers and Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP 2019.
    [2] Salton and Buckley, "Term-weighting approaches in automatic text retrieval", IPM 1988; by scikit-learn.
    """

    card = Card(
        slug="nearest-name",
        cost=0.1,
        title="Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks",
        venue="EMNLP 2019",
        summary="Map any phrase to the concepts whose names sound most like it.",
        unseen={"classes"},
        modalities={"text"},
        protocols={"closed", "zsl", "gzsl"},
        at_prediction={"letters"},
        baseline=True,
        notes=(
            "The weight of the trigrams and their length were chosen on abbreviated titles of two chapters of "
            "ICD-9-CM, synonyms of HPO and synonyms of WordNet.",
        ),
    )
    reads_whole: ClassVar[bool] = True

    letters: NonNegative = 0.5

    phrases_: NDArray[np.str_] = dataclasses.field(init=False)
    places_: IntArray = dataclasses.field(init=False)
    vectors_: Tensor = dataclasses.field(init=False)
    nodes_count_: int = dataclasses.field(init=False)

    def fit(self, *, source: Domain, classes: ClassSpace, encoder: Any = None) -> Self:
        """Read the names, and whatever else is known to mean a node."""
        if not any(str(text).strip() for text in source.x):
            raise ValueError("source must hold phrases with their nodes; it has none that says anything")
        vars(self).pop("_trigrams", None)
        order = np.argsort(source.labels, kind="stable")
        self.words_ = word_vectors(encoder)
        self.phrases_ = np.array([fold(str(text)) for text in source.x[order]], dtype=np.str_)
        self.places_, self.nodes_count_ = source.labels[order].astype(np.int64), len(classes)
        self.vectors_, self.skipped_ = text_vectors(source.x[order].tolist(), self.words_)
        self.left_out_ = 0
        return self

    def transform(self, x: Any) -> Float[Tensor, "n d"]:
        """The mean vector of the words of each phrase, (n, d), of unit length; zeros where no word is known."""
        return text_vectors([str(text) for text in x], self.words_).vectors

    def decision_function(self, x: Any) -> Float[Tensor, "n c"]:
        """The score of every node, (n, n_classes); -1 for one without a name."""
        starts = np.flatnonzero(np.diff(self.places_, prepend=-1))
        out = torch.full((len(x), self.nodes_count_), NOTHING)
        named = torch.as_tensor(self.places_[starts])
        for start in range(0, len(x), TOGETHER):
            scores = np.maximum.reduceat(self._of_names(x[start : start + TOGETHER]), starts, axis=1)
            out[start : start + TOGETHER, named] = torch.from_numpy(scores)
        return out

    def rank(self, x: Any, k: int = 10, within: Any = None) -> Ranked:
        """The k nodes with the most similar names; `UNKNOWN` where no name shares a word, or three letters."""
        candidates = competing(within, self.nodes_count_, k)
        k, nodes, scores = min(k, len(candidates)), [], []
        for start in range(0, len(x), TOGETHER):
            similarity = self.decision_function(x[start : start + TOGETHER])[:, torch.as_tensor(candidates)]
            unlike = ((similarity == 0) | (similarity == NOTHING)).all(dim=1).numpy()
            best = similarity.topk(k)
            nearest = candidates[best.indices.numpy()]
            nearest[unlike] = UNKNOWN
            nearest[best.values.numpy() == NOTHING] = UNKNOWN  # where fewer have a name
            nodes.append(nearest)
            scores.append(best.values.numpy())
        return Ranked(np.concatenate(nodes), np.concatenate(scores))

    # -- names -----------------------------------------------------------------------------------------------

    def _of_names(self, x: Any) -> NDArray[np.float32]:
        """The score of every name, (n, m)."""
        near = (self.transform(x) @ self.vectors_.T).numpy()
        if not self.letters:
            return near
        trigrams, weighted = self._trigrams
        shared = trigrams.transform([fold(str(text)) for text in x]) @ weighted.T
        return np.asarray((near + self.letters * shared.toarray()) / (1 + self.letters), dtype=np.float32)

    @cached_property
    def _trigrams(self) -> tuple[Any, Any]:
        """What counts the trigrams within words, and the weighted ones of all names, (m, v)."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), sublinear_tf=True, dtype=np.float32)
        return vectorizer, vectorizer.fit_transform(self.phrases_.tolist())
