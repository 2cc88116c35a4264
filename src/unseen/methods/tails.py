"""What ranks the tails of relations: for a head and a relation that no triple has shown, the entities that fit."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unseen.data.domain import Domain
from unseen.data.typing import IntArray
from unseen.data.words import WordVectors
from unseen.methods.base import Method, as_input
from unseen.methods.needs import Given, Need
from unseen.methods.verbs import gives
from unseen.nn.softmax import NEVER


class Ranked(NamedTuple):
    """The k likeliest tails of each query, the best first: entities (n, k) and scores (n, k)."""

    tails: Int[np.ndarray, "n k"]
    scores: Float[np.ndarray, "n k"]


class TailRanker(Method):
    """What all methods have that rank tails: `fit` takes pairs of entities labelled with relations, and the relations.

    `source` is of kind node: x holds pairs (head, tail), (n, 2), y their relations, indices of `classes`; `encoder` may
    be vectors of the entities, word vectors, or a tuple of both. `unseen complete` takes any subclass, those of other
    packages, too.
    """

    reads_entities: ClassVar[bool] = True
    """Whether vectors of entities make a difference."""

    @gives("ranking")
    def rank(self, x: Any, k: int = 10, within: Any = None) -> Ranked:
        """The k likeliest tails of each query (head, relation), (n, 2).

        Parameters
        ----------
        x : int array (n, 2)
        k : int, >= 1
            At most as many as there are entities; where fewer compete, -1 with a score of -inf follows.
        within : bool array (e,) or (n, e), optional
            The entities that compete: of the right type, or not known to be tails already; all if absent.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1; got {k}")
        scores = self.score_tails(x)
        if within is not None:
            compete = np.asarray(within, dtype=bool)
            shapes = tuple(scores.shape), (scores.shape[1],)
            if compete.shape not in shapes:
                raise ValueError(f"within must be of shape {shapes[0]} or {shapes[1]}; got {compete.shape}")
            compete = np.broadcast_to(compete, scores.shape)
            scores = torch.where(torch.as_tensor(compete.copy()), scores, torch.full_like(scores, -torch.inf))
        best = scores.sort(dim=1, descending=True, stable=True)
        k = min(k, scores.shape[1])
        tails = torch.where(best.values == -torch.inf, -1, best.indices)
        return Ranked(tails[:, :k].numpy(), best.values[:, :k].numpy())

    def score_tails(self, x: Any) -> Float[Tensor, "n e"]:
        """How likely every entity is as the tail of each query (head, relation); what a score means is the method's."""
        raise TypeError(f"{type(self).__name__} scores no tails")


def among(scores: Float[Tensor, "n r"], asked: IntArray) -> Float[Tensor, "n r"]:
    """Scores of relations, -1e4 of those that are not asked for."""
    allowed = torch.as_tensor(np.isin(np.arange(scores.shape[1]), asked))
    return torch.where(allowed, scores, torch.full_like(scores, NEVER))


def as_queries(x: Any, n_entities: int, n_relations: int) -> Int[Tensor, "n 2"]:
    """Queries (head, relation), checked.

    Raises
    ------
    ValueError
        If they are no integers, or name what there is not.
    """
    queries = as_input(x, 2)
    if not torch.equal(queries, queries.round()):
        raise ValueError("x must hold pairs of a head and a relation, as integers")
    queries = queries.long()
    check_range(queries[:, 0], n_entities, "heads")
    check_range(queries[:, 1], n_relations, "relations")
    return queries


def check_range(index: Int[Tensor, "*b"], n: int, what: str) -> None:
    """Raise `ValueError` if x names something outside [0, n)."""
    if len(index) and (index.min() < 0 or index.max() >= n):
        raise ValueError(f"x must name {what} in [0, {n}); got {int(index.min())}..{int(index.max())}")


def checked_pairs(x: Any, entities: Float[Tensor, "e d"] | None = None) -> tuple[Int[np.ndarray, "n 2"], int]:
    """Pairs of entities (n, 2) as integers, and how many entities there are: as many as have vectors, or are named.

    Raises
    ------
    ValueError
        If they are no pairs of integers, or name an entity without a vector.
    """
    pairs = np.asarray(x)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or (pairs != np.round(pairs)).any():
        raise ValueError(f"source must hold pairs of entities, integers of shape (n, 2); got {pairs.shape}")
    pairs = pairs.astype(np.int64)
    n = int(pairs.max()) + 1 if entities is None else len(entities)
    if pairs.min() < 0:
        raise ValueError(f"source must name entities by numbers from 0 on; got {pairs.min()}")
    if pairs.max() >= n:
        raise ValueError(f"encoder must have a vector for each entity; source names {pairs.max()}, and there are {n}")
    return pairs, n


def split_encoder(encoder: Any) -> tuple[Tensor | None, WordVectors | None]:
    """Vectors of entities and of words from what was given.

    Raises
    ------
    TypeError
        If it is neither an array, nor a `WordVectors`, nor a tuple of both.
    ValueError
        If vectors of entities are not finite or of shape (e, d).
    """
    parts = encoder if isinstance(encoder, tuple) else (encoder,)
    entities: Tensor | None = None
    words: WordVectors | None = None
    for part in parts:
        if isinstance(part, WordVectors):
            words = part
        elif isinstance(part, (np.ndarray, Tensor)):
            entities = torch.as_tensor(part).float()
            if entities.ndim != 2 or not torch.isfinite(entities).all():
                raise ValueError(f"encoder must be finite, of shape (e, d); got {tuple(entities.shape)}")
        elif part is not None:
            raise TypeError(f"encoder must be vectors of entities, a WordVectors or both; got {type(part).__name__}")
    return entities, words


@dataclasses.dataclass(frozen=True)
class Triples(Need):
    """A `source` of pairs of entities with their relations (`unseen.data.sources.graphs.Graph.pairs`)."""

    def lacks(self, given: Given) -> str | None:
        """Return that the source holds no pairs of entities."""
        source = given.inputs.get("source")
        if not isinstance(source, Domain) or (source.kind == "node" and np.ndim(source.x) == 2):
            return None
        return "needs the triples of a knowledge graph: unseen complete"
