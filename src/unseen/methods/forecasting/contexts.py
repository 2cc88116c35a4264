"""What is read of a series before a forecast: the contexts, checked, in units of their own; and known futures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from unseen.data.domain import Domain
from unseen.data.series import channels_of, future_values, periods_of

SAME = 1e-12
"""A deviation below this part of the mean is rounding: the values are constant."""


def table(x: Any) -> Float[np.ndarray, "t c"]:
    """A series as (t, c), float64."""
    array = np.asarray(x, dtype=np.float64)
    return array[:, None] if array.ndim == 1 else array


def read_contexts(
    x: Any, period: float, *, least: int, most: int, channels: tuple[str, ...] | None
) -> tuple[list[np.ndarray], list[float], tuple[str, ...]]:
    """The arrays (t, c), their periods and the names of the channels, of a Domain or an array (n, t, c).

    Raises
    ------
    ValueError
        If a series has fewer than `least` points, no value in the last `most`, infinity, or other channels than
        `channels` (where they are given) or the first.
    """
    if isinstance(x, Domain):
        if x.kind != "series":
            raise ValueError(f"x must be of kind series; got {x.kind!r}")
        arrays, names, periods = [table(series) for series in x.x], channels_of(x) if len(x) else (), periods_of(x)
        ids = [str(identity) for identity in np.asarray(x.ids)]
    else:
        array = np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x)
        if array.dtype.kind not in "fiu" or array.ndim != 3:
            told_kind = f"{array.dtype} of shape {array.shape}"
            raise ValueError(f"x must be a Domain of series or numbers of shape (n, t, c); got {told_kind}")
        arrays, periods = list(array.astype(np.float64)), np.full(len(array), period)
        names = channels or tuple(f"y{i}" for i in range(array.shape[2]))
        ids = [f"series {i}" for i in range(len(array))]
    if not arrays:
        raise ValueError("x must hold at least one series; it is empty")
    for values, name in zip(arrays, ids):
        _check(values, name, len(arrays[0][0]) if len(arrays[0]) else 0, least, most)
    if channels is not None and (names != channels or arrays[0].shape[1] != len(names)):
        raise ValueError(f"x must have the channels {', '.join(channels)}, as in adapt; got {names}")
    return arrays, periods.tolist(), tuple(names)


def _check(values: np.ndarray, name: str, width: int, least: int, most: int) -> None:
    if len(values) < least:
        raise ValueError(f"x: {name} must have at least {least} points; it has {len(values)}")
    if values.shape[1] != width or not width:
        raise ValueError(f"x: {name} must have {width} channels, as the first; it has {values.shape[1]}")
    if np.isinf(values).any():
        raise ValueError(f"x: {name} must not hold infinity; a missing value is NaN")
    empty = np.flatnonzero(np.isnan(values[-most:]).all(axis=0))
    if len(empty):
        raise ValueError(f"x: {name} has no value in the last {most} points of channel {empty[0]}")


def padded(values: Float[np.ndarray, "t c"], context: int) -> Float[np.ndarray, "s c"]:
    """The last `context` points; NaN in front of a shorter series."""
    lack = max(context - len(values), 0)
    return np.concatenate([np.full((lack, values.shape[1]), np.nan), values[-context:]])


def known_future(x: Any, future: Any, horizon: int, n: int, names: Sequence[str]) -> np.ndarray | None:
    """The future of the exogenous channels `names`, (n, horizon, k); None without such channels.

    Raises
    ------
    ValueError
        If it is missing, of another shape, or not finite.
    """
    if not names:
        return None
    if future is None:
        raise ValueError(f"future must hold {', '.join(names)} at the {horizon} times to come; it is missing")
    if isinstance(future, Domain):
        if not isinstance(x, Domain):
            raise ValueError("future must be an array (n, horizon, k), as x is an array; got a Domain")
        return future_values(x, future, horizon, names)
    array = np.asarray(future, dtype=np.float64)
    if array.shape != (n, horizon, len(names)):
        raise ValueError(f"future must be of shape {(n, horizon, len(names))}; got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("future must be finite; it holds NaN or infinity")
    return array


def moments(values: Float[np.ndarray, "... t c"]) -> tuple[Float[np.ndarray, "... 1 c"], Float[np.ndarray, "... 1 c"]]:
    """Mean and deviation of every channel over what is there, in float64; the deviation of a constant one is 0."""
    mean = np.nanmean(values, axis=-2, keepdims=True)
    deviation = np.sqrt(np.nanmean((values - mean) ** 2, axis=-2, keepdims=True))
    return mean, np.where(deviation > SAME * np.abs(mean), deviation, 0.0)


def moments_of(values: Sequence[np.ndarray], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (c,) of every channel over all that is learned from; 1 for a constant one.

    Raises
    ------
    ValueError
        If a channel has no value.
    """
    rows = np.concatenate(list(values))
    seen = np.isfinite(rows).any(axis=0)
    if not seen.all():
        raise ValueError(f"series has no value of channel {names[int(np.argmin(seen))]!r} to learn from")
    mean, deviation = (v[0] for v in moments(rows))
    return mean, np.where(deviation > 0, deviation, 1.0)
