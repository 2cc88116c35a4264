"""`ForecastModel`: what was chosen for a series, kept, so that it goes on from any later table of it."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.data.domain import Domain
from unseen.data.series import forecast_frame, future_values, grid_of, part, pick, read_series, stacked
from unseen.evaluation.rolling import Array
from unseen.files import check_kinds, loads, read_json
from unseen.jobs.forecasting.backtest import placed
from unseen.jobs.forecasting.forecasters import ABOUT, NAIVE, STATE, TUNED, attempts_of, lack, reach_of
from unseen.methods.forecasting.forecaster import Forecaster
from unseen.nn.state import load_state, save_state, write_folder

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

FORMAT, MOST = 1, 10**6


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a table must look, of which a saved model forecasts what follows; `forecaster.json` holds it.

    Attributes
    ----------
    chosen : str
        The method, such as ttm-tuned or seasonal-naive.
    targets, exogenous : list of str
        Columns that are forecast, and those that must be known of the future.
    horizon : int
        Points that are forecast.
    least : int
        Points that a series must have.
    steps : list of str
        What pandas calls the steps of the series that it was chosen for; "" for those that are counted.
    context : int or None
        Points that are read, the last ones; None for all.
    time, by : str or None
        Columns with the times, and that tells series apart, as they were named.
    day_first : bool or None
    intervals : float or None
        Probability of the intervals.
    ends_with_future : bool
        Whether the last rows, in which no column to forecast has a value, are the future, as they are where one was
        known when it was chosen; else they are missing values.
    """

    chosen: str
    targets: list[str]
    exogenous: list[str]
    horizon: int
    least: int
    steps: list[str]
    context: int | None = None
    time: str | None = None
    by: str | None = None
    day_first: bool | None = None
    intervals: float | None = None
    ends_with_future: bool = False

    @classmethod
    def load(cls, folder: Path) -> Reading:
        """Read it; `ValueError` says what is wrong."""
        about = read_json(folder / ABOUT)
        if not isinstance(about, dict) or about.pop("format", None) != FORMAT:
            raise ValueError(f"{folder / ABOUT} is not of format {FORMAT}")
        try:
            read = check_kinds(cls(**about))
        except TypeError as error:
            raise ValueError(f"{folder / ABOUT} is damaged: {error}") from error
        names = [*read.targets, *read.exogenous, *read.steps]
        if not (read.targets and read.steps and all(isinstance(name, str) for name in names)):
            raise ValueError(f"{folder / ABOUT} is damaged: it must name columns and steps")
        for name in ("horizon", "least", "context"):
            if not 1 <= (getattr(read, name) or 1) <= MOST:
                raise ValueError(f"{folder / ABOUT} is damaged: {name} must lie in [1, {MOST}]")
        return read

    def __call__(self, table: str | os.PathLike[str] | pd.DataFrame) -> tuple[Domain, Domain | None]:
        """Series up to their last known value, and what the table knows of the time after it.

        Raises
        ------
        ValueError
            If a column is missing, the step is another one, a series is too short, or the future is not known where it
            must be.
        """
        columns = [*self.targets, *self.exogenous]
        if not isinstance(table, (str, os.PathLike)):
            table = table.rename(columns=str)
        series = read_series(
            table,
            time=self.time,
            columns=columns,
            by=self.by,
            day_first=self.day_first,
            step=(self.steps[0] or None) if len(self.steps) == 1 else None,
        )
        for i, name in enumerate(np.asarray(series.ids).tolist()):
            if (step := grid_of(series, i).step) not in self.steps:
                wanted = " or ".join(allowed or "none (rows are counted)" for allowed in self.steps)
                raise ValueError(f"{name} must have a step of {wanted}; it has {step or 'none (no times)'}")
            rows = np.flatnonzero(np.isfinite(series.x[i]).any(axis=1))
            if len(rows) > 2 and (apart := int(np.diff(rows).min())) > 1:
                raise ValueError(f"{name} must have a step of {step}; its rows are at least {apart} such steps apart")
        known = None
        if self.ends_with_future:
            series, known = self._apart(series)
        if len(lacks := self.lacks(series)) == len(series):
            raise ValueError("; ".join(lacks.values()))
        return series, known

    def lacks(self, series: Domain) -> dict[int, str]:
        """The places of series that the model cannot read, and why."""
        reasons = {i: lack(series, i, self.least, self.context or len(series.x[i])) for i in range(len(series))}
        return {i: why for i, why in reasons.items() if why}

    def _apart(self, series: Domain) -> tuple[Domain, Domain | None]:
        """The series up to the last value of a target, and the exogenous columns after it."""
        until = []
        for values, name in zip(series.x, np.asarray(series.ids).tolist()):
            seen = np.flatnonzero(np.isfinite(values[:, : len(self.targets)]).any(axis=1))
            if not len(seen):
                raise ValueError(f"{name} must have a value of {' or '.join(self.targets)}; it has none")
            if (ahead := len(values) - 1 - int(seen[-1])) < self.horizon and self.exogenous:
                raise ValueError(
                    f"{name} must end with {self.horizon} rows that know {', '.join(self.exogenous)} and not yet "
                    f"{', '.join(self.targets)}; it ends with {ahead}"
                )
            until.append(int(seen[-1]) + 1)
        ones = [series.take([i]) for i in range(len(series))]
        past = stacked([part(single, 0, stop) for single, stop in zip(ones, until)])
        if not self.exogenous:
            return past, None
        known = pick(stacked([part(single, stop, None) for single, stop in zip(ones, until)]), self.exogenous)
        future_values(past, known, self.horizon, self.exogenous)
        return past, known


