"""`unseen forecast`: the future of a series of the user, by what has been best on its own past, with intervals."""

from __future__ import annotations

import dataclasses
import logging
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.data.domain import Domain
from unseen.data.series import (
    channels_of,
    forecast_frame,
    future_values,
    grid_of,
    has_offsets,
    pick,
    read_series,
)
from unseen.evaluation.drive import Rolling
from unseen.evaluation.rolling import Array, Past
from unseen.files import about
from unseen.jobs.forecasting.backtest import choice, placed, widths_of
from unseen.jobs.forecasting.forecasters import (
    NAIVE,
    TUNED,
    as_known,
    attempts_of,
    reach_of,
    readable,
    takers_of,
    to_try,
    warn_of_limits,
    warn_of_steps,
)
from unseen.jobs.forecasting.model import ForecastModel, kept
from unseen.methods.forecasting.forecaster import Forecaster
from unseen.runtime import replacing_files
from unseen.spreadsheets import harmless_table

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


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
    model : ForecastModel
        What was chosen, to be saved: it goes on from later tables of the same columns.
    intervals : float or None
        Probability of the intervals.
    horizon : int
        Points that are forecast.
    starts : sequence of (series, point)
        Where the forecasts of the past begin.
    said : float array (n, h, c)
        What the method said there of the channels of `series`; it has no row if the series are too short.
    """

    table: pd.DataFrame
    chosen: str
    backtest: pd.DataFrame
    why: str
    series: Domain
    model: ForecastModel
    intervals: float | None
    horizon: int
    starts: Sequence[tuple[int, int]]
    said: Array


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
    model: Forecaster | None = None,
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
        A forecaster (`forecasters`, such as ttm), one that is tuned (ttm-tuned), seasonal-naive, last-value, or auto:
        what had the smallest error on the past.
    model : Forecaster, optional
        A pretrained one, not adapted, in the place of the one that comes with the package.
    settings : mapping, optional
        Hyperparameters of tuning, such as those of `TTM.adapt`; each forecaster that has all of them takes them.
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
    _check(horizon, few_shot, intervals, method)
    tried = to_try(method, model, context)
    if (named := method.removesuffix(TUNED)) in tried:
        tried = {named: tried[named]}
    takers = takers_of(tried, settings or {}, method)
    if settings and few_shot is None and future is None:
        raise ValueError(f"settings ({', '.join(settings)}) are for tuning: give few_shot or a future, too")
    if method not in NAIVE:
        warn_of_limits(tried, context, horizon)
    whole, known, targets, exogenous = _read(series, future, columns, horizon, time=time, by=by, day_first=day_first)
    if method in tried or method in NAIVE:
        _warn_of_unused(method, few_shot, future)
    whole = pick(whole, [*targets, *exogenous])
    places, tried = readable(whole, tried, context, method)
    read = whole.take(places)
    if method not in NAIVE:
        warn_of_steps(read, tried)
    if few_shot is None and exogenous:
        few_shot = 1.0
    least = max(model.limits.least for model in tried.values())
    look_back = Rolling(horizon, targets, exogenous)
    origins = look_back.origins(read, least, min(reach_of(model, context) for model in tried.values()))
    tuning = None if few_shot is None else _Tuning(few_shot, exogenous, takers, seed)
    tuned = {} if tuning is None else tuning.before_all(tried, look_back.before(read, origins), method)
    attempts = attempts_of(tried, tuned, targets, exogenous, context)
    if method != "auto" and method not in attempts:
        raise ValueError(f"method {method!r} needs few_shot (or a future)")
    past = look_back(read, origins, attempts)
    table, chosen, why = choice(past, method, intervals, next(iter(tried)))
    name = chosen.removesuffix(TUNED)
    if chosen != name and past:
        assert tuning is not None
        tuned = {name: tuning.of(name, tried[name], read)}
        attempts = attempts_of(tried, tuned, targets, exogenous, context)
    y = attempts[chosen](read, horizon, known)
    widths = _widths(past.get(chosen), read, horizon, intervals)
    saved = kept(
        chosen, tried, tuned, read, widths, context=context, targets=targets, exogenous=exogenous, horizon=int(horizon),
        time=time, by=by, day_first=day_first, intervals=intervals,
    )  # fmt: skip
    naive = attempts[chosen if chosen in NAIVE else "seasonal-naive"]
    others = naive(whole, horizon, known) if len(read) < len(whole) else None
    frame = _table(whole, y, widths, places, others, targets)
    said = past[chosen].forecast if past else np.zeros((0, *y.shape[1:]))
    starts = [(places[i], start) for i, begin in enumerate(origins) for start in begin.tolist()] if past else []
    return Forecast(frame, chosen, table, why, pick(whole, targets), saved, intervals, int(horizon), starts, said)


FARTHEST = 100_000
"""Points that are forecast at most: eleven years of hours."""


def _check(horizon: int, few_shot: float | None, intervals: float | None, method: str) -> None:
    if horizon < 1:
        raise ValueError(f"horizon must be at least 1; got {horizon}")
    if horizon > FARTHEST:
        raise ValueError(f"horizon must be at most {FARTHEST:,} points; got {horizon}: a longer step needs fewer")
    for name, value in (("few_shot", few_shot), ("intervals", intervals)):
        if value is not None and not (0 < value < 1 or (name == "few_shot" and value == 1)):
            raise ValueError(f"{name} must lie in (0, 1{']' if name == 'few_shot' else ')'}; got {value}")


def _warn_of_unused(method: str, few_shot: float | None, future: Any) -> None:
    """Tell what is given and not used by a method that is not tuned."""
    unused = [label for label, value in (("tuning", few_shot), ("the future", future)) if value is not None]
    if unused:
        log.warning(
            "method %s %s: what is tuned does, such as ttm-tuned, and auto tries it",
            method, f"uses neither {' nor '.join(unused)}" if len(unused) > 1 else f"does not use {unused[0]}",
        )  # fmt: skip


# -- what is read ------------------------------------------------------------------------------------------


def _read(
    series: Any, future: Any, columns: Sequence[str] | None, horizon: int, *, time: str | None, **options: Any
) -> tuple[Domain, Domain | None, list[str], list[str]]:
    """The series, what is known of their future, the columns to forecast and those that are known ahead."""
    whole = _loaded_series(series, columns, future, time=time, **options)
    known = _future(future, whole, time=time, **options)
    exogenous = _exogenous(whole, known, columns)
    targets = [c for c in (columns or channels_of(whole)) if c not in exogenous]
    if not targets:
        raise ValueError(f"future must leave a column to forecast; it holds all of {', '.join(channels_of(whole))}")
    if known is not None:
        hint = _offsets_differ(series, future, time)
        try:
            future_values(whole, known, horizon, exogenous)
        except ValueError as error:
            raise ValueError(f"{error}; {hint}" if hint else str(error)) from error
        if hint:
            log.warning("%s", hint)
    return whole, known, targets, exogenous


def _loaded_series(series: Any, columns: Sequence[str] | None, future: Any, **options: Any) -> Domain:
    """The series, with all their columns if some of these may be in the future."""
    if isinstance(series, Domain):
        return series
    if future is None:
        return read_series(series, columns=columns, **options)
    read = read_series(series, **options)
    if set(columns or ()) - set(channels_of(read)):
        read_series(series, columns=columns, **options)  # tells which are text, and which are not there
    return read


def _future(future: Any, read: Domain, **options: Any) -> Domain | None:
    """What is known of the future; one row of it has the step of the series."""
    if future is None or isinstance(future, Domain):
        return future
    return read_series(future, step=grid_of(read).step, **options)


def _offsets_differ(series: Any, future: Any, time: str | None) -> str:
    """A hint where the times of one table have offsets and those of the other none; empty where they do not differ."""
    if isinstance(series, Domain) or isinstance(future, Domain):
        return ""
    have = has_offsets(series, time), has_offsets(future, time)
    if have[0] == have[1]:
        return ""
    some, none = ("the series", "future") if have[0] else ("future", "the series")
    return f"the times of {some} have offsets, those of {none} none, and are taken as UTC: write both in one way"


def _exogenous(read: Domain, known: Domain | None, columns: Sequence[str] | None) -> list[str]:
    """Columns of the future that the series has, in its order."""
    have = channels_of(read)
    for column in columns or ():
        if column not in have:
            raise ValueError(f"columns must be of {', '.join(have)}; got {column!r}")
    if known is None:
        return []
    ahead = channels_of(known)
    shared = [c for c in have if c in ahead]
    if not shared:
        raise ValueError(
            f"future must share a column of numbers with the series ({', '.join(have)}); it has {', '.join(ahead)}"
        )
    both = [c for c in columns or () if c in shared]
    if both and len(both) < len(columns or ()):
        raise ValueError(f"columns must not name {both[0]!r}, which future holds")
    unused = [c for c in ahead if c not in have]
    if unused:
        log.warning("future holds %s, which the series has not: not used", ", ".join(unused))
    return shared


# -- what is forecast --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Tuning:
    """How forecasters are tuned: on which share of the windows, with which columns ahead, settings and seed."""

    fraction: float
    exogenous: list[str]
    settings: Mapping[str, Mapping[str, Any]]
    seed: int

    def of(self, name: str, model: Forecaster, past: Domain) -> Forecaster:
        """The forecaster, tuned on a past."""
        settings, past = self.settings.get(name, {}), as_known(past, model)
        return model.tuned(past, fraction=self.fraction, exogenous=self.exogenous, seed=self.seed, settings=settings)

    def before_all(self, tried: Mapping[str, Forecaster], past: Domain, method: str) -> dict[str, Forecaster]:
        """All that can be tuned, on what came before the backtest; `ValueError` only of the one that was asked for."""
        tuned = {}
        for name, model in tried.items():
            if not model.tunes() or not (self.exogenous or model.learns_windows):
                continue
            try:
                tuned[name] = self.of(name, model, past)
            except ValueError as error:
                if method == name + TUNED or len(tried) == 1:
                    raise
                log.warning("%s%s is not tried: %s", name, TUNED, error)
        return tuned


def _widths(past: Past | None, read: Domain, horizon: int, level: float | None) -> Array | None:
    """Half the widths of the intervals, (n, h, c), of errors of the past; None, with a warning, where there is none."""
    if level is None:
        return None
    if past is None:
        log.warning(
            "no intervals: they are made of errors on the series' own past, for which it is too short; "
            "a smaller horizon or a longer series gives them"
        )
        return None
    return widths_of(past, len(read), horizon, level, [str(name) for name in np.asarray(read.ids)])


def _table(
    whole: Domain, y: Array, widths: Array | None, places: Sequence[int], others: Array | None, targets: Sequence[str]
) -> pd.DataFrame:
    """A forecast as rows; where some series stand at no `places`, they have what `others` tell, without intervals."""
    low, high = (None, None) if widths is None else (y - widths, y + widths)
    if others is not None:
        low, high = (None if end is None else placed(end, places, np.full_like(others, np.nan)) for end in (low, high))
        y = placed(y, places, others)
    return forecast_frame(whole, y, low=low, high=high, channels=targets)


# -- files -------------------------------------------------------------------------------------------------


def write(result: Forecast, out: str | os.PathLike[str], command: str = "") -> Path:
    """Write forecast.csv, backtest.csv, forecast.png, report.html and the folder model, all or nothing."""
    from unseen.jobs.forecasting.page import draw, write_page

    folder = Path(out)
    jobs: dict[str, Callable[[Path], Any]] = {
        "forecast.csv": lambda file: harmless_table(result.table).to_csv(file, index=False),
        "backtest.csv": lambda file: harmless_table(result.backtest).to_csv(file, index=False),
        "forecast.png": lambda file: draw(result, file),
        "report.html": lambda file: write_page(result, file, model=shlex.quote(str(folder)), command=command),
        "model": result.model.save,
    }
    with replacing_files(folder, jobs) as part:
        for name, job in jobs.items():
            with about(folder / name):
                job(part / name)
    return folder
