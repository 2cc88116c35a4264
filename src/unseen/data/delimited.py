"""How a CSV is written: what stands between its cells, and in its numbers; and its rows as a data frame."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import logging
import math
import re
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

SAMPLE = 2**16
"""Bytes at the beginning of a file that are looked at."""
MOST_COLUMNS = 250_000
"""Columns of a table, each of which takes as long as thousands of rows: a line of commas would be read for hours."""
ROWS = 50
"""Rows that are looked at."""
SEPARATORS = (",", ";", "\t")
ENOUGH_ROWS = 10
"""Rows below a first line, from which on it may be taken for one of them."""

_WITH_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_WITH_POINT = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")
_QUOTED = re.compile(rb'(?:\A(?:\xef\xbb\xbf)?|(?<=[\t\r\n]))"([^"]*(?:""[^"]*)*)("|\Z)')
"""A cell of a tab-separated file that begins with a quote, up to the quote that closes it, or the end of the file."""
_LINE = re.compile(rb"[^\r\n]*")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d+)?")


@dataclasses.dataclass(frozen=True)
class Form:
    """How cells and numbers are written.

    Attributes
    ----------
    separator, decimal : str
        What stands between cells, and between the whole part of a number and its fraction.
    beyond : int
        Cells of a row beyond those of the first line.
    names : bool
        Whether the first line names the columns; else it is a row as the others are.
    quoting : int
        Of `csv`: whether quotes around a cell are signs or letters.
    """

    separator: str = ","
    decimal: str = "."
    beyond: int = 0
    names: bool = True
    quoting: int = csv.QUOTE_MINIMAL


def form_of(
    content: bytes, suffix: str, separators: Sequence[str] = SEPARATORS, quoting: int = csv.QUOTE_MINIMAL
) -> Form:
    """The form of a file that begins with `content`: tabs in `.tsv`, else what its header and first rows agree on.

    Numbers have a decimal comma where cells are divided by semicolons, some have one and none a decimal point.
    """
    text = content[:SAMPLE].decode("utf-8-sig", errors="replace")
    if len(content) >= SAMPLE:
        text = text[: text.rfind("\n") + 1] or text
    rows = {separator: _rows(text, separator, quoting) for separator in {*separators, "\t"}}
    bare = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    likely = max(separators, key=lambda candidate: (*_agreement(rows[candidate]), bare.count(candidate)))
    separator = "\t" if suffix == ".tsv" else likely
    header, *below = rows[separator] or [[]]
    cells = [cell.strip() for row in below for cell in row]
    beyond = max(0, len(below[0]) - len(header)) if below else 0
    decimal = "," if separator == ";" and _has_commas(cells) else "."
    return Form(separator, decimal, beyond, beyond > 0 or not _is_row(header, below, decimal), quoting)


def form_in(file: IO[bytes], suffix: str, separators: Sequence[str] = SEPARATORS, *, called: str = "the table") -> Form:
    """The form of a file, all of which is looked at for quotes where cells are divided by tabs.

    Such files are often written without quoting. There a quote that opens a cell may close in another row, or never,
    and rows would run together without a word: then quotes are letters, and it is told.
    """
    form = form_of(file.read(SAMPLE), suffix, separators)
    if form.separator != "\t":
        return form
    file.seek(0)
    line = _open_quote(file.read())
    if line is None:
        return form
    log.warning(
        "%s: the quote that opens a cell in line %d closes in another row, or never: quotes are read as letters here, "
        "so that no rows run together", called, line,
    )  # fmt: skip
    file.seek(0)
    return form_of(file.read(SAMPLE), ".tsv", quoting=csv.QUOTE_NONE)


def _open_quote(content: bytes) -> int | None:
    """The line of the first cell whose quotes hold rows.

    They are never closed; or what closes them is no end of a cell, but opens one of a later row; or most lines between
    the first and the last that they span have all cells.
    """
    if b'"' not in content:
        return None
    first = _LINE.match(content)
    tabs = first[0].count(b"\t") if first else 0
    for match in _QUOTED.finditer(content):
        lines = match[1].splitlines()
        if match[2] and len(lines) < 2:
            continue
        ends_a_cell = match[2] and content[match.end() : match.end() + 1] in (b"", b"\t", b"\r", b"\n")
        between = lines[1:-1]
        if not ends_a_cell or 2 * sum(line.count(b"\t") == tabs for line in between) > len(between) > 0:
            return len(content[: match.start() + 1].splitlines())
    return None


def read_delimited(file: IO[bytes], suffix: str, *, quoting: int = csv.QUOTE_MINIMAL, **options: Any) -> pd.DataFrame:
    """The rows of a CSV in whatever form; `options` is what pandas is told besides (see `read_rows`)."""
    if quoting == csv.QUOTE_MINIMAL:
        return read_rows(file, form_in(file, suffix), **options)
    return read_rows(file, form_of(file.read(SAMPLE), suffix, quoting=quoting), **options)


def read_rows(file: IO[bytes], form: Form, *, most_columns: int = MOST_COLUMNS, **options: Any) -> pd.DataFrame:
    """The rows of a CSV of a known form; a separator at the end of lines, the first one too, adds no column.

    Raises
    ------
    ValueError
        If the first row has more cells than the first line has names, and says something in them; or if there are more
        than `most_columns`.
    """
    import pandas as pd

    options = {
        "sep": form.separator, "decimal": form.decimal, "encoding": "utf-8-sig", "index_col": False,
        "quoting": form.quoting, **options,
    }  # fmt: skip
    _check_width(file, form, most_columns)
    file.seek(0)
    if not form.beyond:
        frame = pd.read_csv(file, **options)
        nameless = [name for name in frame.columns if str(name).startswith("Unnamed: ")]
        return frame.drop(columns=[name for name in nameless if (frame[name].isna() | (frame[name] == "")).all()])
    headers = headers_of(file, form)
    beyond = [f"beyond {i}" for i in range(form.beyond)]
    file.seek(0)
    frame = pd.read_csv(file, header=0, names=[*headers, *beyond], **options)
    if not (frame[beyond].isna() | (frame[beyond] == "")).all(axis=None):
        raise ValueError("its rows have more cells than its first line has names; give each column a name")
    return frame[headers]


def headers_of(file: IO[bytes], form: Form) -> list[str]:
    """Names of the columns."""
    import pandas as pd

    _check_width(file, form, MOST_COLUMNS)
    file.seek(0)
    options: dict[str, Any] = {
        "sep": form.separator,
        "encoding": "utf-8-sig",
        "index_col": False,
        "quoting": form.quoting,
    }
    return [str(name) for name in pd.read_csv(file, nrows=0, **options).columns]


def _check_width(file: IO[bytes], form: Form, most: int) -> None:
    """`ValueError` if one of the first two lines has many more cells than tables have."""
    file.seek(0)
    lines = (line for lines in file for line in lines.split(b"\r") if line.strip(b" \n"))  # \r alone ends some, too
    columns = 1 + max((line.count(form.separator.encode()) for line in itertools.islice(lines, 2)), default=0)
    if columns > most:
        raise ValueError(f"the table has {columns:,} columns; at most {most:,} are read")


def are_counted(names: Sequence[str]) -> bool:
    """Whether columns are called by numbers in even steps: 0, 1, 2, ..., years, or wavelengths."""
    try:
        values = [float(name) for name in names]
    except ValueError:
        return False
    steps = [after - before for before, after in itertools.pairwise(values)]
    return bool(steps) and steps[0] != 0 and all(abs(step - steps[0]) <= 1e-6 * abs(steps[0]) for step in steps)


def _is_row(header: Sequence[str], below: Sequence[Sequence[str]], decimal: str) -> bool:
    """Whether a first line is like the rows below it: numbers over numbers of their size, over texts one of these.

    Where there are few rows, or numbers go in even steps as names of columns may, it names the columns.
    """
    if len(header) < 2 or len(below) < ENOUGH_ROWS or not any(_is_number(cell.strip(), decimal) for cell in header):
        return False
    columns = [[row[i].strip() for row in below if i < len(row)] for i in range(len(header))]
    numbers = [i for i, column in enumerate(columns) if all(_is_number(cell, decimal) for cell in column)]
    headings = [header[i].strip() for i in numbers]
    if not headings or not all(cell and _is_number(cell, decimal) for cell in headings):
        return False
    if len(headings) > 2 and are_counted([_plain_number(cell, decimal) for cell in headings]):
        return False
    inside = sum(_is_within(cell, columns[i], decimal) for cell, i in zip(headings, numbers))
    return 2 * inside > len(headings) and all(
        i in numbers or cell.strip() in columns[i] for i, cell in enumerate(header)
    )


def _is_within(cell: str, column: Sequence[str], decimal: str) -> bool:
    """Whether a number lies between the smallest and the largest of its column."""
    values = [_number(entry, decimal) for entry in column]
    there = [value for value in values if value is not None]
    number = _number(cell, decimal)
    return number is not None and bool(there) and min(there) <= number <= max(there)


def _plain_number(cell: str, decimal: str) -> str:
    return cell if decimal == "." else plain_number(cell)


def _number(cell: str, decimal: str) -> float | None:
    """The number in a cell, if there is one."""
    try:
        value = float(_plain_number(cell, decimal))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _is_number(cell: str, decimal: str) -> bool:
    """Whether a cell holds a number, or is empty or marked as such."""
    return cell.casefold() in ("", "?", "na", "n/a", "nan", "null", "none") or _number(cell, decimal) is not None


def _rows(text: str, separator: str, quoting: int) -> list[list[str]]:
    """The header and the first rows as cells; what is quoted may hold separators and line breaks."""
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=quoting):  # type: ignore[arg-type]
            rows += [row] if len(row) > 1 or "".join(row).strip() else []
            if len(rows) > ROWS:
                break
    except csv.Error:  # a part that cannot be told: what was read of it counts
        pass
    return rows


def _agreement(rows: Sequence[Sequence[str]]) -> tuple[float, int]:
    """How many rows have as many cells as the header, then how many these are; nothing where that has one cell."""
    if not rows or len(rows[0]) < 2:
        return 0.0, 0
    width = len(rows[0])
    return (sum(len(row) == width for row in rows) / len(rows) if len(rows) > 1 else 1.0), width


def _has_commas(cells: Sequence[str]) -> bool:
    """Whether numbers have decimal commas: some do, and none has a point that does not part thousands."""
    points = any(_WITH_POINT.fullmatch(cell) and not _GROUPED.fullmatch(cell) for cell in cells)
    return not points and any(_WITH_COMMA.fullmatch(cell) or _is_grouped_fraction(cell) for cell in cells)


def _is_grouped_fraction(cell: str) -> bool:
    return "," in cell and _GROUPED.fullmatch(cell) is not None


def plain_cell(cell: str) -> str:
    """A cell of a file with decimal commas: a number as it is written with a point, anything else as it is."""
    return cell if _number(cell, ",") is None else plain_number(cell)


def plain_number(cell: str) -> str:
    """A number with a decimal comma, perhaps points between thousands, as it is written with a point."""
    cell = cell.strip()
    if _GROUPED.fullmatch(cell):
        cell = cell.replace(".", "")
    elif "." in cell:
        return "?"  # a point that parts nothing: no number in a file of decimal commas
    return cell.replace(",", ".", 1)
