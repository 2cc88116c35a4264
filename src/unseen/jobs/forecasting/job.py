"""`unseen forecast`: the future of a series of the user, by what has been best on its own past, with intervals."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.naive import last_value, season_of, seasonal_naive
from unseen.data.series import (
    channels_of,
    forecast_frame,
    future_values,
    grid_of,
    part,
    periods_of,
    pick,
    read_series,
)
from unseen.files import about
from unseen.jobs.forecasting.backtest import Array, Forecaster, backtest, before, bounds, choice, origins_of
from unseen.methods.forecasting.ttm import TTM, pretrained
from unseen.methods.forecasting.ttm.pretrained import check_tuning
from unseen.methods.forecasting.ttm.windows import RESOLUTIONS, resolution_of
from unseen.runtime import replacing_files

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

FAR = 4
"""Horizons of the model beyond which a warning says that it reads its own forecasts."""
NAIVE = ("seasonal-naive", "last-value")
METHODS = ("auto", "ttm", "ttm-tuned", *NAIVE)


@dataclasses.dataclass(frozen=True)
class Forecast:
    """A forecast and how its method did on the past of the series.

    Attributes
    ----------
    table : DataFrame
        series, time, channel, forecast, and low and high where there are intervals.
    chosen : str
        The method.
    backtest : DataFrame
        method, mae, rmse, against (the error over that of the seasonal naive), coverage; the best first. Each is
        the mean over series and channels of that of one. Empty if the series is too short for one.
    why : str
        Why this method, in a sentence.
    series : Domain
        What was read.
    intervals : float or None
        Probability of the intervals.
    """

    table: pd.DataFrame
    chosen: str
    backtest: pd.DataFrame
    why: str
    series: Domain
    intervals: float | None = None


def forecast(
    series: str | os.PathLike[str] | pd.DataFrame | Domain,
    *,
    horizon: int = 96,
    context: int | None = None,
    time: str | None = None,
    columns: Sequence[str] | None = None,
    by: str | None = None,
    future: str | os.PathLike[str] | pd.DataFrame | Domain | None = None,
    few_shot: float | None = None,
    intervals: float | None = 0.9,
    method: str = "auto",
    model: TTM | None = None,
    settings: Mapping[str, Any] | None = None,
    day_first: bool | None = None,
    seed: int = 0,
) -> Forecast:
    """Forecast a table with a time column.

    Tuning is tried on the past with what came before the backtest; if it is chosen, the model is tuned again on all.

    Parameters
    ----------
    series : path, DataFrame or Domain of kind series
        As `unseen.data.series.read_series` takes it, with `time`, `columns` and `by`.
    horizon : int
        Points to forecast.
    context : int, optional
        Points that are read before them; as many as the model takes if absent, and not more.
    future : as `series`, optional
        What is known of the future: its columns that the series has, too, are exogenous. It asks for tuning. It must
        hold a value for each of them at each of the `horizon` times, whatever the method.
    few_shot : float in (0, 1], optional
        Share of the windows of the past to tune the model on; None tunes it only where there is a `future`.
    intervals : float in (0, 1), optional
        Probability of the intervals; None gives none.
    method : str
        ttm, ttm-tuned, seasonal-naive, last-value, or auto: what had the smallest error on the past.
    model : TTM, optional
        A pretrained one, not adapted, in the place of the one that comes with the package.
    settings : mapping, optional
        Hyperparameters of `TTM.adapt`, for tuning.
    day_first : bool, optional
        Whether 01/02/2024 is February 1; see `read_series`.
    seed : int

    Notes
    -----
    Of several series, those that the model cannot read (shorter than a patch, or without a value in what it would
    read) get the naive forecast, without intervals, with a warning; one alone is refused.

    Raises
    ------
    ValueError
        If something of this does not fit the series; the message says what.
    """
    _check(horizon, context, few_shot, intervals, method)
    base = pretrained() if model is None else model
    _check_model(base)
    if settings:
        check_tuning(base, settings)
        if few_shot is None and future is None:
            raise ValueError(f"settings ({', '.join(settings)}) are for tuning: give few_shot or a future, too")
    reach = _reach(base, context, horizon, method)
    whole = _read(series, columns, future, time=time, by=by, day_first=day_first)
    known = _future(future, whole, time, by, day_first)
    exogenous = _exogenous(whole, known, columns)
    targets = [c for c in (columns or channels_of(whole)) if c not in exogenous]
    if not targets:
        raise ValueError(f"future must leave a column to forecast; it holds all of {', '.join(channels_of(whole))}")
    if known is not None:
        future_values(whole, known, horizon, exogenous)
    whole = pick(whole, [*targets, *exogenous])
    places = _readable(whole, base, reach, method)
    read = whole.take(places)
    if method not in NAIVE:
        _warn_of_steps(read, base)
    if few_shot is None and exogenous:
        few_shot = 1.0
    origins = origins_of(read, horizon, base, reach)
    tune = None
    if few_shot is not None:
        changed = {"fraction": few_shot, "exogenous": tuple(exogenous), "random_state": seed, **(settings or {})}
        tune = functools.partial(_tuned, base, changed)
    tuned = None if tune is None else tune(before(read, origins))
    forecasters = _forecasters(base, tuned, targets, exogenous, context)
    if method != "auto" and method not in forecasters:
        raise ValueError("method 'ttm-tuned' needs few_shot (or a future)")
    past = backtest(read, forecasters, targets, horizon, origins, known=exogenous)
    table, chosen, why = choice(past, method, intervals)
    if chosen == "ttm-tuned" and past and tune is not None:
        forecasters = _forecasters(base, tune(read), targets, exogenous, context)
    y = forecasters[chosen](read, horizon, known)
    names = [str(name) for name in np.asarray(read.ids)]
    low, high = bounds(y, past[chosen], intervals, names) if past else (None, None)
    if intervals is not None and not past:
        log.warning(
            "no intervals: they are made of errors on the series' own past, for which it is too short; "
            "a smaller horizon or a longer series gives them"
        )
    if len(read) < len(whole):
        others = forecasters[chosen if chosen in NAIVE else NAIVE[0]](whole, horizon, known)
        low, high = (None if end is None else _placed(end, places, np.full_like(others, np.nan)) for end in (low, high))
        y = _placed(y, places, others)
    frame = forecast_frame(whole, y, low=low, high=high, channels=targets)
    return Forecast(frame, chosen, table, why, pick(whole, targets), intervals)


def _check(horizon: int, context: int | None, few_shot: float | None, intervals: float | None, method: str) -> None:
    if horizon < 1:
        raise ValueError(f"horizon must be at least 1; got {horizon}")
    if context is not None and context < 1:
        raise ValueError(f"context must be at least 1; got {context}")
    for name, value in (("few_shot", few_shot), ("intervals", intervals)):
        if value is not None and not (0 < value < 1 or (name == "few_shot" and value == 1)):
            raise ValueError(f"{name} must lie in (0, 1{']' if name == 'few_shot' else ')'}; got {value}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")


def _check_model(model: TTM) -> None:
    """A pretrained model that has not been adapted."""
    if not model.fitted:
        raise ValueError("model must be fitted; this TTM has not been")
    if "channels_" in model.fitted:
        told = ", ".join(model.channels_)
        raise ValueError(f"model must be pretrained, not adapted; this one was adapted to the channels {told}")


def _reach(model: TTM, context: int | None, horizon: int, method: str) -> int:
    """Points that the model reads; a warning tells where a context or a horizon goes far beyond the model's own."""
    if context is not None and context < model.patch:
        raise ValueError(f"context must be at least {model.patch}, a patch of the model; got {context}")
    if context is not None and context > model.context and method not in NAIVE:
        log.warning("context is %d; the model reads the last %d of these points", context, model.context)
    if horizon > FAR * model.horizon and method not in NAIVE:
        log.warning(
            "horizon is %d; the model forecasts %d points at once, and the others from its own forecasts",
            horizon, model.horizon,
        )  # fmt: skip
    return min(context or model.context, model.context)


