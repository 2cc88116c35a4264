"""Step 11: a forecast of any length, each piece read after the one before."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unseen.methods.forecasting.ttm.network import TinyTimeMixer


def roll(
    network: TinyTimeMixer,
    x: Float[Tensor, "b t c"],
    resolution: Int[Tensor, "b"],
    known: Float[Tensor, "b h k"] | None,
    horizon: int,
    places: list[int],
) -> Float[Tensor, "b h y"]:
    """The next `horizon` points of the targets, which stand at `places` among the channels; NaN is missing.

    What is forecast is read like what was, and so is what is `known` of the exogenous channels.
    """
    shape = network.shape
    done: list[Tensor] = []
    for start in range(0, horizon, shape.horizon):
        stop = start + shape.horizon
        ahead = None if known is None else extended(known[:, start:stop], shape.horizon)
        seen = torch.isfinite(x)
        y = network(torch.nan_to_num(x), resolution, ahead, None if bool(seen.all()) else seen)
        done.append(y)
        if stop < horizon:
            more = torch.full((len(x), shape.horizon, x.shape[2]), float("nan"), device=x.device)
            more[..., places] = y
            if ahead is not None:
                more[..., list(shape.exogenous)] = ahead
            x = torch.cat([x, more], dim=1)[:, -shape.context :]
    return torch.cat(done, dim=1)[:, :horizon]


def extended(known: Float[Tensor, "b h k"], horizon: int) -> Float[Tensor, "b m k"]:
    """What is known of a horizon that is cut short, with its last value up to the end, which nobody reads."""
    lack = horizon - known.shape[1]
    return known if not lack else torch.cat([known, known[:, -1:].expand(-1, lack, -1)], dim=1)
