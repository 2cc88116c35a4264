"""Series with a time index: from a table to regular arrays, and from a forecast back to a table with true dates."""

from __future__ import annotations

import dataclasses
import functools
import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.delimited import MOST_COLUMNS, SEPARATORS, form_in, read_rows
from unseen.data.domain import Domain, Lazy
from unseen.data.reading import read_parquet
from unseen.data.time_grid import (
    COARSE,
    TIME_COLUMNS,
    Grid,
    Irregular,
    as_numbers,
    check_step,
    counted_grid,
    dates_from,
    on_regular_grid,
    with_times,
    with_zone,
)
from unseen.files import check_plain, reads, sentence
from unseen.spreadsheets import restored_table

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


# -- reading -----------------------------------------------------------------------------------------------


@reads("a table of series", "write it as CSV with a row for each time")
def read_series(
    table: str | os.PathLike[str] | pd.DataFrame,
    *,
    time: str | None = None,
    columns: Sequence[str] | None = None,
    by: str | None = None,
    irregular: Irregular = "resample",
    name: str | None = None,
    day_first: bool | None = None,
    step: str | None = None,
) -> Domain:
    """Read a table with a time column as series on a regular grid.

    Parameters
    ----------
    table : path (.csv, .tsv, .parquet) or DataFrame
        A row for each time. The times may be the index. A .csv may be separated by semicolons, tabs or bars, too;
        with semicolons, numbers may have a decimal comma.
    time : str, optional
        The column with the times: dates, or years as whole numbers. Absent, it is found by its usual names, else it
        is the only column of dates, else ``year``. A table without times is counted, with a warning.
    columns : list of str, optional
        The channels; all columns of numbers but ``year`` if absent. Empty cells and those that pandas takes for
        missing (NA, nan, null) are missing values.
    by : str, optional
        A column that tells several series in one table apart.
    irregular : {"resample", "raise"}
        What to do with times that are on no grid: take means on a grid of about the median step (a plain one if there
        is one within what the steps differ), each time counting to the nearest point, with a warning; or refuse.
    name : str, optional
    day_first : bool, optional
        Whether 01/02/2024 is February 1. Absent, it is told by a number above 12; refused if none is.
    step : str, optional
        What pandas calls the step, where all times are on its grid: of a single time, which is refused without it, or
        of one with gaps, in which a week is else seven days.

    Returns
    -------
    Domain
        Of kind series; a sample is a float32 array (t, c) in which NaN is a missing value, float64 where float32
        would lose digits that matter (see `series_domain`). Columns: ``channels``
        (n, c), ``start`` and ``end`` (text), ``step`` (what pandas calls it) and ``period`` (seconds).

    Raises
    ------
    ValueError
        If a time stands twice, cannot be read, there are no numbers, a column of numbers has a cell that is none, or
        most points of the grid have no row; the message names series, row and column.
    """
    check_step(step)
    frame, called = _frame(table)
    called = name or called
    if by is not None and by not in frame.columns:
        raise ValueError(f"by must be a column of {called} ({', '.join(map(str, frame.columns))}); got {by!r}")
    frame = with_times(frame, time, by, called, day_first)
    numbers = as_numbers(frame, columns, by, called)
    parts = {called: numbers} if by is None else {f"{k}": group for k, group in numbers.groupby(frame[by].to_numpy())}
    arrays, grids = [], []
    for key, part in parts.items():
        values, grid = on_regular_grid(part, key, irregular, step)
        arrays.append(values.to_numpy(dtype=np.float64))
        grids.append(grid)
    return series_domain(arrays, grids=grids, channels=list(numbers.columns), ids=list(parts), name=called)


