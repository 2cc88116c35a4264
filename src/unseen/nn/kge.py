"""Vectors of a knowledge graph: TransE and DistMult by self-adversarial negative sampling.

Bordes et al., "Translating Embeddings for Modeling Multi-relational Data", NeurIPS 2013; Yang et al., "Embedding
Entities and Relations for Learning and Inference in Knowledge Bases", ICLR 2015; Sun et al., "RotatE", ICLR 2019 (the
loss, the weights, the initial range).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.train import Run, train

Side = Literal["head", "tail"]
EPSILON = 2.0
"""Added to gamma in the range of initial values."""


def transe_score(
    h: Float[Tensor, "*#b d"], r: Float[Tensor, "*#b d"], t: Float[Tensor, "*#b d"], gamma: float = 12.0
) -> Float[Tensor, "*b"]:
    """gamma - ||h + r - t||_1."""
    return gamma - (h + r - t).abs().sum(dim=-1)


def distmult_score(
    h: Float[Tensor, "*#b d"], r: Float[Tensor, "*#b d"], t: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*b"]:
    """<h, r, t>, the sum of the products of the three."""
    return (h * r * t).sum(dim=-1)


def self_adversarial_loss(
    positive: Float[Tensor, " b"],
    negative: Float[Tensor, "b n"],
    weight: Float[Tensor, " b"] | None = None,
    temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """-(log sigma(f) + sum_i p_i log sigma(-f_i)) / 2, p = softmax(temperature f_i) without gradient; mean by weight.

    A temperature of 0 weighs all negatives alike.
    """
    p = torch.softmax(temperature * negative.detach(), dim=1)
    loss = F.softplus(-positive) + (p * F.softplus(negative)).sum(dim=1)
    weight = torch.ones_like(positive) if weight is None else weight
    return 0.5 * (weight * loss).sum() / weight.sum()


def subsampling_weights(triples: NDArray[np.integer[Any]], start: int = 4) -> Float[Tensor, " m"]:
    """1 / sqrt(freq(h, r) + freq(r, t)) of each triple; both counts begin at `start`, as in the code of RotatE."""
    triples = np.asarray(triples)
    count = np.zeros(len(triples))
    for ends in (triples[:, [0, 1]], triples[:, [1, 2]]):
        _, place, frequency = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
        count += frequency[place.reshape(-1)] + start - 1
    return torch.as_tensor(count**-0.5, dtype=torch.float32)


class Corruption:
    """Other ends for triples, drawn uniformly among those that make no triple that is known.

    Parameters
    ----------
    triples : int array (m, 3)
        All that is known: none of them is ever made.
    n : int
        Number of entities.
    """

    def __init__(self, triples: NDArray[np.integer[Any]], n: int) -> None:
        self.n = n
        self._sides = {"head": _Allowed(triples[:, [1, 2]], triples[:, 0], n),
                       "tail": _Allowed(triples[:, [0, 1]], triples[:, 2], n)}  # fmt: skip

    def able(self, triples: NDArray[np.integer[Any]], side: Side) -> NDArray[np.bool_]:
        """Which triples have at least one other end that is not known."""
        return self._sides[side].count(_kept(triples, side)) > 0

    def draw(
        self, triples: NDArray[np.integer[Any]], k: int, side: Side, generator: torch.Generator
    ) -> Int[Tensor, "b k"]:
        """`k` other heads or tails of each triple.

        Raises
        ------
        ValueError
            If a triple has none; ask `able` first.
        """
        kept, among = _kept(triples, side), self._sides[side]
        count = among.count(kept)
        if len(count) and not count.min():
            raise ValueError(f"every {side} of triple {triples[int(count.argmin())].tolist()} makes a known triple")
        u = torch.rand(len(triples), k, generator=generator, dtype=torch.float64).numpy()
        rank = np.minimum((u * count[:, None]).astype(np.int64), count[:, None] - 1)
        return torch.as_tensor(among.pick(kept, rank))


def _kept(triples: NDArray[np.integer[Any]], side: Side) -> NDArray[np.int64]:
    """The two entries that stay when the other end is drawn."""
    return np.asarray(triples, dtype=np.int64)[:, [1, 2] if side == "head" else [0, 1]]


class _Allowed:
    """For each key the entities that it is not seen with, by their rank among those."""

    def __init__(self, keys: NDArray[Any], values: NDArray[Any], n: int) -> None:
        rows = np.unique(np.column_stack([keys, values]).astype(np.int64), axis=0)
        self.n, self._span = n, int(rows[:, :2].max(initial=0)) + 1
        flat = rows[:, 0] * self._span + rows[:, 1]
        self._keys, self._first, counts = np.unique(flat, return_index=True, return_counts=True)
        self._found = counts
        owner = np.repeat(np.arange(len(counts)), counts)
        rank = np.arange(len(rows)) - self._first[owner]
        self._skips = owner * (n + 1) + rows[:, 2] - rank

    def _owner(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        flat = keys[:, 0] * self._span + keys[:, 1]
        flat = np.where((keys < self._span).all(axis=1), flat, -1)
        owner = np.minimum(np.searchsorted(self._keys, flat), max(len(self._keys) - 1, 0))
        return owner, self._keys[owner] == flat if len(self._keys) else np.zeros(len(keys), dtype=bool)

    def count(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many entities are allowed beside each key."""
        owner, held = self._owner(keys)
        return self.n - np.where(held, self._found[owner] if len(self._found) else 0, 0)

    def pick(self, keys: NDArray[np.int64], rank: NDArray[np.int64]) -> NDArray[np.int64]:
        """The entity of each rank among those allowed."""
        owner, held = self._owner(keys)
        place = np.broadcast_to(owner[:, None], rank.shape)
        passed = np.searchsorted(self._skips, place * (self.n + 1) + rank, side="right") - self._first[place]
        return rank + np.where(held[:, None], passed, 0)


