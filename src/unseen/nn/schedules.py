"""Learning rate schedules, and what decays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import nn
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


def warm_cosine(
    optimizer: Optimizer, total_steps: int, warm_steps: int = 0, start: float = 1e-5, last: float = 0.0
) -> LambdaLR:
    """A line from the rate `start` to rate_0 over the first `warm_steps`, then half a cosine to `last` rate_0."""
    rate = float(optimizer.param_groups[0]["lr"])

    def factor(step: int) -> float:
        if step < warm_steps:
            return (start + (rate - start) * step / warm_steps) / rate
        done = (step - warm_steps) / max(total_steps - warm_steps, 1)
        return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    return LambdaLR(optimizer, factor)


def warm_then_cosine(optimizer: Optimizer, last_step: int, warm_steps: int) -> LambdaLR:
    """rate_0 (i + 1) / `warm_steps` in step i of the first `warm_steps`, then half a cosine to 0 in `last_step`."""

    def factor(step: int) -> float:
        if step < warm_steps:
            return (step + 1) / warm_steps
        done = (step - warm_steps) / max(last_step - warm_steps, 1)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    return LambdaLR(optimizer, factor)


def by_decay(network: nn.Module, *, rest: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Groups of an optimizer: matrices decay; vectors, biases and scales do not, nor what `rest` names a part of."""
    trained = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    free = {name for name, parameter in trained if parameter.ndim < 2 or any(part in name for part in rest)}
    return [
        {"params": [parameter for name, parameter in trained if name not in free]},
        {"params": [parameter for name, parameter in trained if name in free], "weight_decay": 0.0},
    ]


def by_rate(
    network: nn.Module, rate: float, decay: float, *, new: tuple[str, ...], faster: float, rest: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """`by_decay` at two rates: what `new` names a part of learns `faster` times as fast as the rest."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            free = parameter.ndim < 2 or any(part in name for part in rest)
            groups.setdefault((any(part in name for part in new), free), []).append(parameter)
    return [
        {"params": parameters, "lr": rate * (faster if fresh else 1), "weight_decay": 0.0 if free else decay}
        for (fresh, free), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def warm_restarts(optimizer: Optimizer, steps_per_epoch: int, first: int = 10, growth: int = 2) -> LambdaLR:
    """Half a cosine from rate_0 to 0 over `first` epochs, then over `growth` times as many, and so on [1].

    The rate changes between epochs, not within.

    References
    ----------
    [1] Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, eq. 5.
    """

    def factor(step: int) -> float:
        epoch, length = step // steps_per_epoch, first
        while epoch >= length:
            epoch, length = epoch - length, length * growth
        return 0.5 * (1 + math.cos(math.pi * epoch / length))

    return LambdaLR(optimizer, factor)


def resting_then_cosine(
    optimizer: Optimizer, epochs: int, steps_per_epoch: int, rest: int = 1, rate: float = 1e-5
) -> LambdaLR:
    """The rate `rate` for `rest` epochs, then half a cosine from rate_0 to 0; it changes between epochs, not within.

    Each group of the optimizer has a rate_0 of its own.
    """

    def factor_of(group_rate: float) -> Callable[[int], float]:
        def factor(step: int) -> float:
            epoch = step // steps_per_epoch
            if epoch < rest:
                return rate / group_rate
            return 0.5 * (1 + math.cos(math.pi * min((epoch - rest) / max(epochs - rest, 1), 1.0)))

        return factor

    return LambdaLR(optimizer, [factor_of(float(group["lr"])) for group in optimizer.param_groups])


def warm_then_linear(optimizer: Optimizer, total_steps: int, share: float) -> LambdaLR:
    """rate_0 (i + 1) / w in step i of the first w, a share of all; then a line down to 0 behind the last step."""
    warm = round(share * total_steps)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return max(total_steps - step, 0) / max(total_steps - warm, 1)

    return LambdaLR(optimizer, factor)
