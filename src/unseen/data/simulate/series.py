"""Declared simulation: series with seasons, trends, weekdays, noise and bursts, of several resolutions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.series import series_domain

SEASONS: tuple[tuple[float, tuple[float, ...]], ...] = (
    (600.0, (144.0,)),
    (900.0, (96.0, 672.0)),
    (1800.0, (48.0, 336.0)),
    (3600.0, (24.0, 168.0)),
    (3600.0, (24.0, 168.0)),
    (86400.0, (7.0, 365.25)),
    (7 * 86400.0, (52.18,)),
    (30.4375 * 86400.0, (12.0,)),
    (float("nan"), ()),
)
"""Sampling periods in seconds, and their seasons in points; without any, seasons are drawn."""

CREDIT = "simulated seasons, trends and autoregressive noise (unseen.data.simulate.series)"


def simulated_series(n: int = 120, length: int = 4000, *, seed: int = 0) -> Domain:
    """Return `n` series of one channel that nobody measured.

    Each is a sum, or a product, of a trend, of seasons of a random shape (the day, scaled or replaced on some days of
    the week), of autoregressive noise, and of rare bursts.

    Raises
    ------
    ValueError
        If `n` or `length` is below 1.
    """
    if n < 1 or length < 1:
        raise ValueError(f"n and length must be at least 1; got {n} and {length}")
    rng = np.random.default_rng(seed)
    kinds = [SEASONS[int(i)] for i in rng.integers(0, len(SEASONS), n)]
    arrays = [simulate(length, seasons, rng) for _, seasons in kinds]
    return series_domain(
        arrays, period=[period for period, _ in kinds], channels=("y",),
        ids=[f"simulated {i}" for i in range(n)], name="simulated", credits=(CREDIT,),
    )  # fmt: skip


def simulate(length: int, seasons: tuple[float, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """One series of `length` points with these seasons (in points)."""
    t = np.arange(length)
    if not seasons:
        seasons = tuple(np.exp(rng.uniform(np.log(4), np.log(200), rng.integers(0, 3))).tolist())
    season = sum((rng.gamma(2.0, 0.5) * shape(t / period, rng) for period in seasons[:1]), np.zeros(length))
    if len(seasons) > 1:
        day, week = seasons[0], seasons[1]
        if rng.random() < 0.7 and week / day == 7:
            season = on_weekdays(season, t, day, rng)
        season = season + rng.gamma(1.0, 0.3) * shape(t / week, rng)
    noise = autoregressive(length, rng) * rng.gamma(1.5, 0.25)
    level = trend(length, rng) * rng.gamma(1.0, 0.5)
    if rng.random() < 0.3:
        values = np.exp(np.clip(0.5 * (season + level) + 0.3 * noise, -6, 6))
    else:
        values = season + level + noise
    if rng.random() < 0.2:
        values = values + bursts(length, rng)
    if rng.random() < 0.2:
        values = np.maximum(values, np.quantile(values, rng.uniform(0, 0.5)))
    return values.astype(np.float32)


def shape(phase: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """A periodic function of a phase in cycles: a few harmonics, or a peak."""
    if rng.random() < 0.4:
        centre, width = rng.random(2)
        return np.exp((np.cos(2 * np.pi * (phase - centre)) - 1) / (0.02 + 0.5 * width)) * rng.choice([2.0, -2.0])
    k = np.arange(1, rng.integers(2, 7))
    weights, offsets = rng.normal(size=len(k)) / k, rng.uniform(0, 2 * np.pi, len(k))
    return (weights[:, None] * np.sin(2 * np.pi * k[:, None] * phase + offsets[:, None])).sum(axis=0)


def on_weekdays(
    season: NDArray[np.float64], t: NDArray[np.int64], day: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The season of a day with two days of the week that are smaller, or of another shape."""
    weekday = (t // day).astype(int) % 7
    first = rng.integers(7)
    rest = (weekday == first) | (weekday == (first + 1) % 7)
    other = shape(t / day, rng) if rng.random() < 0.4 else season * rng.uniform(0, 0.9)
    return np.where(rest, other - rng.gamma(1.0, 0.4), season)


def autoregressive(length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise of deviation 1 with a memory between none and hundreds of points."""
    from scipy.signal import lfilter

    phi = 1 - 10 ** rng.uniform(-2.5, 0)
    noise = rng.normal(size=length) if rng.random() < 0.7 else rng.standard_t(4, size=length)
    line = lfilter([1.0], [1.0, -phi], noise)
    return line / max(float(line.std()), 1e-9)


def trend(length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A line with a few bends, or a random walk, of deviation 1."""
    if rng.random() < 0.5:
        knots = np.sort(rng.uniform(0, length, rng.integers(1, 6)))
        line = np.interp(np.arange(length), [0, *knots, length], rng.normal(size=len(knots) + 2).cumsum())
    else:
        line = rng.normal(size=length).cumsum()
    return (line - line.mean()) / max(float(line.std()), 1e-9)


def bursts(length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Rare peaks that fade away."""
    from scipy.signal import lfilter

    hits = (rng.random(length) < 1 / rng.integers(50, 500)) * rng.gamma(2.0, 1.0, length)
    return lfilter([1.0], [1.0, -rng.uniform(0, 0.9)], hits)