class GraphVectors(nn.Module):
    """A vector per entity and per relation, uniform in +-(gamma + 2) / dim at the start."""

    def __init__(self, n_entities: int, n_relations: int, dim: int, gamma: float, model: str) -> None:
        super().__init__()
        self.gamma, self.model = gamma, model
        reach = (gamma + EPSILON) / dim
        self.entities = nn.Parameter(torch.empty(n_entities, dim).uniform_(-reach, reach))
        self.relations = nn.Parameter(torch.empty(n_relations, dim).uniform_(-reach, reach))

    def score(self, h: Int[Tensor, "*#b"], r: Int[Tensor, "*#b"], t: Int[Tensor, "*#b"]) -> Float[Tensor, "*b"]:
        """f(h, r, t), larger for what is likelier."""
        vectors = F.embedding(h, self.entities), F.embedding(r, self.relations), F.embedding(t, self.entities)
        return distmult_score(*vectors) if self.model == "distmult" else transe_score(*vectors, gamma=self.gamma)


@builder("graph-vectors")
def graph_vectors(
    n_entities: int, n_relations: int, dim: int, gamma: float = 12.0, model: str = "transe"
) -> GraphVectors:
    """A `GraphVectors` that has learnt nothing yet."""
    return GraphVectors(n_entities, n_relations, dim, gamma, model)


class Corrupted(NamedTuple):
    """Triples with other ends: which are corrupted on which side."""

    triples: Int[Tensor, "b 3"]
    others: Int[Tensor, "b k"]
    weight: Float[Tensor, " b"]
    head: bool


def alternating(
    triples: NDArray[np.integer[Any]], corruption: Corruption, size: int, negatives: int, weight: Float[Tensor, " m"]
) -> Callable[[Run], Iterator[Corrupted]]:
    """Batches without end, of tails and of heads corrupted in turn, each side in a fresh order per pass."""
    sides: tuple[Side, Side] = ("tail", "head")
    able = {side: np.flatnonzero(corruption.able(triples, side)) for side in sides}
    sides = tuple(side for side in sides if len(able[side]))  # type: ignore[assignment]
    if not sides:
        raise ValueError("triples must leave something out: every corrupted triple is known, too")

    def one_side(side: Side, run: Run) -> Iterator[Corrupted]:
        while True:
            order = able[side][torch.randperm(len(able[side]), generator=run.generator).numpy()]
            for start in range(0, len(order), size):
                index = order[start : start + size]
                others = corruption.draw(triples[index], negatives, side, run.generator)
                yield Corrupted(torch.as_tensor(triples[index]), others, weight[torch.as_tensor(index)], side == "head")

    def stream(run: Run) -> Iterator[Corrupted]:
        streams = [one_side(side, run) for side in sides]
        while True:
            for source in streams:
                yield next(source)

    return stream


def train_graph_vectors(
    triples: NDArray[np.integer[Any]],
    n_entities: int,
    n_relations: int,
    *,
    dim: int = 64,
    gamma: float = 12.0,
    model: Literal["transe", "distmult"] = "transe",
    negatives: int = 64,
    temperature: float = 1.0,
    subsampling: bool = True,
    steps: int = 2000,
    batch_size: int = 256,
    learning_rate: float = 1e-2,
    name: str = "kge",
) -> GraphVectors:
    """Learn a vector per entity and relation from triples.

    Parameters
    ----------
    triples : int array (m, 3)
        Head, relation, tail.
    n_entities, n_relations : int
        An entity in no triple keeps a vector that was only pushed away from others.
    dim, gamma : int and float
        Values of a vector; the margin of TransE, which also sets the initial range.
    model : {"transe", "distmult"}
    negatives, temperature : int and float
        Corrupted triples for each, and how much the likely ones among them count more.
    subsampling : bool
        Weigh triples of frequent pairs down.
    steps, batch_size, learning_rate
        Of Adam; heads and tails are corrupted in turn.
    name : str
        Of the stage.

    Raises
    ------
    ValueError
        If there is no triple, or every corrupted triple is known.
    """
    triples = np.asarray(triples, dtype=np.int64)
    if not len(triples):
        raise ValueError("triples must hold at least one triple; it is empty")
    weight = subsampling_weights(triples) if subsampling else torch.ones(len(triples))
    batches = alternating(triples, Corruption(triples, n_entities), batch_size, negatives, weight)
    vectors = graph_vectors(n_entities, n_relations, dim, gamma, model)

    def objective(batch: Corrupted, run: Run) -> Tensor:
        h, r, t = batch.triples.T
        positive = vectors.score(h, r, t)
        if batch.head:
            negative = vectors.score(batch.others, r[:, None], t[:, None])
        else:
            negative = vectors.score(h[:, None], r[:, None], batch.others)
        return self_adversarial_loss(positive, negative, batch.weight, temperature)

    train(
        objective,
        name=name,
        nets={"vectors": vectors},
        optimizers={"adam": torch.optim.Adam(vectors.parameters(), lr=learning_rate, fused=True)},
        batches=batches,
        epochs=1,
        steps_per_epoch=steps,
    )
    return vectors.cpu().eval()
