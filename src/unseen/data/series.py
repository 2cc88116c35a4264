"""Series with a time index: from a table to regular arrays, and from a forecast back to a table with true dates."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain, Lazy
from unseen.files import check_plain, reads

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

Irregular = Literal["resample", "raise"]

TIME_COLUMNS = ("time", "timestamp", "date", "datetime", "ds", "ts", "date_time", "time_hour")
"""Names under which the time is looked for where none is given."""
COARSE = 1e-4
"""The part of a deviation by which float32 may move a value."""
TOO_MANY_GAPS = 0.5
"""A grid on which a larger share of points is missing is no grid of this series."""

DATED = r"\b\d{4}\b|\b\d{1,2}[/.\-]\d{1,2}[/.\-]\d{2,4}\b"
"""What stands in a cell that may be a date."""
LOOKED_AT = 1000
"""Cells by which a column is known as one of dates."""
YEARS = (1000, 3000)
"""Whole numbers between these, in a column of times, are years."""
UNITS = ("1D", "1h", "30min", "15min", "10min", "5min", "1min", "30s", "10s", "1s", "100ms", "10ms", "1ms")
"""What the step of a grid near irregular times is told in."""
SNAP = 0.1
"""The part of itself by which that step may move to be told in a coarser unit."""

NUMBERS_FIRST = r"^\s*(\d{1,2})[/.\-](\d{1,2})[/.\-]\d{2,4}\b"
"""Dates that begin with the day or with the month."""

SECONDS = {"D": 86400.0, "W": 7 * 86400.0, "M": 30.4375 * 86400.0, "Q": 91.3125 * 86400.0, "Y": 365.25 * 86400.0}
"""Seconds of a calendar step, on average."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """The regular times of one series.

    Attributes
    ----------
    times : DatetimeIndex or RangeIndex
    step : str
        What pandas calls the step, such as ``h``, ``30min`` or ``MS``, perhaps with days after it, such as
        ``MS+14D`` for the fifteenth of every month; empty for a count instead of a time.
    period : float
        The step in seconds, on average; NaN for a count.
    """

    times: Any
    step: str
    period: float

    def after(self, n: int) -> Any:
        """The next `n` times."""
        import pandas as pd

        last = self.times[-1]
        if not self.step:
            return pd.RangeIndex(last + 1, last + 1 + n)
        return _dates(last, self.step, n=n + 1)[1:]


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
        What pandas calls the step, for a series of a single time, which is refused without it.

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
    frame, called = _frame(table)
    called = name or called
    if by is not None and by not in frame.columns:
        raise ValueError(f"by must be a column of {called} ({', '.join(map(str, frame.columns))}); got {by!r}")
    frame = _timed(frame, time, by, called, day_first)
    numbers = _numbers(frame, columns, by, called)
    parts = {called: numbers} if by is None else {f"{k}": one for k, one in numbers.groupby(frame[by].to_numpy())}
    arrays, grids = [], []
    for key, part in parts.items():
        values, grid = _regular(part, key, irregular, step)
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
    for one, told in zip(values, names):
        if one.ndim != 2 or 0 in one.shape or one.shape[1] != values[0].shape[1]:
            raise ValueError(f"{told} must be of shape (t, {values[0].shape[-1]}) with t > 0; got {one.shape}")
        if np.isinf(one).any():
            raise ValueError(f"{told} must not hold infinity; a missing value is NaN")
    if grids is None:
        periods = np.broadcast_to(np.asarray(period, dtype=float), len(values))
        if (periods <= 0).any():
            raise ValueError(f"period must be seconds above 0, or NaN where nobody knows; got {periods.min():g}")
        grids = [_counted(len(one), float(each)) for one, each in zip(values, periods)]
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
    times = _dates(pd.Timestamp(str(series.columns["start"][i])), step, n=n)
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
        return pd.read_parquet(path), path.stem
    try:
        mark = "\t" if path.suffix.lower() == ".tsv" else _separator(path)
        return pd.read_csv(path, sep=mark, decimal="," if mark == ";" else "."), path.stem
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path} holds no rows") from error


def _separator(path: Path) -> str:
    """What separates the cells of a .csv: the mark that stands most often in its first line, outside of quotes."""
    with path.open(encoding="utf-8", errors="replace") as file:
        first = re.sub(r'"[^"]*"', "", file.readline())
    return max(",;\t|", key=first.count)


def _timed(
    frame: pd.DataFrame, time: str | None, by: str | None, name: str, day_first: bool | None = None
) -> pd.DataFrame:
    """The frame with its times as the index."""
    import pandas as pd

    if not len(frame):
        raise ValueError(f"{name} holds no rows")
    if time is None and isinstance(frame.index, (pd.DatetimeIndex, pd.PeriodIndex)):
        index = frame.index.to_timestamp() if isinstance(frame.index, pd.PeriodIndex) else frame.index
        return frame.set_axis(_plain_times(index), axis=0)
    found = time if time is not None else _time_column(frame, by, name)
    if found is None:
        return frame.reset_index(drop=True)
    if found not in frame.columns:
        raise ValueError(f"time must be a column of {name} ({', '.join(map(str, frame.columns))}); got {found!r}")
    cells = frame[found]
    if pd.api.types.is_numeric_dtype(cells):
        return frame.drop(columns=found).set_axis(_years(cells, name), axis=0)
    first = _day_first(cells, name, day_first)
    try:
        index = pd.DatetimeIndex(pd.to_datetime(cells, utc=_with_zone(cells), dayfirst=first))
    except (ValueError, TypeError) as error:
        read = pd.to_datetime(cells, utc=True, dayfirst=first, errors="coerce")
        row = int(np.argmax((read.isna() & cells.notna()).to_numpy()))
        raise ValueError(
            f"the times of {name} (column {found!r}) cannot be read in one form: row {row + 1} is "
            f"{cells.iloc[row]!r}, row 1 is {cells.iloc[0]!r}"
        ) from error
    if index.isna().any():
        raise ValueError(f"row {int(np.argmax(index.isna())) + 1} of {name} has no time (column {found!r})")
    return frame.drop(columns=found).set_axis(_plain_times(index), axis=0)


def _time_column(frame: pd.DataFrame, by: str | None, name: str) -> Any:
    """The column of times by its name, else the only one of dates, else the years; None, with a warning, if none is."""
    lower = {str(column).casefold(): column for column in frame.columns}
    usual = next((lower[word] for word in TIME_COLUMNS if word in lower), None)
    if usual is not None:
        return usual
    dated = [column for column in frame.columns if column != by and _dated(frame[column])]
    if len(dated) == 1:
        return dated[0]
    year = lower.get("year")
    once = [year] if by is None else [year, by]
    if not dated and year not in (None, by) and _whole_years(frame[year]) and not frame.duplicated(once).any():
        return year
    told = ", ".join(map(str, dated or frame.columns))
    log.warning(
        "%s has %s (%s): its rows are counted, and no season is known; name the column of times by `time`",
        name, "several columns of dates" if dated else "no column of dates", told,
    )  # fmt: skip
    return None


def _dated(cells: Any) -> bool:
    """Whether most of the first cells are dates."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(cells):
        return True
    if pd.api.types.is_numeric_dtype(cells):
        return False
    text = cells.dropna().astype(str).head(LOOKED_AT)
    like = text[text.str.contains(DATED)]
    return 2 * int(pd.to_datetime(like, errors="coerce", format="mixed", utc=True).notna().sum()) > len(text)


