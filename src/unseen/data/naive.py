"""Forecasts without learning: the last value, and the last season."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

SEASONS = ((60.0, 60), (600.0, 144), (900.0, 96), (1800.0, 48), (3600.0, 24), (86400.0, 7), (7 * 86400.0, 52))
"""Periods in seconds and the points of their usual season."""


BUSINESS = {"B": 5, "C": 5, "bh": 8, "cbh": 8}
"""Points of the usual season of pandas' steps of working days and of their hours."""


def season_of(period: float, step: str = "") -> int:
    """Points of the usual season of a sampling period in seconds; 1 (none) where there is none or nobody knows.

    `step` is what pandas calls it, which tells working days from days.
    """
    if step in BUSINESS:
        return BUSINESS[step]
    if not math.isfinite(period):
        return 1
    for seconds, points in SEASONS:
        if abs(period / seconds - 1) < 0.02:
            return points
    if period < 43200 and abs(86400 / period - round(86400 / period)) < 0.02:
        return round(86400 / period)
    return {28: 12, 30: 12, 31: 12, 91: 4}.get(int(period // 86400), 1)


def filled(past: Float[np.ndarray, "n t c"]) -> Float[np.ndarray, "n t c"]:
    """Missing values replaced by the last one before, those at the start by the first one there is."""
    x = np.array(past, dtype=np.float64)
    t = np.arange(x.shape[1])[None, :, None]
    seen = np.isfinite(x)
    before = np.maximum.accumulate(np.where(seen, t, -1), axis=1)
    first = np.where(seen.any(axis=1), seen.argmax(axis=1), 0)[:, None]
    return np.take_along_axis(x, np.where(before < 0, first, before), axis=1)


def last_value(past: Float[np.ndarray, "n t c"], horizon: int) -> Float[np.ndarray, "n h c"]:
    """The last value, again and again."""
    return np.repeat(filled(past)[:, -1:], horizon, axis=1)


def seasonal_naive(past: Float[np.ndarray, "n t c"], horizon: int, season: int) -> Float[np.ndarray, "n h c"]:
    """The last `season` points, again and again; a missing one is that of a season before."""
    x = np.array(past, dtype=np.float64)
    season = min(season, x.shape[1])
    whole = x[:, x.shape[1] % season :].reshape(len(x), -1, season, x.shape[2])
    by_season = whole.transpose(0, 2, 1, 3).reshape(-1, whole.shape[1], x.shape[2])
    last = filled(by_season)[:, -1].reshape(len(x), season, x.shape[2])
    last = np.where(np.isfinite(last), last, filled(past)[:, -1:])
    return last[:, np.arange(horizon) % season]
