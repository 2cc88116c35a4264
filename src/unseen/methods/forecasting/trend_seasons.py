"""A trend, seasons and what is known of the future, by weighted least squares: what a good analyst tries first."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from jaxtyping import Float

from unseen.data.domain import Domain
from unseen.data.naive import season_of
from unseen.data.series import grid_of
from unseen.data.time_grid import Grid, counted_grid
from unseen.methods.base import Card
from unseen.methods.forecasting.contexts import SAME, known_future, read_contexts
from unseen.methods.forecasting.forecaster import Forecaster, Limits
from unseen.methods.parameters import Count, NonNegative
from unseen.runtime import limited_threads

WEEK = 7
YEARS: Mapping[int, int] = {7: 365, 5: 261, 52: 52}
"""Points of a year of days, of working days and of weeks, by the points of their usual season."""
MANY = 31
"""Points of a season beyond which it is drawn by waves, not by a value for each."""
DAY = 86400.0
LEAST = 1e-9
"""The least penalty, of what nothing is known of."""
WAVES = 6
"""Waves of a season that is drawn by them, and half as many of a year."""


class Form(NamedTuple):
    """A form of the regression.

    Attributes
    ----------
    log : bool
        Whether logarithms are forecast, so that seasons and errors grow with the level.
    trend : bool
        Whether a line goes through the level.
    half_life : float
        Points after which a point weighs half as much.
    """

    log: bool
    trend: bool
    half_life: float


class TrendSeasons(Forecaster):
    """Least squares of each series on a line, its seasons and exogenous columns, with errors that fade [1].

        y_t = a + b t + season(t) + c' z_t + e_t,    e_(T+k) = rho^k e_T,

    of the values or of their logarithms, with a line or without, with all points alike or the later ones weighing more:
    of these forms each series takes the one that was best on its own last points. A season is a value for each of its
    points (hours, weekdays, months), or waves where these are many; of hours there are weekdays beside, of days and
    weeks a year where two have been seen.

    Parameters
    ----------
    penalty : float, >= 0
        Of the squares of seasons and of exogenous columns in units of their deviation: that many points speak for 0.
    most : int, >= 8
        Points that are read, the last ones.

    Attributes
    ----------
    exogenous_ : tuple of str
        Channels that are known of the future.

    References
    ----------
    [1] Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", third edition, chapters 7 and 10.
    """

    card = Card(
        slug="trend-seasons",
        cost=1.0,
        title="Forecasting: Principles and Practice",
        venue="OTexts 2021",
        summary="Forecast by least squares on a trend, seasons and what is known of the future; nothing is pretrained.",
        unseen={"domains"},
        modalities={"series"},
        protocols={"forecasting"},
        task="series",
        baseline=True,
        notes=(
            "Errors fade by one number (an autoregression of order 1, fitted after the regression), where the book "
            "fits ARIMA errors with it.",
            "Holidays are not known; a column of the future can tell them.",
        ),
    )

    penalty: NonNegative = 1.0
    most: Count = 4096

    exogenous_: tuple[str, ...] = dataclasses.field(init=False)

    def fit(self, *, series: Domain) -> Self:
        """Take note that nothing is known of the future; a series is learnt from when it is forecast."""
        self.exogenous_ = ()
        return self

    # -- forecasting ---------------------------------------------------------------------------------------

    def forecast(
        self, x: Any, *, horizon: int | None = None, future: Any = None, period: float = float("nan")
    ) -> Float[np.ndarray, "n h c"]:
        """The next points of every series and of every channel that is not exogenous, in its units.

        Parameters
        ----------
        x : Domain of kind series, or array (n, t, c)
            NaN is a missing value.
        horizon : int, optional
            12 if absent.
        future : Domain or array (n, horizon, k)
            The exogenous channels at the times to come, where some were named.
        period : float
            Seconds between two points, where `x` is an array.

        Raises
        ------
        ValueError
            If a series is too short or has no value, or the future of an exogenous channel is missing.
        """
        n = 12 if horizon is None else horizon
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise ValueError(f"horizon must be an integer of at least 1; got {horizon!r}")
        arrays, periods, names = read_contexts(x, period, least=self.limits.least, most=self.most, channels=None)
        if missing := [name for name in self.exogenous_ if name not in names]:
            raise ValueError(f"x must have the channels {', '.join(self.exogenous_)}; it lacks {missing[0]}")
        known = known_future(x, future, int(n), len(arrays), self.exogenous_)
        if future is not None and known is None:
            raise ValueError("future is for exogenous channels; none were named")
        places = [k for k, name in enumerate(names) if name not in self.exogenous_]
        outside = [names.index(name) for name in self.exogenous_]
        out = np.empty((len(arrays), int(n), len(places)))
        for i, (values, seconds) in enumerate(zip(arrays, periods)):
            grid = grid_of(x, i) if isinstance(x, Domain) else counted_grid(len(values), seconds)
            first = max(len(values) - self.most, 0)
            values, season = values[first:], season_of(seconds, grid.step)
            rows = known[i] if known is not None else np.empty((int(n), 0))
            beside = np.concatenate([filled_rows(values[:, outside]), rows])
            by_days = abs(season * seconds - DAY) < 1
            place = _place_in_day(grid, first) if by_days else first
            columns = design(len(values), int(n), season, beside, place=place, weekdays=by_days)
            with limited_threads():  # small matrices, many times: threads would wait for each other
                for j, k in enumerate(places):
                    out[i, :, j] = self._best(values[:, k], columns, int(n), season)
        return out

    def _best(
        self, y: Float[np.ndarray, " t"], columns: Float[np.ndarray, "s p"], horizon: int, season: int
    ) -> Float[np.ndarray, " h"]:
        """The forecast of the form that was best on the last points, of two stretches where there is room."""
        held = min(horizon, max(len(y) // 4, 1))
        errors: dict[Form, float] = {}
        for form in forms(y, season):
            deviations = []
            for back in (held, 2 * held):
                stop = len(y) - back
                truth = y[stop : stop + held]
                if stop < max(4, season) or not np.isfinite(y[:stop]).any() or not np.isfinite(truth).any():
                    continue
                forecast = self._forecast(y[:stop], columns[: stop + held], form)
                deviations.append(float(np.nanmean(np.abs(forecast - truth))))
            errors[form] = float(np.mean(deviations)) if deviations else 0.0
        return self._forecast(y, columns, min(errors, key=errors.__getitem__))

    def _forecast(
        self, y: Float[np.ndarray, " t"], columns: Float[np.ndarray, "s p"], form: Form
    ) -> Float[np.ndarray, " h"]:
        """Least squares on what is there, and what is left of the last error."""
        n = len(y)
        values = np.log(y) if form.log else y
        line = (np.arange(len(columns)) - (n - 1)) / max(n - 1, 1)
        x = np.column_stack([np.ones(len(columns)), *([line] if form.trend else []), columns])
        free = 1 + form.trend
        seen = np.isfinite(values)
        last = int(np.flatnonzero(seen)[-1])
        weights = 0.5 ** ((last - np.arange(n)) / form.half_life)
        w, known = weights[seen], x[:n][seen]
        penalty = np.full(x.shape[1], max(self.penalty, LEAST))
        penalty[:free] = LEAST
        gram = (known * w[:, None]).T @ known + np.diag(penalty)
        beta = np.linalg.solve(gram, (known * w[:, None]).T @ values[seen])
        errors = values - x[:n] @ beta
        fade = _fade(errors, weights)
        steps = np.arange(n, len(columns)) - last
        forecast = x[n:] @ beta + errors[last] * fade**steps
        return np.exp(np.clip(forecast, -700, 700)) if form.log else forecast

    # -- what `unseen forecast` asks -----------------------------------------------------------------------

    learns_windows: ClassVar[bool] = False

    @property
    def limits(self) -> Limits:
        """Eight points at least."""
        return Limits(least=8, most=self.most, least_is="the least that a line goes through")

    @classmethod
    def pretrained(cls) -> Self:
        """Return one; there is nothing to pretrain."""
        method = cls()
        method.exogenous_ = ()
        return method

    def tuned(
        self, series: Domain, *, fraction: float, exogenous: Sequence[str], seed: int, settings: Mapping[str, Any]
    ) -> Self:
        """Return a copy that knows which channels are known of the future."""
        method = copy.copy(self)
        method.exogenous_ = tuple(exogenous)
        return method


def forms(y: Float[np.ndarray, " t"], season: int) -> Iterator[Form]:
    """The forms that are tried: without a trend first, which wins where nothing tells them apart."""
    positive = bool((y[np.isfinite(y)] > 0).all())
    lives = (np.inf, float(max(4 * season, 32)))
    for log, trend, life in itertools.product((False, True) if positive else (False,), (False, True), lives):
        yield Form(log, trend, life)


def design(
    n: int, horizon: int, season: int, outside: Float[np.ndarray, "s k"], *, place: int = 0, weekdays: bool = False
) -> Float[np.ndarray, "s p"]:
    """Columns of `n` points and of those to come: seasons, and exogenous channels in units of their deviation.

    `place` is that of the first point in its season; with `weekdays` a season is a day, and there are columns of these.
    """
    t = place + np.arange(n + horizon)
    columns: list[np.ndarray] = []
    if 1 < season <= n:
        columns += _season(t, season)
        if weekdays and n >= 2 * WEEK * season:
            columns += [(t // season % WEEK == k).astype(float) for k in range(WEEK)]
    year = YEARS.get(season, 0)
    if year and year != season and n >= 2 * year:
        columns += _waves(t, year, WAVES // 2)
    if outside.shape[1]:
        mean, spread = outside[:n].mean(axis=0), outside[:n].std(axis=0)
        lively = spread > SAME * np.abs(mean)  # of one that never changed before, nothing is known
        columns += list(((outside - mean)[:, lively] / spread[lively]).T)
    return np.column_stack(columns) if columns else np.empty((n + horizon, 0))


def _place_in_day(grid: Grid, first: int) -> int:
    """Points between midnight and the point `first`, where there are times; else `first`."""
    time = grid.times[first]
    if not grid.step:
        return first
    return round((time - time.normalize()).total_seconds() / grid.period)


def _season(t: np.ndarray, points: int) -> list[np.ndarray]:
    if points > MANY:
        return _waves(t, points, WAVES)
    return [(t % points == k).astype(float) for k in range(points)]


def _waves(t: np.ndarray, points: int, waves: int) -> list[np.ndarray]:
    angles = [2 * np.pi * k * t / points for k in range(1, waves + 1)]
    return [wave(angle) for angle in angles for wave in (np.sin, np.cos)]


def filled_rows(values: Float[np.ndarray, "t k"]) -> Float[np.ndarray, "t k"]:
    """Missing values of exogenous channels as their means."""
    seen = np.isfinite(values)
    mean = np.where(seen, values, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    return np.where(seen, values, mean)


def _fade(errors: Float[np.ndarray, " t"], weights: Float[np.ndarray, " t"]) -> float:
    """How much of an error is left at the next point, in [0, 1): the regression of errors on those before them."""
    both = np.isfinite(errors[1:]) & np.isfinite(errors[:-1])
    before, after, w = errors[:-1][both], errors[1:][both], weights[1:][both]
    power = float((w * before**2).sum())
    return float(np.clip((w * before * after).sum() / power, 0.0, 0.999)) if power > 0 else 0.0