def _whole_years(cells: Any) -> bool:
    """Whether all cells are whole numbers that are years."""
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(cells):
        return False
    values = cells.to_numpy(dtype=float, na_value=np.nan)
    return bool(((values >= YEARS[0]) & (values <= YEARS[1]) & (values % 1 == 0)).all())


def _years(cells: Any, name: str) -> Any:
    """The first days of years that are told as numbers."""
    import pandas as pd

    values = cells.to_numpy(dtype=float, na_value=np.nan)
    if np.isnan(values).any():
        raise ValueError(f"row {int(np.argmax(np.isnan(values))) + 1} of {name} has no time (column {cells.name!r})")
    if not _whole_years(cells):
        raise ValueError(
            f"the times of {name} (column {cells.name!r}) must be dates such as 2024-01-31, or whole years from "
            f"{YEARS[0]} to {YEARS[1]}; got numbers such as {values[0]:.12g}"
        )
    return pd.DatetimeIndex((values.astype(int) - 1970).astype("M8[Y]").astype("M8[s]"))


def _day_first(cells: Any, name: str, told: bool | None) -> bool:
    """Whether dates such as 01/02/2024 begin with the day: as `told`, or as a number above 12 shows."""
    found = cells.astype(str).str.extract(NUMBERS_FIRST).dropna().astype(int)
    if not len(found):
        return bool(told)
    first, second = found[0] > 12, found[1] > 12
    if told is not None:
        wrong = second if told else first
        if wrong.any():
            row = cells.loc[[wrong.idxmax()]].iloc[0]
            raise ValueError(f"day_first must be {not told} for the times of {name}; they hold {row!r}")
        return told
    if not first.any() and not second.any() and (found[0] != found[1]).any():
        raise ValueError(
            f"the times of {name} may begin with the day or with the month, such as {cells.iloc[0]!r}: give day_first "
            "(day_first=True or day_first=False), or write 2024-02-01"
        )
    return bool(first.any())


