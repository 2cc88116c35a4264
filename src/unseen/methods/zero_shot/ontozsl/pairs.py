"""Step 8: features of pairs of entities, from their vectors and those of their neighbours, learnt by matching."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.kge import Corruption
from unseen.nn.train import Run, train

NOBODY = -1
"""In the place of a neighbour that an entity does not have."""
BLOCK = 4096
"""Pairs that are worked on at once."""


class PairEncoder(nn.Module):
    """x = block([u(h) || tanh(W_1 e_h) || tanh(W_2 e_t) || u(t)]), u(e) = tanh(mean over neighbours of W e').

    The block is LayerNorm(x + W_4 relu(W_3 x)). Vectors of entities are frozen: they, and the means of those of their
    neighbours, are buffers (e, d).
    """

    entities: Tensor
    surroundings: Tensor

    def __init__(self, n_entities: int, width: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("entities", torch.zeros(n_entities, width))
        self.register_buffer("surroundings", torch.zeros(n_entities, width))
        half = dim // 2
        self.near, self.head, self.tail = (nn.Linear(width, half) for _ in range(3))
        self.inner, self.outer = nn.Linear(4 * half, 8 * half), nn.Linear(8 * half, 4 * half)
        self.norm, self.dropout = nn.LayerNorm(4 * half), nn.Dropout(dropout)

    @property
    def n_features(self) -> int:
        """Values of a pair's feature."""
        return self.outer.out_features

    def know(self, entities: Float[Tensor, "e d"], neighbours: Int[Tensor, "e k"]) -> None:
        """Take the vectors of the entities and who their neighbours are; the mean of none is 0."""
        there = (neighbours != NOBODY)[:, :, None]
        near = (entities[neighbours.clamp(min=0)] * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)
        self.entities, self.surroundings = entities, near

    def around(self, entity: Int[Tensor, "*b"]) -> Float[Tensor, "*b h"]:
        """u(e): what the neighbours of an entity are."""
        return torch.tanh(self.near(self.surroundings[entity]))

    def forward(self, pairs: Int[Tensor, "*b 2"]) -> Float[Tensor, "*b f"]:
        """The feature of each pair (head, tail)."""
        h, t = pairs[..., 0], pairs[..., 1]
        pair = torch.cat([self.head(self.entities[h]), self.tail(self.entities[t])], dim=-1)
        x = torch.cat([self.around(h), torch.tanh(pair), self.around(t)], dim=-1)
        return self.norm(x + self.dropout(self.outer(F.relu(self.inner(x)))))


@builder("entity-pairs")
def entity_pairs(n_entities: int, width: int, dim: int = 100, dropout: float = 0.2) -> PairEncoder:
    """A `PairEncoder` that knows neither vectors nor neighbours yet; `dim` is even."""
    return PairEncoder(n_entities, width, dim, dropout)


def neighbour_lists(
    pairs: Int[np.ndarray, "n 2"], n_entities: int, most: int, random_state: int = 0
) -> Int[Tensor, "e k"]:
    """The entities that stand in a pair with each, in any place; of more than `most`, some at random."""
    both = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)
    both = both[both[:, 0] != both[:, 1]]
    both = both[np.random.default_rng(random_state).permutation(len(both))]
    both = both[np.argsort(both[:, 0], kind="stable")]
    count = np.bincount(both[:, 0], minlength=n_entities)
    rank = np.arange(len(both)) - np.repeat(np.cumsum(count) - count, count)
    out = np.full((n_entities, most), NOBODY, dtype=np.int64)
    some = rank < most
    out[both[some, 0], rank[some]] = both[some, 1]
    return torch.as_tensor(out)


class Matching(NamedTuple):
    """For each of some relations: support pairs, query pairs, and the queries with another tail."""

    support: Int[Tensor, "r s 2"]
    query: Int[Tensor, "r q 2"]
    wrong: Int[Tensor, "r q 2"]


def matching_loss(net: PairEncoder, batch: Matching, margin: float) -> Float[Tensor, ""]:
    """mean max(0, margin - <s, x> + <s, x'>): s the mean support feature, x a query, x' with another tail."""
    s = net(batch.support).mean(dim=1)[:, :, None]
    right, wrong = (net(pairs) @ s for pairs in (batch.query, batch.wrong))
    return F.relu(margin - right + wrong).mean()


def matchings(
    pairs: Int[np.ndarray, "n 2"],
    y: Int[np.ndarray, " n"],
    corruption: Corruption,
    *,
    relations: int,
    support: int,
    query: int,
) -> Callable[[Run], Iterator[Matching]]:
    """Batches without end of a few relations each. No query is in the support of its relation, if that has two pairs.

    Raises
    ------
    ValueError
        If every other tail of every pair is known, too.
    """
    triples = np.column_stack([pairs[:, 0], y, pairs[:, 1]])
    able = corruption.able(triples, "tail")
    members = [np.flatnonzero(y == r) for r in np.unique(y)]
    members = [group for group in members if able[group].any()]
    if not members:
        raise ValueError("source must leave something out: every tail of every pair is known")

    def one(rows: Int[np.ndarray, " n"], run: Run) -> list[Tensor]:
        order = rows[torch.randperm(len(rows), generator=run.generator).numpy()]
        can = order[able[order]]
        query_rows = can[: max(1, len(can) // 2)]
        rest = np.setdiff1d(order, query_rows, assume_unique=True)
        chosen = [_some(query_rows, query, run), _some(rest if len(rest) else order, support, run)]
        wrong = corruption.draw(triples[chosen[0]], 1, "tail", run.generator)
        queries = torch.as_tensor(pairs[chosen[0]])
        return [torch.as_tensor(pairs[chosen[1]]), queries, torch.cat([queries[:, :1], wrong], dim=1)]

    def stream(run: Run) -> Iterator[Matching]:
        while True:
            drawn = torch.randperm(len(members), generator=run.generator)[:relations].tolist()
            yield Matching(*map(torch.stack, zip(*(one(members[i], run) for i in drawn))))

    return stream


def _some(members: Int[np.ndarray, " n"], n: int, run: Run) -> Int[np.ndarray, " k"]:
    """`n` members at random: each once, as far as they go, then again."""
    order = [torch.randperm(len(members), generator=run.generator) for _ in range(-(-n // len(members)))]
    return members[torch.cat(order)[:n].numpy()]


def pretrain(
    net: PairEncoder,
    batches: Callable[[Run], Iterator[Matching]],
    *,
    margin: float = 10.0,
    steps: int = 1000,
    learning_rate: float = 5e-4,
) -> PairEncoder:
    """Train the extractor so that pairs of one relation match, and freeze it."""

    def objective(batch: Matching, run: Run) -> Tensor:
        return matching_loss(net, batch, margin)

    train(
        objective,
        name="ontozsl-pairs",
        nets={"pairs": net},
        optimizers={"adam": torch.optim.Adam(net.parameters(), lr=learning_rate, fused=True)},
        batches=batches,
        epochs=1,
        steps_per_epoch=steps,
    )
    return net.cpu().eval().requires_grad_(False)


@torch.no_grad()
def features_of(net: PairEncoder, pairs: Int[Tensor, "n 2"]) -> Float[Tensor, "n f"]:
    """Features of pairs, in blocks."""
    return torch.cat([net(block) for block in torch.split(pairs, BLOCK)])