def series_domain(
    arrays: Sequence[NDArray[Any]],
    *,
    grids: Sequence[Grid] | None = None,
    period: float | Sequence[float] = float("nan"),
    channels: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    name: str = "series",
    credits: tuple[str, ...] = (),
) -> Domain:
    """Series that are arrays already, (t, c) or (t,), each with its grid or its `period` in seconds.

    A series is kept in float32, or in float64 where float32 would move a value of a channel by more than a
    ten-thousandth of its deviation: a small wave on a large offset.

    Raises
    ------
    ValueError
        If there is none, one is empty, holds infinity, they differ in their channels, or a period is not above 0.
    """
    if not len(arrays):
        raise ValueError("arrays must hold at least one series; it is empty")
    values = [_single(np.asarray(a)) for a in arrays]
    values = [a[:, None] if a.ndim == 1 else a for a in values]
    names = [f"series {i}" for i in range(len(values))] if ids is None else list(map(str, ids))
    for array, series_name in zip(values, names):
        if array.ndim != 2 or 0 in array.shape or array.shape[1] != values[0].shape[1]:
            raise ValueError(f"{series_name} must be of shape (t, {values[0].shape[-1]}) with t > 0; got {array.shape}")
        if np.isinf(array).any():
            raise ValueError(f"{series_name} must not hold infinity; a missing value is NaN")
    if grids is None:
        periods = np.broadcast_to(np.asarray(period, dtype=float), len(values))
        if (periods <= 0).any():
            raise ValueError(f"period must be seconds above 0, or NaN where nobody knows; got {periods.min():g}")
        grids = [counted_grid(len(array), float(each)) for array, each in zip(values, periods)]
    labels = [str(c) for c in channels] if channels is not None else [f"y{i}" for i in range(values[0].shape[1])]
    if len(labels) != values[0].shape[1]:
        raise ValueError(f"channels must be {values[0].shape[1]} names; got {labels}")
    columns = {
        "channels": np.array([labels] * len(values), dtype=np.str_),
        "start": np.array([str(g.times[0]) for g in grids], dtype=np.str_),
        "end": np.array([str(g.times[-1]) for g in grids], dtype=np.str_),
        "step": np.array([g.step for g in grids], dtype=np.str_),
        "period": np.array([g.period for g in grids], dtype=float),
    }
    x = Lazy(range(len(values)), functools.partial(_one, values))
    return Domain(x=x, kind="series", task="value", ids=np.array(names), columns=columns, name=name, credits=credits)


def _single(values: NDArray[Any]) -> NDArray[Any]:
    """The values in float32, or in float64 where float32 is too coarse for their channel."""
    if values.dtype.kind == "f" and values.dtype.itemsize <= 4:
        return values.astype(np.float32)
    values = values.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        short = values.astype(np.float32)
        seen = ~np.isnan(values)
        n = np.maximum(seen.sum(axis=0), 1)
        mean = np.where(seen, values, 0).sum(axis=0) / n
        variance = (np.where(seen, values - mean, 0) ** 2).sum(axis=0) / n
        moved = np.where(seen, np.abs(short - values), 0)
    return values if (moved > COARSE * np.sqrt(variance)).any() else short


def _one(values: list[NDArray[Any]], i: int) -> NDArray[Any]:
    return values[i].copy()


def channels_of(series: Domain) -> tuple[str, ...]:
    """The names of the channels; y0, y1, ... where nobody named them."""
    if "channels" in series.columns:
        return tuple(series.columns["channels"][0].tolist())
    return tuple(f"y{i}" for i in range(np.asarray(series.x[0]).reshape(len(series.x[0]), -1).shape[1]))


def periods_of(series: Domain) -> NDArray[np.float64]:
    """Seconds between two points of every series, (n,); NaN where nobody knows."""
    return np.asarray(series.columns.get("period", np.full(len(series), np.nan)), dtype=float)


def grid_of(series: Domain, i: int = 0) -> Grid:
    """The times of series `i`; a count where there are none."""
    import pandas as pd

    n = len(series.x[i])
    step = str(series.columns["step"][i]) if "step" in series.columns else ""
    if not step:
        start = str(series.columns["start"][i]) if "start" in series.columns else "0"
        first = int(float(start)) if start else 0
        return Grid(pd.RangeIndex(first, first + n), "", float(periods_of(series)[i]))
    times = dates_from(pd.Timestamp(str(series.columns["start"][i])), step, n=n)
    return Grid(times, step, float(periods_of(series)[i]))


def part(series: Domain, start: int | None, stop: int | None) -> Domain:
    """The points [start, stop) of every series, as a slice takes them; times move along."""
    arrays, grids = [], []
    for i in range(len(series)):
        grid, values = grid_of(series, i), np.asarray(series.x[i])[start:stop]
        if not len(values):
            raise ValueError(f"{series.ids[i]} has no points in [{start}, {stop})")  # type: ignore[index]
        arrays.append(values)
        grids.append(dataclasses.replace(grid, times=grid.times[start:stop]))
    ids = None if series.ids is None else series.ids.tolist()
    return series_domain(
        arrays, grids=grids, channels=channels_of(series), ids=ids, name=series.name, credits=series.credits
    )


def stacked(pieces: Sequence[Domain]) -> Domain:
    """The series of several domains of the same channels, in one."""
    if len(pieces) == 1:
        return pieces[0]
    return series_domain(
        [x for p in pieces for x in p.x],
        grids=[grid_of(p, i) for p in pieces for i in range(len(p))],
        channels=channels_of(pieces[0]),
        ids=[str(series_id) for p in pieces for series_id in np.asarray(p.ids)],
        name=pieces[0].name,
    )


def pick(series: Domain, channels: Sequence[str]) -> Domain:
    """The named channels, in that order; `ValueError` names one that is not there."""
    have = channels_of(series)
    for channel in channels:
        if channel not in have:
            raise ValueError(f"channels must be of {', '.join(have)}; got {channel!r}")
    index = [have.index(channel) for channel in channels]
    arrays = [np.asarray(x)[:, index] for x in series.x]
    grids = [grid_of(series, i) for i in range(len(series))]
    ids = None if series.ids is None else series.ids.tolist()
    return series_domain(arrays, grids=grids, channels=channels, ids=ids, name=series.name, credits=series.credits)