def _read(series: Any, columns: Sequence[str] | None, future: Any, **options: Any) -> Domain:
    """The series, with all their columns if some of these may be in the future."""
    if isinstance(series, Domain):
        return series
    if future is None:
        return read_series(series, columns=columns, **options)
    read = read_series(series, **options)
    if set(columns or ()) - set(channels_of(read)):
        read_series(series, columns=columns, **options)  # tells which are text, and which are not there
    return read


def _future(future: Any, read: Domain, time: str | None, by: str | None, day_first: bool | None) -> Domain | None:
    """What is known of the future; one row of it has the step of the series."""
    if future is None or isinstance(future, Domain):
        return future
    return read_series(future, time=time, by=by, step=grid_of(read).step, day_first=day_first)


def _exogenous(read: Domain, known: Domain | None, columns: Sequence[str] | None) -> list[str]:
    """Columns of the future that the series has, in its order."""
    have = channels_of(read)
    for column in columns or ():
        if column not in have:
            raise ValueError(f"columns must be of {', '.join(have)}; got {column!r}")
    if known is None:
        return []
    ahead = channels_of(known)
    found = [c for c in have if c in ahead]
    if not found:
        raise ValueError(
            f"future must share a column of numbers with the series ({', '.join(have)}); it has {', '.join(ahead)}"
        )
    both = [c for c in columns or () if c in found]
    if both and len(both) < len(columns or ()):
        raise ValueError(f"columns must not name {both[0]!r}, which future holds")
    unused = [c for c in ahead if c not in have]
    if unused:
        log.warning("future holds %s, which the series has not: not used", ", ".join(unused))
    return found


# -- what the model can read -------------------------------------------------------------------------------