@dataclasses.dataclass(frozen=True, eq=False)
class ForecastModel:
    """What was chosen for a series: it forecasts what follows a table of the same columns and the same step.

    Attributes
    ----------
    reading : Reading
        How the table must look.
    forecaster : Forecaster or None
        None where the method learns nothing, such as seasonal-naive.
    names : tuple of str
        The series that it was chosen for.
    widths : array (n, h, c) or None
        Half the width of the interval at each step, from the errors of each of these series on its own past: taken for
        the one of the same name, or where a table holds one series without a name.
    """

    reading: Reading
    forecaster: Forecaster | None
    names: tuple[str, ...]
    widths: Array | None = None

    def forecast(self, table: str | os.PathLike[str] | pd.DataFrame) -> pd.DataFrame:
        """The future of a table's series: series, time, channel, forecast and, with intervals, low and high.

        Raises
        ------
        ValueError
            If the table is not as `reading` says; the message tells where.
        """
        return self.ahead(*self.reading(table))

    def ahead(self, series: Domain, known: Domain | None) -> pd.DataFrame:
        """The future of series that `reading` has read."""
        reading = self.reading
        forecaster = self.forecaster
        slug = reading.chosen.removesuffix(TUNED)
        tried = {} if forecaster is None else {slug: forecaster}
        tuned = tried if reading.chosen.endswith(TUNED) else {}
        attempts = attempts_of(tried, tuned, reading.targets, reading.exogenous, reading.context)
        lacks = reading.lacks(series)
        places = [i for i in range(len(series)) if i not in lacks]
        values = attempts[reading.chosen](series.take(places), reading.horizon, known)
        if lacks:
            log.warning(
                "the naive forecast, without intervals, where a series cannot be read: %s", "; ".join(lacks.values())
            )
            values = placed(values, places, attempts["seasonal-naive"](series, reading.horizon, known))
        if self.widths is None:
            return forecast_frame(series, values, channels=reading.targets)
        widths = np.full(values.shape, np.nan)
        names = np.asarray(series.ids).tolist()
        for i in places:
            if names[i] in self.names:
                widths[i] = self.widths[self.names.index(names[i])]
            elif reading.by is None and len(self.names) == len(series) == 1:
                widths[i] = self.widths[0]  # the same series in another file
        return forecast_frame(series, values, low=values - widths, high=values + widths, channels=reading.targets)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write it into a folder, all or nothing."""

        def write(place: Path) -> None:
            (place / ABOUT).write_text(json.dumps({"format": FORMAT, **dataclasses.asdict(self.reading)}, indent=1))
            held = {"forecaster": self.forecaster, "names": list(self.names), "widths": self.widths}
            save_state(place / STATE, held)

        return write_folder(folder, write)

    @classmethod
    @loads("what `unseen forecast` wrote")
    def load(cls, folder: str | os.PathLike[str]) -> ForecastModel:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If something is missing, damaged or changed; the message names the folder.
        """
        place = Path(folder)
        reading, held = Reading.load(place), load_state(place / STATE)
        try:
            forecaster, names, widths = held["forecaster"], tuple(held["names"]), held["widths"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{place} holds no forecaster") from error
        slug = reading.chosen.removesuffix(TUNED)
        fits = isinstance(forecaster, Forecaster) and forecaster.fitted and forecaster.card.slug == slug
        if not (reading.chosen in NAIVE if forecaster is None else fits):
            raise ValueError(f"{place} must hold a forecaster {reading.chosen}; it holds {forecaster!r}")
        shape = len(names), reading.horizon, len(reading.targets)
        if not names or (widths is not None and np.shape(widths) != shape):
            raise ValueError(f"{place} must hold widths of shape {shape}; got {np.shape(widths)}")
        return cls(reading, forecaster, names, widths)


def kept(
    chosen: str,
    tried: dict[str, Forecaster],
    tuned: dict[str, Forecaster],
    series: Domain,
    widths: Array | None,
    *,
    exogenous: list[str],
    context: int | None,
    **fields: Any,
) -> ForecastModel:
    """The model of a choice among forecasters, as they came and as they were tuned, on `series`."""
    slug, was_tuned = chosen.removesuffix(TUNED), chosen.endswith(TUNED)
    forecaster = (tuned if was_tuned else tried).get(slug)
    reach = sys.maxsize if forecaster is None else reach_of(forecaster, context)
    steps = list(dict.fromkeys(grid_of(series, i).step for i in range(len(series))))
    reading = Reading(
        chosen=chosen,
        exogenous=exogenous if was_tuned else [],  # no other reads the future
        ends_with_future=bool(exogenous),
        least=1 if forecaster is None else forecaster.limits.least,
        steps=steps,
        context=None if reach == sys.maxsize else reach,
        **fields,
    )
    return ForecastModel(reading, forecaster, tuple(np.asarray(series.ids).tolist()), widths)
