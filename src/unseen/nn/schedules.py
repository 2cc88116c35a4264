"""Learning rate schedules."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def inverse_decay(optimizer: Optimizer, total_steps: int, gamma: float = 10.0, power: float = 0.75) -> LambdaLR:
    """rate(p) = rate_0 (1 + gamma p)^-power with p in [0, 1] (Ganin & Lempitsky, 2015; SHOT's constants)."""
    return LambdaLR(optimizer, lambda step: (1 + gamma * min(step / max(total_steps, 1), 1.0)) ** -power)


def epoch_decay(optimizer: Optimizer, steps_per_epoch: int, gamma: float = 0.96) -> LambdaLR:
    """rate = rate_0 gamma^epoch, where an epoch is `steps_per_epoch` steps."""
    return LambdaLR(optimizer, lambda step: gamma ** (step // steps_per_epoch))


def exponential_decay(optimizer: Optimizer, epochs: int, steps_per_epoch: int, last: float = 0.01) -> LambdaLR:
    """rate(e) = rate_0 last^(e / epochs), the same within an epoch e; after the last one it would be `last` rate_0."""
    return LambdaLR(optimizer, lambda step: last ** (step // steps_per_epoch / epochs))


def warm_cosine(optimizer: Optimizer, total_steps: int, warm_steps: int = 0, start: float = 1e-5) -> LambdaLR:
    """A line from the rate `start` to rate_0 over the first `warm_steps`, then half a cosine to 0 at the last step."""
    rate = float(optimizer.param_groups[0]["lr"])

    def factor(step: int) -> float:
        if step < warm_steps:
            return (start + (rate - start) * step / warm_steps) / rate
        done = (step - warm_steps) / max(total_steps - warm_steps, 1)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    return LambdaLR(optimizer, factor)


def one_cycle(
    optimizer: Optimizer, total_steps: int, warm: float = 0.3, first: float = 25.0, last: float = 1e4
) -> LambdaLR:
    """Half a cosine up from rate_0 / first over the share `warm` of the steps, then one down to rate_0 / last.

    Smith & Topin, 2018; the momentum stays.
    """
    up = max(warm * total_steps - 1, 1.0)
    down = max(total_steps - 1 - up, 1.0)

    def factor(step: int) -> float:
        if step <= up:
            return _between(1 / first, 1.0, step / up)
        return _between(1.0, 1 / last, min((step - up) / down, 1.0))

    return LambdaLR(optimizer, factor)


def _between(start: float, end: float, share: float) -> float:
    """Half a cosine from `start` to `end`."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def exponential_rise(optimizer: Optimizer, total_steps: int, largest: float) -> LambdaLR:
    """rate(t) = rate_0 (largest / rate_0)^(t / last step): what a range test goes through."""
    ratio = largest / float(optimizer.param_groups[0]["lr"])
    return LambdaLR(optimizer, lambda step: ratio ** (min(step, total_steps - 1) / max(total_steps - 1, 1)))
