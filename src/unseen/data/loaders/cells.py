"""Columns of a table: which hold numbers, what of them is no number, and why others are not used."""

from __future__ import annotations

import dataclasses
import datetime
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.data.delimited import plain_number

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
        What it holds instead: "text", "date", "yes or no", "empty", "mostly missing".
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
    if plain.dtype.kind not in "OUT":
        return Column(why="yes or no" if plain.dtype.kind == "b" else "no numbers")
    missing = series.isna().to_numpy()
    if missing.all():
        return Column(why="empty")
    first = plain[~missing][0]
    if isinstance(first, (bool, np.bool_)):
        return Column(why="yes or no")
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
    phrase = f"is no number: {example!r}" if n == 1 else f"are no numbers, such as {example!r}"
    return f"{n:,} of {of:,} cells {phrase}"


def _can_be_number(value: Any) -> bool:
    import decimal

    return isinstance(value, (str, int, float, np.number, decimal.Decimal)) and not isinstance(value, bool)


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
