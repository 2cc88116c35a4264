"""Pairs to learn from: a support and a query of one class, or of two, in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

NOWHERE = -1
"""The support that a query is a copy of, where it is of none of them."""


class PairBatch(NamedTuple):
    """Maps of supports and queries, and whether both are of one class; with their places."""

    support: Float[Tensor, "b t c"]
    query: Float[Tensor, "b t c"]
    same: Float[Tensor, " b"]
    places: Int[Tensor, "b 2"]


class Pool(NamedTuple):
    """Maps, classes, and which support each is (a copy of): `NOWHERE` for none."""

    maps: Float[Tensor, "n t c"]
    y: Int[Tensor, " n"]
    origin: Int[Tensor, " n"]


def askable(support: Int[Tensor, " n"], query: Int[Tensor, " q"], origin: Int[Tensor, " q"]) -> Int[Tensor, " m"]:
    """Places of the queries that have a partner: another picture of their class among the supports; from labels."""
    largest = int(torch.cat([support, query]).max()) + 1
    others = torch.bincount(support, minlength=largest)[query] - (origin != NOWHERE).long()
    return torch.nonzero(others > 0).flatten()


def pair_batches(support: Pool, query: Pool, size: int) -> Callable[[Any], Iterator[PairBatch]]:
    """Step 2: in shuffled passes over the queries, each at an even place gets a support of its class, each at an odd
    place one of another class, which is drawn first.

    A query never meets the picture that it is (a copy of) as a positive. There is no last batch.

    Parameters
    ----------
    support, query : Pool
    size : int
        Pairs of a batch; an even number.

    Raises
    ------
    ValueError
        If no class has two pictures, or there is one class alone.
    """
    members = {int(label): torch.nonzero(support.y == label).flatten() for label in torch.unique(support.y)}
    usable = askable(support.y, query.y, query.origin)
    if not len(usable) or len(members) < 2:
        raise ValueError(
            "source must have two samples of a class, to be a pair, and two classes; "
            f"it has {len(support.y)} samples of {len(members)} classes"
        )
    labels = torch.tensor(sorted(members))
    place = torch.zeros(len(support.y), dtype=torch.long)  # of each support among those of its class
    for rows in members.values():
        place[rows] = torch.arange(len(rows))

    def partner(q: int, same: bool, drawn: list[float]) -> int:
        label, origin = int(query.y[q]), int(query.origin[q])
        if same:
            rows = members[label]
            if origin == NOWHERE:
                return int(rows[int(drawn[1] * len(rows))])
            other = int(drawn[1] * (len(rows) - 1))
            return int(rows[other + (other >= int(place[origin]))])
        others = labels[labels != label]
        rows = members[int(others[int(drawn[0] * len(others))])]
        return int(rows[int(drawn[1] * len(rows))])

    def stream(run: Any) -> Iterator[PairBatch]:
        left = usable[:0]
        while True:
            while len(left) < size:
                left = torch.cat([left, usable[torch.randperm(len(usable), generator=run.generator)]])
            queries, left = left[:size], left[size:]
            drawn = torch.rand(size, 2, generator=run.generator, dtype=torch.float64).tolist()
            same = torch.arange(size) % 2 == 0
            draws = zip(queries.tolist(), same.tolist(), drawn)
            supports = torch.tensor([partner(q, positive, numbers) for q, positive, numbers in draws])
            places = torch.stack([supports, queries], dim=1)
            yield PairBatch(support.maps[supports], query.maps[queries], same.float(), places)

    return stream