# -- writing -----------------------------------------------------------------------------------------------


def forecast_frame(
    series: Domain,
    values: NDArray[Any],
    *,
    low: NDArray[Any] | None = None,
    high: NDArray[Any] | None = None,
    channels: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Forecasts (n, h, c) as a table with the true future times, a row for each series, time and channel.

    Columns: series, time, channel, forecast and, with intervals, low and high.
    """
    import pandas as pd

    names = list(channels or channels_of(series))
    rows = []
    for i in range(len(series)):
        times = grid_of(series, i).after(values.shape[1])
        for k, channel in enumerate(names):
            cells = {"series": str(series.ids[i]), "time": times, "channel": channel, "forecast": values[i, :, k]}  # type: ignore[index]
            if low is not None and high is not None:
                cells |= {"low": low[i, :, k], "high": high[i, :, k]}
            rows.append(pd.DataFrame(cells))
    return pd.concat(rows, ignore_index=True)


def future_values(series: Domain, future: Domain, horizon: int, channels: Sequence[str]) -> NDArray[np.float32]:
    """Values of `channels` at the `horizon` times that follow each series, (n, horizon, c), looked up by time.

    Raises
    ------
    ValueError
        If a time or a value is missing; the message names the first.
    """
    known = pick(future, channels)
    by_id = {str(identity): i for i, identity in enumerate(known.ids)}  # type: ignore[arg-type]
    out = []
    for i in range(len(series)):
        times = grid_of(series, i).after(horizon)
        j = by_id.get(str(series.ids[i]), 0 if len(known) == 1 else None)  # type: ignore[index]
        if j is None:
            raise ValueError(f"future has no series {str(series.ids[i])!r}; it has {', '.join(by_id)}")  # type: ignore[index]
        there, cells = grid_of(known, j).times, np.asarray(known.x[j])
        if type(there) is not type(times):
            raise ValueError("future and series must both have times, or both be counted")
        places = there.get_indexer(times)
        lacks = times[(places < 0)]
        if len(lacks):
            steps = grid_of(series, i).step, grid_of(known, j).step
            differ = "" if steps[0] == steps[1] else f" (its step is {steps[1]}, that of the series is {steps[0]})"
            raise ValueError(f"future must reach from {times[0]} to {times[-1]}; it lacks {lacks[0]}{differ}")
        values = cells[places]
        if np.isnan(values).any():
            step, k = map(int, np.argwhere(np.isnan(values))[0])
            raise ValueError(f"future must be known: {channels[k]} is missing at {times[step]}")
        out.append(values)
    return np.stack(out)


def has_offsets(table: str | os.PathLike[str] | pd.DataFrame, time: str | None = None) -> bool:
    """Whether the times of a table that `read_series` takes have offsets; False where the column is not found."""
    frame, _ = _frame(table)
    lower = {str(column).casefold(): column for column in frame.columns}
    column = time if time is not None else next((lower[word] for word in TIME_COLUMNS if word in lower), None)
    return column in frame.columns and bool(with_zone(frame[column]))


# -- the grid ----------------------------------------------------------------------------------------------


def _frame(table: Any) -> tuple[pd.DataFrame, str]:
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        return table.copy(), "table"
    path = Path(table)
    if path.suffix.lower() not in (".csv", ".tsv", ".parquet"):
        raise ValueError(f"a series must be a .csv, .tsv or .parquet file, or a DataFrame; got {str(path)!r}")
    check_plain(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    if path.suffix.lower() == ".parquet":
        with path.open("rb") as stored:
            return read_parquet(stored).to_pandas(), path.stem
    with path.open("rb") as file:
        return _read_csv(file, path.suffix.lower(), str(path)), path.stem


def table_of_text(text: str, most_columns: int = MOST_COLUMNS) -> pd.DataFrame:
    """A table of the text of a .csv, for `read_series`; `ValueError` if it is none, or has more columns."""
    return _read_csv(io.BytesIO(text.encode()), ".csv", "it", most_columns)


def _read_csv(file: IO[bytes], suffix: str, called: str, most_columns: int = MOST_COLUMNS) -> pd.DataFrame:
    import pandas as pd

    try:
        form = form_in(file, suffix, (*SEPARATORS, "|"), called=called)
        decimal = "," if form.separator == ";" else "."  # columns with points are read as well
        return restored_table(read_rows(file, form, decimal=decimal, most_columns=most_columns))
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{called} holds no rows") from error
    except pd.errors.ParserError as error:
        raise ValueError(f"{called} cannot be read as a table: {sentence(error)}") from error
