"""The learning rate range test: losses while the rate rises, and the rate that they speak for."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import ExponentialLR

from unseen.nn.train import DivergedError, Run, train


def steepest_rate(rates: Float[Tensor, "t"], losses: Float[Tensor, "t"], smooth: float = 0.7, skip: int = 0) -> float:
    """The rate at which the smoothed loss falls most per step of log(rate), before its minimum.

    The first `skip` steps are not looked at, where that leaves two.
    """
    skip = min(skip, len(losses) - 2)
    rates, losses = rates[max(skip, 0) :], losses[max(skip, 0) :]
    smoothed, value = [], float(losses[0])
    for loss in losses.tolist():
        value = smooth * value + (1 - smooth) * loss
        smoothed.append(value)
    line = torch.tensor(smoothed)
    end = max(int(line.argmin()), 1)
    return float(rates[int((line[1 : end + 1] - line[:end]).argmin()) + 1])


def range_test(
    network: nn.Module,
    objective: Callable[[nn.Module, Any], Tensor],
    batches: Callable[[Run], Iterable[Any]],
    *,
    name: str,
    steps: int = 60,
    smallest: float = 1e-5,
    largest: float = 1e-1,
    groups: Callable[[nn.Module, float], list[dict[str, Any]]] | None = None,
    skip: int = 0,
) -> float:
    """A learning rate for AdamW, found on a copy of `network` whose rate rises from `smallest` to `largest`.

    Parameters
    ----------
    objective : callable (network, batch) -> loss
    batches : callable (run) -> iterable
        As in `train`; at least one batch, fewer than `steps` are gone through again.
    name : str
        Of the stage.
    groups : callable (network, rate) -> groups of parameters, optional
        As the training to come has them; their rates rise by the same factor. One group if absent.
    skip : int
        First steps that are not looked at.
    """
    trial = copy.deepcopy(network)
    learned = [p for p in trial.parameters() if p.requires_grad]
    optimizer = AdamW(learned if groups is None else groups(trial, smallest), lr=smallest)
    losses = _Losses(steps)

    def step(batch: Any, run: Run) -> Tensor:
        loss = objective(trial, batch)
        losses.values[run.step] = loss.detach()
        if run.step + 1 == steps or loss.detach() > 4 * losses.values[: run.step + 1].min():
            run.stop()
        return loss

    with contextlib.suppress(DivergedError):  # the rate was too large, which is what is looked for
        train(
            step,
            name=name,
            nets={"trial": trial, "losses": losses},
            optimizers={"adamw": optimizer},
            schedulers={"rise": ExponentialLR(optimizer, (largest / smallest) ** (1 / max(steps - 1, 1)))},
            batches=lambda run: (batch for _ in range(steps) for batch in batches(run)),
            epochs=1,
            steps_per_epoch=steps,
        )
    seen = losses.values[torch.isfinite(losses.values)].cpu()
    if len(seen) < 2:
        return smallest
    rates = smallest * (largest / smallest) ** (torch.arange(len(seen)) / max(steps - 1, 1))
    return steepest_rate(rates, seen, skip=skip)


class _Losses(nn.Module):
    """The loss of every step."""

    values: Tensor

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.register_buffer("values", torch.full((steps,), float("nan")))
