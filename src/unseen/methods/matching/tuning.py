"""How a matcher is tuned by its own loss: batches of pairs with points that belong together, and the steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from unseen.data.simulate.modalities import luma
from unseen.nn.train import Run, train

EPOCH = 50
"""Steps between two entries of the history."""
TRIES = 50
"""Crops that are drawn for one that is used."""


class Batch(NamedTuple):
    """Grey pictures in [0, 1], (b, 1, s, s), points that belong together, and what each pair was made of."""

    first: Tensor
    second: Tensor
    points: Tensor
    known: Tensor
    names: tuple[str, ...]


def generator_of(run: Run) -> np.random.Generator:
    """NumPy's random numbers from those of a stage, which are part of its checkpoints."""
    return np.random.default_rng(int(torch.randint(2**62, (1,), generator=run.generator)))


def filled(n: int, draw: Callable[[], Any], least: int, lacking: str) -> list[Any]:
    """So many cuts, each with at least so many points: what has fewer is drawn anew.

    Raises
    ------
    ValueError
        If hardly any has; `lacking` is the message.
    """
    cuts: list[Any] = []
    for _ in range(TRIES * n):
        if len(cuts) == n:
            break
        cut = draw()
        cuts += [cut] if len(cut[2]) >= least else []
    if len(cuts) < n:
        raise ValueError(lacking)
    return cuts


def batch_of(cuts: Sequence[Any], names: tuple[str, ...], n: int, rng: np.random.Generator) -> Batch:
    """Crops and their points as one batch, at most `n` points of each at random."""
    rows = np.zeros((len(cuts), n, 4), dtype=np.float32)
    known = np.zeros((len(cuts), n), dtype=bool)
    for k, cut in enumerate(cuts):
        chosen = cut[2][rng.permutation(len(cut[2]))[:n]]
        rows[k, : len(chosen)], known[k, : len(chosen)] = chosen, True
    first, second = (
        torch.from_numpy(np.stack([luma(cut[side]) for cut in cuts])[:, None] / np.float32(255)) for side in (0, 1)
    )
    return Batch(first, second, torch.from_numpy(rows), torch.from_numpy(known), names)


def tune(
    network: Any,
    optimizer: Optimizer,
    schedule: Any,
    batches: Callable[[np.random.Generator], Iterator[Batch]],
    *,
    name: str,
    steps: int,
    clip: float,
    score: Callable[[Run], float] | None = None,
) -> Run:
    """So many steps on the matcher's own loss; losses are noted by what each pair was made of."""

    def objective(batch: Batch, run: Run) -> Tensor:
        losses: Tensor = network.matching_loss(batch.first, batch.second, batch.points, batch.known)
        for kind, loss in zip(batch.names, losses):
            run.log(**{f"loss {kind}": loss})
        return losses.mean()

    return train(
        objective,
        name=name,
        nets={"matcher": network},
        optimizers={"optimizer": optimizer},
        schedulers={"falling": schedule},
        batches=lambda run: itertools.islice(batches(generator_of(run)), steps - run.step),
        epochs=-(-steps // EPOCH),
        steps_per_epoch=min(steps, EPOCH),
        score=score,
        clip=clip,
    )
