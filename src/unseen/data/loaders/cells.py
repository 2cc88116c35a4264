"""Columns of a table: which hold numbers, what of them is no number, and why others are not used."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.delimited import plain_number
from unseen.data.domain import Skipped
from unseen.data.feature_names import MOST, coarse, listed
from unseen.data.loaders.common import row_and_id
from unseen.data.samples import is_missing

if TYPE_CHECKING:
    import pandas as pd

EMPTY = ("", "NA", "N/A", "NaN", "nan", "null", "None")
"""Cells that are empty, whatever their column holds."""
MARKS = frozenset({*(cell.casefold() for cell in EMPTY), "?", "-", "--", "–", "—", ".", "*", "#n/a", "<na>", "missing"})
"""Cells that stand for a missing number, in lower case."""
ENOUGH = 0.9
"""Share of a column's cells that must be numbers, of those that are neither empty nor a mark of a missing number."""
MANY = 0.5
"""Share of numbers from which on a column that is not used is said to hold some."""

FEW = 10
"""Rows below which no column is taken for a number of each row."""
ROW_WORDS = frozenset({"id", "key", "index", "row"})
"""Last words of names of columns that tell rows apart, where all of their numbers are whole and different."""
COUNT_WORDS = frozenset({"no", "nr", "num", "number"})
"""The same, where no number between the smallest and the largest is left out: other things have numbers, too."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}( .*)?")


@dataclasses.dataclass(frozen=True)
class Column:
    """What a column holds.

    Attributes
    ----------
    values : array of shape (n,) or None
        Its numbers, not a number where one is missing; None where it is no column of numbers.
    why : str
        What it holds instead: "text", "date", "empty", "mostly missing".
    odd : dict of position to cell
        Cells of a column of numbers that are neither numbers nor empty.
    """

    values: Any = None
    why: str = ""
    odd: dict[int, str] = dataclasses.field(default_factory=dict)

    def note(self, name: str) -> str:
        """What is said of its odd cells."""
        return f"{name}: {_strange(len(self.odd), len(self.values), next(iter(self.odd.values())))}"


def column_of(series: pd.Series[Any], decimal: str = ".") -> Column:
    """Look at a column: numbers as they are; numbers among texts where all but a few cells are some."""
    import pandas as pd

    plain = series.to_numpy()
    if plain.dtype.kind in "iuf":
        return Column(why="empty") if plain.dtype.kind == "f" and np.isnan(plain).all() else Column(plain)
    if plain.dtype.kind in "Mm":
        return Column(why="date" if plain.dtype.kind == "M" else "duration")
    if plain.dtype.kind == "b":
        return Column(plain.astype(np.float64))
    if plain.dtype.kind not in "OUT":
        return Column(why="no numbers")
    missing = series.isna().to_numpy()
    if missing.all():
        return Column(why="empty")
    first = plain[~missing][0]
    if all(isinstance(value, (bool, np.bool_)) for value in plain[~missing]):
        return Column(np.where(missing, np.nan, plain == True))  # noqa: E712 - of objects
    if isinstance(first, (datetime.date, datetime.datetime)):
        return Column(why="date")
    if not all(_can_be_number(value) for value in plain[~missing]):
        return Column(why="no single numbers")
    texts = [None if gone else str(value).strip() for value, gone in zip(plain, missing)]
    written = [text if text is None or decimal == "." else plain_number(text) for text in texts]
    values = pd.to_numeric(pd.Series(written, dtype=object), errors="coerce").to_numpy(dtype=np.float64)
    lacking = np.isnan(values)
    odd = {int(i): text for i in np.flatnonzero(lacking) if (text := texts[i]) and text not in EMPTY}
    strange = sum(text.casefold() not in MARKS for text in odd.values())
    n_numbers = int((~lacking).sum())
    if n_numbers and not strange and n_numbers < MANY * (n_numbers + len(odd)):
        return Column(why="mostly missing")
    if n_numbers and n_numbers >= ENOUGH * (n_numbers + strange):
        return Column(values, odd=odd)
    if n_numbers >= MANY * (n_numbers + strange) and n_numbers:
        example = next(text for text in odd.values() if text.casefold() not in MARKS)
        return Column(why=_strange(strange, n_numbers + strange, example))
    return Column(why="date" if _DATE.fullmatch(str(first).strip()) else "text")


def _strange(n: int, of: int, example: str) -> str:
    """How many cells are no numbers, and one of them."""
    phrase = f"is no number: {example!r:.60}" if n == 1 else f"are no numbers, such as {example!r:.60}"
    return f"{n:,} of {of:,} cells {phrase}"


def _can_be_number(value: Any) -> bool:
    import decimal

    return isinstance(value, (str, int, float, np.number, decimal.Decimal)) and not isinstance(value, bool)


def _are_several(value: Any) -> bool:
    """Whether a cell holds more than one thing: a list, an array, a mapping, a picture."""
    if isinstance(value, (list, tuple, dict, set, np.ndarray)):
        return True
    return not isinstance(value, np.generic) and (hasattr(value, "__array_interface__") or hasattr(value, "__array__"))


def side_by_side(frame: pd.DataFrame, but: Collection[str | None] = ()) -> pd.DataFrame:
    """A table in which columns of equally long rows of numbers, as embeddings are kept, are columns of numbers.

    They are called ``embedding[0]``, ``embedding[1]`` and so on, and are missing where there is no row. Columns called
    as one of `but` stay.

    Raises
    ------
    ValueError
        If rows of numbers are not equally long; the message names the column.
    """
    import pandas as pd

    parts: list[Any] = []
    for name in frame.columns:
        cells = frame[name].to_numpy() if frame[name].dtype == object and name not in but else ()
        rows = {i: row for i, cell in enumerate(cells) if _are_several(cell) and (row := _row_of(cell)) is not None}
        if not rows or any(i not in rows and not is_missing(cell) for i, cell in enumerate(cells)):
            parts.append(frame[[name]])
            continue
        lengths = {len(row) for row in rows.values()}
        if len(lengths) > 1:
            raise ValueError(
                f"column {name!r} holds rows of {min(lengths)} to {max(lengths)} numbers; features must be as many "
                "in each: leave it out, or make each row one of the same length"
            )
        values = np.full((len(cells), lengths.pop()), np.nan)
        values[list(rows)] = list(rows.values())
        parts.append(pd.DataFrame(values, columns=[f"{name}[{i}]" for i in range(values.shape[1])], index=frame.index))
    return (
        pd.concat(parts, axis=1)
        if any(len(part.columns) != 1 or part.columns[0] not in frame for part in parts)
        else frame
    )


def _row_of(cell: Any) -> NDArray[np.float64] | None:
    """The numbers in a cell, in a row; None if it holds other things."""
    try:
        row = np.asarray(cell)
    except ValueError:  # of unlike lengths
        return None
    return row.astype(np.float64).ravel() if row.dtype.kind in "iuf" and row.size else None


def check_single(series: pd.Series[Any], what: str) -> None:
    """`ValueError` if a column that is read as labels, texts or paths, as `what` says, holds cells with more."""
    if series.dtype != object:
        return
    for value in series:
        if _are_several(value):
            how = "dataset.save_to_disk(folder) keeps its pictures for unseen.load(folder)"
            if not isinstance(value, dict):
                how = (
                    "Domain(x=[...], kind='image') makes samples of pictures"
                    if what == "paths"
                    else "leave it out, or make numbers or texts of it"
                )
            raise ValueError(f"column {str(series.name)!r} holds cells of {type(value).__name__}, and no {what}: {how}")


def numbers_in(columns: Mapping[str, Column], ids: Any) -> tuple[NDArray[np.float32], NDArray[np.bool_], list[Skipped]]:
    """Columns of numbers side by side, (n, d), of the rows that have all; which these are; what the others lack."""
    names = list(columns)
    with np.errstate(over="ignore"):  # what is too large is told below
        x = np.stack([np.asarray(column.values).astype(np.float32) for column in columns.values()], axis=1)
    finite = np.isfinite(x)
    readable = np.asarray(finite.all(axis=1))
    skipped = []
    for i in np.flatnonzero(~readable):
        name = names[int(np.argmin(finite[i]))]
        cell = columns[name].odd.get(int(i))
        value = columns[name].values[i]
        why = "is missing or not finite" if cell is None else f"is {cell!r}, which is no number"
        if np.isfinite(value):
            why = f"is {value:.3g}, beyond {np.finfo(np.float32).max:.1g}, the largest number that is read"
        skipped.append(Skipped(row_and_id(i, ids), f"{name} {why}"))
    return x[readable], readable, skipped


def notes_on(columns: Mapping[str, Column]) -> tuple[str, ...]:
    """What is said of columns of numbers with odd cells, and of columns that are not used."""
    odd = [column.note(name) for name, column in columns.items() if column.odd]
    few = [line for name, column in columns.items() if column.values is not None for line in _few_digits(name, column)]
    unused = [f"{name} ({column.why})" for name, column in columns.items() if column.values is None]
    if len(odd) > MOST:
        odd = [*odd[:MOST], f"{len(odd) - MOST} more columns have cells that are no numbers"]
    return (*odd, *few, *([f"not used: {listed(unused)}"] if unused else []))


def _few_digits(name: str, column: Column) -> tuple[str, ...]:
    values = np.asarray(column.values)
    return coarse(values[np.isfinite(values)][:, None], (name,))


def is_called_as_rows(name: str) -> bool:
    """Whether a column is called as one that tells rows apart, whatever stands in it."""
    return _last_word(name) in ROW_WORDS | COUNT_WORDS


def _last_word(name: str) -> str:
    return (_WORD.findall(name) or [""])[-1].casefold()


def names_rows(name: str, column: Column) -> bool:
    """Whether numbers only tell rows apart: whole ones, all different, that count or are called a number, id or key."""
    values = column.values
    if values is None or column.odd or len(values) < FEW or not np.isfinite(values).all():
        return False
    if (values != np.round(values)).any() or len(np.unique(values)) < len(values):
        return False
    if re.fullmatch(r"f\d+", name):  # as features are written that have no names
        return False
    last = _last_word(name)
    counts = np.ptp(values) + 1 == len(values)
    return bool((np.diff(values) == 1).all()) or last in ROW_WORDS or bool(counts and last in COUNT_WORDS)