def _with_zone(cells: Any) -> bool:
    """Whether times carry an offset from UTC: several in one column are brought to UTC."""
    text = str(cells.iloc[0])
    return len(text) > 16 and (text.endswith("Z") or (text[-6:-5] in "+-" and text[-3:-2] == ":"))


def _plain_times(index: Any) -> Any:
    """Times without a zone: those of a zone are told in UTC, so that no hour stands twice or is missing."""
    return index.tz_convert("UTC").tz_localize(None) if index.tz is not None else index


def _numbers(frame: pd.DataFrame, columns: Sequence[str] | None, by: str | None, name: str) -> pd.DataFrame:
    """The channels in float64: the columns asked for, or all that hold numbers but calendar years."""
    import pandas as pd

    there = ", ".join(map(str, frame.columns))
    found: dict[str, Any] = {}
    for column in frame.columns if columns is None else columns:
        if column not in frame.columns:
            raise ValueError(f"columns must be of {there}; got {column!r}")
        if columns is None and column == by:
            continue
        values = _parsed(frame[column], name)
        if values is not None:
            found[str(column)] = values
        elif columns is not None:
            raise ValueError(f"column {column!r} of {name} must hold numbers; it holds {_kind(frame[column])}")
    if columns is None:
        for column in [c for c in found if c.casefold() == "year" and _whole_years(found[c]) and len(found) > 1]:
            log.warning("column %r of %s holds years: no channel, unless `columns` names it", column, name)
            del found[column]
    if not found:
        raise ValueError(f"{name} has no column of numbers; its columns are {there}")
    for column, values in found.items():
        if np.isinf(values.to_numpy()).any():
            raise ValueError(f"column {column!r} of {name} holds infinity; a missing value is an empty cell")
    return pd.DataFrame(found, index=frame.index)


def _kind(cells: Any) -> str:
    """What a column holds that is not one of numbers, with an example."""
    import pandas as pd

    word = "text" if pd.api.types.is_object_dtype(cells) or pd.api.types.is_string_dtype(cells) else str(cells.dtype)
    return " ".join([word, *(f"such as {str(cell)!r}" for cell in cells.dropna().head(1))])