def _readable(series: Domain, model: TTM, reach: int, method: str) -> list[int]:
    """Places of the series that the model can read; a warning names the others.

    Raises
    ------
    ValueError
        If a column has no value at all, or the model can read none and no naive method was asked for.
    """
    for k, channel in enumerate(channels_of(series)):
        if not any(np.isfinite(x[:, k]).any() for x in series.x):
            raise ValueError(f"column {channel!r} of {series.name} has no value; leave it out (`columns`)")
    lacks = {i: _lack(series, i, model.patch, reach) for i in range(len(series))}
    places = [i for i, lack in lacks.items() if not lack]
    told = "; ".join(lack for lack in lacks.values() if lack)
    if not places and method not in NAIVE:
        raise ValueError(f"the model cannot read this: {told} (method={NAIVE[0]} can do with less)")
    if told and method not in NAIVE:
        log.warning("the naive forecast, without intervals, where the model cannot read a series: %s", told)
    return places or list(lacks)


def _lack(series: Domain, i: int, least: int, reach: int) -> str:
    """Why the model cannot read a series; empty if it can."""
    values, name = np.asarray(series.x[i]), str(series.ids[i])  # type: ignore[index]
    if len(values) < least:
        return f"{name} has {len(values)} points, and {least} are the least"
    empty = np.isnan(values[-reach:]).all(axis=0)
    if empty.any():
        channel = channels_of(series)[int(np.argmax(empty))]
        return f"column {channel!r} of {name} has no value in the last {len(values[-reach:])} points"
    return ""


def _unseen(series: Domain, model: TTM) -> NDArray[np.bool_]:
    """Which series, (n,), have a step like none of those that pretraining has seen."""
    known = {RESOLUTIONS[0], *model.resolutions_}
    return np.array([RESOLUTIONS[resolution_of(period)] not in known for period in periods_of(series).tolist()])


def _warn_of_steps(series: Domain, model: TTM) -> None:
    """One warning for all steps that pretraining has not seen."""
    new = np.flatnonzero(_unseen(series, model)).tolist()
    steps = {grid_of(series, i).step or f"{periods_of(series)[i]:g} seconds" for i in new}
    if steps:
        log.warning("pretraining has seen no series with a step of %s: taken as unknown", ", ".join(sorted(steps)))


def _as_known(series: Domain, model: TTM) -> Domain:
    """The series without a period where pretraining has seen none like it: as the model would take them."""
    periods = np.where(_unseen(series, model), np.nan, periods_of(series))
    return series.replace(columns={**series.columns, "period": periods})


def _placed(values: Array, places: Sequence[int], others: Array) -> Array:
    """`others` with `values` at `places`."""
    out = others.copy()
    out[list(places)] = values
    return out


# -- the methods -------------------------------------------------------------------------------------------


def _tuned(base: TTM, changed: Mapping[str, Any], past: Domain) -> TTM:
    """The model, tuned on what is long enough in `past` with these hyperparameters; its own stay."""
    before = base.get_params()
    long = [i for i, x in enumerate(past.x) if len(x) >= base.patch + 2 * base.horizon]
    try:
        return base.set_params(**changed).adapt(series=_as_known(past.take(long) if long else past, base))
    finally:
        base.set_params(**before)


def _forecasters(
    base: TTM, tuned: TTM | None, targets: Sequence[str], exogenous: Sequence[str], context: int | None
) -> dict[str, Forecaster]:
    """What can be tried, by name: each from series (and what is known) to (n, h, targets)."""

    def zero_shot(series: Domain, horizon: int, known: Domain | None) -> Array:
        return base.forecast(_as_known(_last(pick(series, targets), context), base), horizon=horizon)

    def few_shot(series: Domain, horizon: int, known: Domain | None) -> Array:
        assert tuned is not None
        ahead = None if not exogenous else known
        return tuned.forecast(_as_known(_last(series, context), base), horizon=horizon, future=ahead)

    found: dict[str, Forecaster] = {"ttm": zero_shot}
    if tuned is not None:
        found["ttm-tuned"] = few_shot
    return found | {
        "seasonal-naive": functools.partial(_naive, targets, True),
        "last-value": functools.partial(_naive, targets, False),
    }


def _naive(targets: Sequence[str], seasonal: bool, series: Domain, horizon: int, known: Domain | None) -> Array:
    chosen = pick(series, targets)
    seasons = [season_of(p) if seasonal else 1 for p in periods_of(chosen)]
    pieces = [np.asarray(x)[None] for x in chosen.x]
    return np.concatenate(
        [seasonal_naive(p, horizon, s) if s > 1 else last_value(p, horizon) for p, s in zip(pieces, seasons)]
    )


def _last(series: Domain, context: int | None) -> Domain:
    return series if context is None else part(series, -context, None)


# -- files -------------------------------------------------------------------------------------------------


def write(result: Forecast, out: str | os.PathLike[str]) -> Path:
    """Write forecast.csv, backtest.csv and forecast.png to a folder, all or nothing."""
    from unseen.jobs.forecasting.page import draw

    folder = Path(out)
    jobs: dict[str, Callable[[Path], Any]] = {
        "forecast.csv": lambda file: result.table.to_csv(file, index=False),
        "backtest.csv": lambda file: result.backtest.to_csv(file, index=False),
        "forecast.png": lambda file: draw(result.series, result.table, result.chosen, file, result.intervals),
    }
    with replacing_files(folder, jobs) as part:
        for name, job in jobs.items():
            with about(folder / name):
                job(part / name)
    return folder
