"""What arms of claims share: samples of each class or of some, networks that are taught by an objective, clocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, endless, hold_out, steps
from unseen.nn.contrastive import contrastive
from unseen.nn.dual_encoder import DualEncoder
from unseen.nn.schedules import warm_cosine
from unseen.nn.train import Run, train

Objective = Callable[[Batch, Run], Tensor]
Made = TypeVar("Made")


def rows_of_each(y: Int[np.ndarray, " n"], most: int, rng: np.random.Generator) -> Int[np.ndarray, " m"]:
    """At most so many samples of every class, drawn at random, class after class."""
    return np.concatenate([rng.permutation(np.flatnonzero(y == label))[:most] for label in np.unique(y)])


def few_of_each(y: Int[np.ndarray, " n"], most: int) -> Int[np.ndarray, " m"]:
    """The same with one draw for all, in the order of the samples."""
    return np.sort(rows_of_each(y, most, np.random.default_rng(0)))


def parted(domain: Domain, share: float, seed: int) -> tuple[Domain, Domain]:
    """What is learnt from, and the share of each class that is held out."""
    learnt, out = hold_out(domain.labels, share, seed)
    return domain.take(learnt), domain.take(out)


def of_classes(domain: Domain, chosen: Int[np.ndarray, " k"]) -> Domain:
    """The samples of some classes, which are then all there are, in this order."""
    place = np.full(max(int(domain.labels.max()), int(chosen.max())) + 1, -1)
    place[chosen] = np.arange(len(chosen))
    kept = domain.take(place[domain.labels] >= 0)
    classes = None if domain.classes is None else domain.classes.take(chosen)
    return kept.replace(y=place[kept.labels], classes=classes)


def clip_loss(logits: Float[Tensor, "n n"], targets: Float[Tensor, "n n"] | None = None) -> Float[Tensor, ""]:
    """The loss of CLIP, both ways: sample i belongs to sample i of the other side, or to those of `targets`."""
    return (contrastive(logits, targets) + contrastive(logits.T, targets)) / 2


def towers_loss(
    towers: DualEncoder, images: Tensor, texts: Tensor, targets: Float[Tensor, "n n"] | None = None
) -> Float[Tensor, ""]:
    """The same of two towers and a batch of pairs; the factor of cosines is 100 at most."""
    cosines = towers.encode_image(images) @ towers.encode_text(texts).T
    return clip_loss(towers.logit_scale.exp().clamp(max=100) * cosines, targets)


def in_epochs(
    objective: Objective, net: nn.Module, adam: Optimizer, source: Domain, *, name: str, size: int, n_steps: int
) -> None:
    """Teach a network in passes over batches of `size`, so many steps: the rate rises in the first pass, then falls."""
    per_epoch = steps(len(source), size)
    rate = warm_cosine(adam, n_steps, per_epoch)
    in_passes(objective, net, adam, source, name=name, size=size, epochs=-(-n_steps // per_epoch), rate=rate)


def in_passes(
    objective: Objective, net: nn.Module, adam: Optimizer, source: Domain, *, name: str, size: int, epochs: int,
    rate: LRScheduler | None = None, drop_last: bool = True,
) -> None:  # fmt: skip
    """The same in so many passes, the rate as it is or by a schedule."""
    train(
        objective, name=name, nets={"net": net}, optimizers={"adam": adam},
        schedulers={} if rate is None else {"rate": rate}, batches=batches(source, size, drop_last=drop_last),
        epochs=epochs, steps_per_epoch=steps(len(source), size, drop_last),
    )  # fmt: skip


def in_steps(
    objective: Objective, net: nn.Module, adam: Optimizer, source: Domain, *, name: str, size: int, n_steps: int,
    warm: int | None = None, clip: float | None = None,
) -> None:  # fmt: skip
    """The same in exactly so many steps, the rate rising in the first `warm`, a tenth of them if absent."""
    stream = batches(source, size)
    rising = n_steps // 10 if warm is None else warm
    train(
        objective, name=name, nets={"net": net}, optimizers={"adam": adam},
        schedulers={"rate": warm_cosine(adam, n_steps, rising)}, batches=lambda run: endless(stream, run),
        epochs=1, steps_per_epoch=n_steps, clip=clip,
    )  # fmt: skip


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    """What is made, and the seconds of the processor that this took: of this process, whatever runs beside it."""
    started = time.process_time()
    made = work()
    return made, time.process_time() - started


def least_seconds(work: Callable[[], Any], times: int) -> float:
    """The least of some times of the same."""
    return min(timed(work)[1] for _ in range(times))


@torch.no_grad()
def absorb(layer: Any, centre: Float[Tensor, " d"], spread: Float[Tensor, " d"]) -> None:
    """Put a standardization into the linear layer that read what was standardized."""
    layer.weight.div_(spread)
    layer.bias.sub_(layer.weight @ centre)
