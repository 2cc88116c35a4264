"""The times of a series: read from a table's cells, told as a step, made regular."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

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
SPARSE, FEW = 40, 10_000
"""Points of a grid for each row, and beside them, from which on it is not made; business hours are a fifth of all."""
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


MARKS = r"[,'\s\u00a0\u2019%$€£¥]"
"""What may stand in a number for people."""


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
        return dates_from(last, self.step, n=n + 1)[1:]


def with_times(
    frame: pd.DataFrame, time: str | None, by: str | None, name: str, day_first: bool | None = None
) -> pd.DataFrame:
    """The frame with its times as the index."""
    import pandas as pd

    if not len(frame):
        raise ValueError(f"{name} holds no rows")
    if time is None and isinstance(frame.index, (pd.DatetimeIndex, pd.PeriodIndex)):
        index = frame.index.to_timestamp() if isinstance(frame.index, pd.PeriodIndex) else frame.index
        return frame.set_axis(_plain_times(index), axis=0)
    column = time if time is not None else _time_column(frame, by, name)
    if column is None:
        return frame.reset_index(drop=True)
    if column not in frame.columns:
        raise ValueError(f"time must be a column of {name} ({', '.join(map(str, frame.columns))}); got {column!r}")
    cells = frame[column]
    if pd.api.types.is_numeric_dtype(cells):
        return frame.drop(columns=column).set_axis(_years(cells, name), axis=0)
    first = _day_first(cells, name, day_first)
    try:
        index = pd.DatetimeIndex(pd.to_datetime(cells, utc=with_zone(cells), dayfirst=first))
    except (ValueError, TypeError) as error:
        read = pd.to_datetime(cells, utc=True, dayfirst=first, errors="coerce")
        row = int(np.argmax((read.isna() & cells.notna()).to_numpy()))
        raise ValueError(
            f"the times of {name} (column {column!r}) cannot be read in one form: row {row + 1} is "
            f"{cells.iloc[row]!r}, row 1 is {cells.iloc[0]!r}"
        ) from error
    if index.isna().any():
        raise ValueError(f"row {int(np.argmax(index.isna())) + 1} of {name} has no time (column {column!r})")
    return frame.drop(columns=column).set_axis(_plain_times(index), axis=0)


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
    columns = ", ".join(map(str, dated or frame.columns))
    log.warning(
        "%s has %s (%s): its rows are counted, and no season is known; name the column of times by `time`",
        name, "several columns of dates" if dated else "no column of dates", columns,
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


def _day_first(cells: Any, name: str, day_first: bool | None) -> bool:
    """Whether dates such as 01/02/2024 begin with the day: as `day_first`, or as a number above 12 shows."""
    numbers = cells.astype(str).str.extract(NUMBERS_FIRST).dropna().astype(int)
    if not len(numbers):
        return bool(day_first)
    first, second = numbers[0] > 12, numbers[1] > 12
    if day_first is not None:
        wrong = second if day_first else first
        if wrong.any():
            row = cells.loc[[wrong.idxmax()]].iloc[0]
            raise ValueError(f"day_first must be {not day_first} for the times of {name}; they hold {row!r}")
        return day_first
    if not first.any() and not second.any() and (numbers[0] != numbers[1]).any():
        raise ValueError(
            f"the times of {name} may begin with the day or with the month, such as {cells.iloc[0]!r:.60}: give "
            "day_first=True or day_first=False, or write 2024-02-01"
        )
    return bool(first.any())


def with_zone(cells: Any) -> bool:
    """Whether times carry an offset from UTC: several in one column are brought to UTC."""
    text = str(cells.iloc[0])
    return len(text) > 16 and (text.endswith("Z") or (text[-6:-5] in "+-" and text[-3:-2] == ":"))


def _plain_times(index: Any) -> Any:
    """Times without a zone: those of a zone are told in UTC, so that no hour stands twice or is missing."""
    return index.tz_convert("UTC").tz_localize(None) if index.tz is not None else index


def as_numbers(frame: pd.DataFrame, columns: Sequence[str] | None, by: str | None, name: str) -> pd.DataFrame:
    """The channels in float64: the columns asked for, or all that hold numbers but calendar years."""
    import pandas as pd

    there = ", ".join(map(str, frame.columns))
    channels: dict[str, Any] = {}
    for column in frame.columns if columns is None else columns:
        if column not in frame.columns:
            raise ValueError(f"columns must be of {there}; got {column!r}")
        if columns is None and column == by:
            continue
        values = _parsed(frame[column], name)
        if values is not None:
            channels[str(column)] = values
        elif columns is not None:
            raise ValueError(f"column {column!r} of {name} must hold numbers; it holds {_kind(frame[column])}")
        elif (cell := _marked_number(frame[column])) is not None:
            log.warning(
                "column %r of %s is left out: its cells, such as %r, are no plain numbers; write them without marks "
                "of thousands, units and signs, such as 10234.5", column, name, cell,
            )  # fmt: skip
    if columns is None:
        for column in [
            c for c in channels if c.casefold() == "year" and _whole_years(channels[c]) and len(channels) > 1
        ]:
            log.warning("column %r of %s holds years: no channel, unless `columns` names it", column, name)
            del channels[column]
    if not channels:
        raise ValueError(f"{name} has no column of numbers; its columns are {there}")
    for column, values in channels.items():
        if np.isinf(values.to_numpy()).any():
            raise ValueError(f"column {column!r} of {name} holds infinity; a missing value is an empty cell")
    return pd.DataFrame(channels, index=frame.index)


def _kind(cells: Any) -> str:
    """What a column holds that is not one of numbers, with an example."""
    import pandas as pd

    word = "text" if pd.api.types.is_object_dtype(cells) or pd.api.types.is_string_dtype(cells) else str(cells.dtype)
    return " ".join([word, *(f"such as {str(cell)!r:.60}" for cell in cells.dropna().head(1))])


def _marked_number(cells: Any) -> str | None:
    """The first cell of a text column, most of whose cells are numbers but for marks; None if they are not."""
    import pandas as pd

    if not (pd.api.types.is_object_dtype(cells) or pd.api.types.is_string_dtype(cells)):
        return None
    texts = cells.dropna().astype(str).str.strip()
    texts = texts[texts != ""]
    bare = pd.to_numeric(texts.str.replace(MARKS, "", regex=True), errors="coerce")
    return str(texts.iloc[0]) if len(texts) and bare.notna().mean() > 0.5 else None


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


def counted_grid(n: int, period: float) -> Grid:
    import pandas as pd

    return Grid(pd.RangeIndex(n), "", period)


def on_regular_grid(
    frame: pd.DataFrame, name: str, irregular: Irregular, hint: str | None = None
) -> tuple[pd.DataFrame, Grid]:
    """Values on a grid without gaps, in which NaN stands where there were no rows, and the grid: of step `hint`, if it
    is one on which all times are."""
    import pandas as pd

    if not isinstance(frame.index, pd.DatetimeIndex):
        return frame, counted_grid(len(frame), float("nan"))
    frame = frame.sort_index()
    twice = frame.index[frame.index.duplicated()]
    if len(twice) and _end_of_summer(frame.index):
        raise ValueError(
            f"{name} has the time {twice[0]} twice, as local times have an hour twice when summer time ends: write all "
            "times with their offsets, such as 02:00+02:00 and then 02:00+01:00, or in UTC"
        )
    if len(twice):
        raise ValueError(f"{name} has the time {twice[0]} more than once; give `by` if these are several series")
    if len(frame) == 1 and hint:
        return frame, Grid(frame.index, hint, seconds_of(hint))
    if len(frame) < 2:
        raise ValueError(f"{name} must have at least 2 times; got {len(frame)}")
    step = hint if hint and _fits(frame.index, hint) else _step(frame.index)
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
    about = _points(frame.index, step)
    if about > SPARSE * len(frame) + FEW:  # so many that they are not written down
        gaps = 1 - len(frame) / about
        raise ValueError(f"{name} has no rows for {gaps:.3%} of its times (step {step}); resample it to a longer step")
    full = dates_from(frame.index[0], step, last=frame.index[-1])
    gaps = 1 - len(frame) / max(len(full), 1)
    if gaps > TOO_MANY_GAPS:
        raise ValueError(f"{name} has no rows for {gaps:.0%} of its times (step {step}); resample it to a longer step")
    if len(full) > len(frame):
        log.warning("%s has no rows for %d of %d times: missing values", name, len(full) - len(frame), len(full))
    return frame.reindex(full), Grid(full, step, seconds_of(step))


def _end_of_summer(times: Any) -> bool:
    """Whether no time stands more than twice, and those that do lie within one hour of one night a year."""
    counts = times.value_counts()
    twice = counts.index[counts > 1].sort_values()
    nights = twice.normalize().unique()
    within = twice.month.isin([3, 4, 9, 10, 11]) & (twice.hour <= 3)
    once_a_year = len(nights) == len(set(twice.year)) == len(twice.floor("h").unique())
    return bool(counts.max() == 2 and within.all() and once_a_year)


def _points(times: Any, step: str) -> float:
    """About how many points of a step lie between the first and the last time."""
    return float((times[-1] - times[0]).total_seconds()) / seconds_of(step) + 1


def _fits(times: Any, step: str) -> bool:
    """Whether all times are on the grid of a step from the first one, with no more gaps than are allowed."""
    if _points(times, step) > SPARSE * len(times) + FEW:
        return False
    full = dates_from(times[0], step, last=times[-1])
    return bool(len(full) * (1 - TOO_MANY_GAPS) <= len(times) <= len(full) and times.isin(full).all())


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
        frequency = pd.infer_freq(times)
        if frequency is not None:
            return frequency
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
            full = dates_from(times[0], calendar, last=times[-1])
            if len(full) >= len(times) and times.isin(full).all() and len(full) < 2 * len(times):
                return calendar
    return None


def dates_from(first: Any, step: str, *, n: int | None = None, last: Any = None) -> Any:
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


def check_step(step: str | None) -> None:
    """Raise `ValueError` unless a step is none, or what pandas calls a step of at least a microsecond."""
    import pandas as pd

    try:
        if step in (None, "") or (isinstance(step, str) and seconds_of(step) >= 1e-6):
            return
    except (ValueError, KeyError, ZeroDivisionError, pd.errors.OutOfBoundsTimedelta):
        pass
    raise ValueError(f"step must be what pandas calls a step, such as 'h', '30min', 'D' or 'MS'; got {step!r}")


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