def _parsed(cells: Any, name: str) -> Any:
    """The cells of a column as float64, NaN where they are empty; None where most are text or times.

    Raises
    ------
    ValueError
        If most are numbers, and one is neither a number nor empty.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(cells):
        return cells.astype(float)
    if pd.api.types.is_datetime64_any_dtype(cells) or pd.api.types.is_timedelta64_dtype(cells):
        return None
    cells = cells.astype(object)
    empty = (cells.isna() | (cells.astype(str).str.strip() == "")).to_numpy()
    values = pd.to_numeric(cells.mask(empty), errors="coerce")
    wrong = values.isna().to_numpy() & ~empty
    if not wrong.any():
        return values.astype(float)
    if 2 * wrong.sum() >= (~empty).sum():
        return None
    row = int(np.argmax(wrong))
    raise ValueError(
        f"column {cells.name!r} of {name} holds numbers, but row {row + 1} is {str(cells.iloc[row])!r}: leave the cell "
        "empty where a value is missing, or choose other columns by `columns`"
    )


def _counted(n: int, period: float) -> Grid:
    import pandas as pd

    return Grid(pd.RangeIndex(n), "", period)


def _regular(
    frame: pd.DataFrame, name: str, irregular: Irregular, lone: str | None = None
) -> tuple[pd.DataFrame, Grid]:
    """Values on a grid without gaps, in which NaN stands where there were no rows, and the grid."""
    import pandas as pd

    if not isinstance(frame.index, pd.DatetimeIndex):
        return frame, _counted(len(frame), float("nan"))
    frame = frame.sort_index()
    twice = frame.index[frame.index.duplicated()]
    if len(twice):
        raise ValueError(f"{name} has the time {twice[0]} more than once; give `by` if these are several series")
    if len(frame) == 1 and lone:
        return frame, Grid(frame.index, lone, seconds_of(lone))
    if len(frame) < 2:
        raise ValueError(f"{name} must have at least 2 times; got {len(frame)}")
    step = _step(frame.index)
    if step is None:
        median = _told(pd.Series(frame.index).diff().median())
        if irregular == "raise":
            raise ValueError(f"the times of {name} are on no regular grid; their median step is {median}")
        places, near = _near_grid(frame.index)
        step = _named(near)
        log.warning(
            "the times of %s are on no regular grid: means on a grid of %s (their median step is %s)",
            name, _told(near), median,
        )  # fmt: skip
        frame = frame.groupby(places).mean()
    full = _dates(frame.index[0], step, last=frame.index[-1])
    gaps = 1 - len(frame) / max(len(full), 1)
    if gaps > TOO_MANY_GAPS:
        raise ValueError(f"{name} has no rows for {gaps:.0%} of its times (step {step}); resample it to a longer step")
    if len(full) > len(frame):
        log.warning("%s has no rows for %d of %d times: missing values", name, len(full) - len(frame), len(full))
    return frame.reindex(full), Grid(full, step, seconds_of(step))


def _near_grid(times: Any) -> tuple[Any, pd.Timedelta]:
    """For times on no grid, the nearest points of one of about their median step, and its step.

    Step and place of the grid are plain where that is within what the steps and the times differ: their median
    deviation, and the circular deviation of the times modulo the step.
    """
    import pandas as pd

    moments = times.as_unit("ns").asi8
    gaps = np.diff(moments)
    median = int(np.median(gaps))
    differ = int(np.median(np.abs(gaps - median)))
    step = _plain(median, min(differ, int(SNAP * median)))
    mean = np.exp(2j * np.pi * (moments % step) / step).mean()
    turn = float(np.angle(mean)) / (2 * np.pi)
    spread = float(np.sqrt(-2 * np.log(np.clip(np.abs(mean), 1e-9, 1)))) / (2 * np.pi)
    first = _plain(round(turn * step), round(spread * step))
    return pd.DatetimeIndex((moments - first + step // 2) // step * step + first), pd.Timedelta(step, unit="ns")


def _plain(span: int, tolerance: int) -> int:
    """Nanoseconds as a multiple of the coarsest of `UNITS` that is within the tolerance; unchanged if none is."""
    import pandas as pd

    for unit in UNITS:
        size = pd.Timedelta(unit).as_unit("ns").value
        near = round(span / size) * size
        if abs(near - span) <= tolerance:
            return near
    return span


def _told(span: Any) -> str:
    """A span in words, without days where there are none."""
    return str(span).removeprefix("0 days ")


def _step(times: Any) -> str | None:
    """The step of the grid on which all times are, perhaps with gaps; None if there is none."""
    import pandas as pd

    if len(times) >= 3:
        found = pd.infer_freq(times)
        if found is not None:
            return found
    gaps = np.diff(times.asi8)
    base = int(np.median(gaps))
    if base > 0 and (gaps % base == 0).all():
        return _named(pd.Timedelta(base, unit=times.unit))
    for calendar in ("MS", "ME", "QS", "QE", "YS", "YE"):
        full = pd.date_range(times[0], times[-1], freq=calendar)
        if len(full) >= len(times) and full[0] == times[0] and times.isin(full).all() and len(full) < 2 * len(times):
            return calendar
    day = int(times[0].day)
    if 1 < day < 29 and (times.day == day).all():
        for step in ("MS", "QS", "YS"):
            calendar = f"{step}+{day - 1}D"
            full = _dates(times[0], calendar, last=times[-1])
            if len(full) >= len(times) and times.isin(full).all() and len(full) < 2 * len(times):
                return calendar
    return None


def _dates(first: Any, step: str, *, n: int | None = None, last: Any = None) -> Any:
    """`n` times of a grid from `first`, or those up to `last`."""
    import pandas as pd

    base, _, days = step.partition("+")
    shift = pd.Timedelta(days=int(days.removesuffix("D") or 0))
    end: Any = None if last is None else last - shift
    times: Any = pd.date_range(start=first - shift, end=end, periods=n, freq=base)  # type: ignore[call-overload]
    return times + shift


def _named(step: pd.Timedelta) -> str:
    """What pandas calls a step; whole days are days."""
    import pandas as pd

    days = step / pd.Timedelta(days=1)
    if days >= 1 and days == int(days):
        return "D" if days == 1 else f"{int(days)}D"
    return pd.tseries.frequencies.to_offset(step).freqstr


def seconds_of(step: str) -> float:
    """Seconds of a step such as ``h``, ``30min``, ``W-SUN`` or ``MS``; calendar steps on average."""
    import pandas as pd

    offset = pd.tseries.frequencies.to_offset(step.partition("+")[0])
    try:
        return float(pd.Timedelta(offset).total_seconds())  # type: ignore[arg-type]
    except ValueError:
        kind = str(offset.rule_code).partition("-")[0]
        if kind.lower() in ("bh", "cbh"):  # hours of business days
            return 3600.0 * offset.n
        letter = "D" if kind in ("B", "C", "D") else kind.lstrip("BC")[0]
        return SECONDS[{"A": "Y"}.get(letter, letter)] * offset.n
