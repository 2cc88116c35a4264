"""Steps 6, 8 and 10: the network of a target, and how it is tuned on the target's windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import AdamW

from unseen.methods.forecasting.ttm.network import ForecastMixer, TinyTimeMixer, tiny_time_mixer
from unseen.methods.forecasting.ttm.windows import Windows, masked_mse, one_cycle
from unseen.nn.range_test import range_test
from unseen.nn.train import Run, train

KEPT = 2**28
"""Bytes of hidden states of a frozen backbone that are kept; what is larger is read anew in every epoch."""

SKIPPED = 5
"""First steps of the range test that do not count: what a batch happens to be like moves their loss, not the rate."""

FASTER = 20.0
"""How much faster the correction of forecasts learns: its gate divides what it gives by the number of its inputs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuning:
    """What of a network changes for a target, and how long it is tuned."""

    targets: tuple[int, ...]
    exogenous: tuple[int, ...]
    mixed_channels: int
    forecast_mixing: bool
    window: int
    window_mixer: bool
    freeze: bool
    head_dropout: float
    epochs: int
    patience: int
    batch_size: int
    learning_rate: float | None
    weight_decay: float


def tune(
    base: TinyTimeMixer, learned: Windows, held: Windows, settings: Tuning
) -> tuple[nn.Module, Float[np.ndarray, "e"]]:
    """A copy of `base` for the target, tuned until the error on `held` stops falling; that error by epoch."""
    network = target_network(base, settings)
    for part in network.backbone_parts():
        part.requires_grad_(not settings.freeze)
    data, test = (_Read.of(network, windows, settings) for windows in (learned, held))
    steps = -(-len(learned.past) // settings.batch_size)
    rate = settings.learning_rate or range_test(
        network.train(),
        data.loss,
        lambda run: data.batches(run, settings.batch_size),
        name="range-test",
        groups=groups,
        skip=SKIPPED,
    )
    optimizer = AdamW(groups(network, rate), lr=rate, weight_decay=settings.weight_decay)
    run = train(
        lambda batch, run: data.loss(network, batch),
        name="tune",
        nets={"network": network.train()},
        optimizers={"adamw": optimizer},
        schedulers={"cycle": one_cycle(optimizer, settings.epochs * steps)},
        batches=lambda run: data.batches(run, settings.batch_size),
        epochs=settings.epochs,
        steps_per_epoch=steps,
        score=lambda run: -test.error(network),
        patience=settings.patience,
        clip=1.0,
    )
    network.requires_grad_(True)
    return network, np.array([-epoch["score"] for epoch in run.history])


def groups(network: nn.Module, rate: float) -> list[dict[str, Any]]:
    """What is tuned: at `rate` what was pretrained, `FASTER` times as fast the correction of forecasts."""
    new = "forecast_mixer."
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    pretrained = [p for name, p in trained if not name.startswith(new)]
    fresh = [p for name, p in trained if name.startswith(new)]
    return [{"params": pretrained}, *([{"params": fresh, "lr": FASTER * rate}] if fresh else [])]


def target_network(base: TinyTimeMixer, settings: Tuning) -> TinyTimeMixer:
    """A network with the parts that the target asks for; what is new in it changes nothing yet."""
    sizes = dataclasses.asdict(base.shape) | {
        "targets": settings.targets,
        "exogenous": settings.exogenous,
        "mixed_channels": settings.mixed_channels,
        "forecast_mixing": settings.forecast_mixing,
        "window": settings.window,
        "window_mixer": settings.window_mixer,
        "head_dropout": settings.head_dropout,
    }
    network: Any = tiny_time_mixer(sizes)
    fresh = network.state_dict()
    network.load_state_dict(fresh | {k: v for k, v in base.state_dict().items() if _fits(fresh, k, v)})
    for layer in network.decoder if settings.mixed_channels else ():
        _silence(layer.channels.mixed.narrow)
    if settings.forecast_mixing and isinstance(network.forecast_mixer, ForecastMixer):
        _silence(network.forecast_mixer.out)
    return network


def _fits(state: dict[str, Tensor], key: str, value: Tensor) -> bool:
    """Whether a pretrained tensor is taken: those of the correction of forecasts are made anew for each target."""
    return key in state and state[key].shape == value.shape and not key.startswith("forecast_mixer")


def _silence(linear: nn.Linear) -> None:
    """A branch that adds nothing at the start."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)


class _Read:
    """Windows, with what a frozen backbone makes of them, read once."""

    def __init__(self, windows: Windows, settings: Tuning, hidden: Tensor | None) -> None:
        self.windows, self.settings, self.hidden = windows, settings, hidden

    @classmethod
    def of(cls, network: TinyTimeMixer, windows: Windows, settings: Tuning) -> _Read:
        """Windows whose hidden states are kept if the backbone is frozen and they are few enough."""
        shape = network.shape
        size = 4 * windows.past.shape[0] * windows.past.shape[2] * shape.patches * shape.width
        if not settings.freeze or size > KEPT:
            return cls(windows, settings, None)
        network.eval()
        with torch.no_grad():
            pieces = _pieces(len(windows.past))
            hidden = torch.cat([_hidden(network, _rows(windows, index)) for index in pieces])
        return cls(windows, settings, hidden)

    def batches(self, run: Run, size: int) -> Iterator[tuple[Windows, Tensor | None]]:
        """All windows once, in random order."""
        order = torch.randperm(len(self.windows.past), generator=run.generator)
        for start in range(0, len(order), size):
            yield self.rows(order[start : start + size])

    def rows(self, index: Tensor) -> tuple[Windows, Tensor | None]:
        """Some windows."""
        return _rows(self.windows, index), None if self.hidden is None else self.hidden[index]

    def loss(self, network: Any, batch: tuple[Windows, Tensor | None]) -> Float[Tensor, ""]:
        """The mean squared error of the targets."""
        windows, hidden = batch
        targets, exogenous = list(self.settings.targets), list(self.settings.exogenous)
        scaled, loc, scale = network.scaled(windows.past, windows.observed)
        if hidden is None:
            frozen = self.settings.freeze
            for part in network.backbone_parts() if frozen else ():
                part.eval()
            with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
                hidden = network.backbone(scaled, windows.resolution)
        past = torch.where(windows.observed, windows.past, loc)
        known = torch.where(windows.known, windows.future, 0)[..., exogenous] if exogenous else None
        y = network.decode(hidden, past, known, loc, scale)
        return masked_mse(y, windows.future[..., targets], windows.known[..., targets])

    def error(self, network: TinyTimeMixer) -> float:
        """The loss over all windows, without dropout."""
        network.eval()
        device = next(network.parameters()).device
        total, n = 0.0, 0
        with torch.no_grad():
            for index in _pieces(len(self.windows.past)):
                windows, hidden = self.rows(index)
                moved = Windows(*(t.to(device) for t in windows))
                total += float(self.loss(network, (moved, None if hidden is None else hidden.to(device)))) * len(index)
                n += len(index)
        network.train()
        return total / n


def _pieces(n: int, size: int = 256) -> list[Tensor]:
    """0 to n - 1 in stretches of `size`."""
    return [torch.arange(start, min(start + size, n)) for start in range(0, n, size)]


def _rows(windows: Windows, index: Tensor) -> Windows:
    return Windows(*(tensor[index] for tensor in windows))


def _hidden(network: TinyTimeMixer, windows: Windows) -> Tensor:
    """What the backbone makes of contexts."""
    scaled, _, _ = network.scaled(windows.past, windows.observed)
    return network.backbone(scaled, windows.resolution)
