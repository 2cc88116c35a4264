"""Image links of tables: Parquet, CSV, TSV and JSON lines with a column of URLs and one of captions."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unseen.curation.units import Found, Note, Source, Unit, stretches
from unseen.data.spans import spans, text_lines
from unseen.methods.curation.laion import parse

TABLES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
"""Endings of files."""
URL_COLUMNS = ("url", "image_url", "img_url", "image_link", "src", "link")
TEXT_COLUMNS = ("text", "caption", "alt", "alt_text", "description", "top_caption")
"""Names of columns, the usual one first, in any case of letters."""

BAD_LINE = "a line that cannot be read"
SPAN = 1 << 24
"""Bytes of a text with rows in a unit: some 100,000 links."""
LINES = 1000
"""Lines of a CSV record after which a quote counts as never closed."""


_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def table_units(file: Path) -> list[Unit]:
    """Stretches of the rows of a Parquet file, of the bytes of any other table."""
    suffix = file.suffix.lower()
    if suffix != ".parquet":
        n, separator = file.stat().st_size // SPAN, _SEPARATORS.get(suffix, "")
        cut = spans(file, n, quoted=bool(separator), separator=separator.encode()) if n > 1 else ()
        return [Unit("table", str(file), *span) for span in cut] or [Unit("table", str(file))]
    try:
        n = pq.read_metadata(file).num_rows
    except (pa.ArrowException, OSError):
        return [Unit("table", str(file))]
    return stretches("table", str(file), n) or [Unit("table", str(file))]


def read_table(source: Source, unit: Unit, note: Note) -> Iterator[Found]:
    """Rows of a table with a column of URLs and one of captions, perhaps of licences."""
    for line, row in enumerate(_rows(unit, note), 1):
        if row is None:
            yield Found(parse.Candidate(f"{unit.label}:{line}", "", parse.UNKNOWN_LICENSE, "", BAD_LINE))
            continue
        cells = {str(key).lower(): value for key, value in row.items()}
        url, text = (said(first_of(cells, names)) for names in (URL_COLUMNS, TEXT_COLUMNS))
        license_ = said(cells.get("license")) or parse.UNKNOWN_LICENSE
        address, caption, reason = parse.judge("", url, text)
        yield Found(parse.Candidate(address, caption, license_, "", reason))


def _rows(unit: Unit, note: Note) -> Iterator[dict[str, Any] | None]:
    file = Path(unit.file)
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet_rows(unit, note)
        return
    span = (unit.start, unit.stop) if unit.stop is not None else None
    separator = _SEPARATORS.get(suffix)
    if separator is None:
        yield from (json_row(line) for line in text_lines(file, span, newline="") if line.strip())
        return
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    records = _records(text_lines(file, span, newline=""), separator)
    names = next(records if unit.start == 0 else _records(text_lines(file, newline=""), separator), None) or []
    _need_columns(names, file)
    for cells in records:
        yield dict(zip(names, cells)) if cells is not None and len(cells) == len(names) else None


def _records(stream: Iterable[str], delimiter: str) -> Iterator[list[str] | None]:
    """Records of a CSV file; of one whose quote is never closed the first line is None, and the rest is read anew."""
    source = iter(stream)
    again: list[str] = []  # lines to be read once more, the next one last
    taken: list[str] = []  # lines of the record that is being read
    open_at_end = False

    def lines() -> Iterator[str]:
        nonlocal open_at_end
        while True:
            line = again.pop() if again else next(source, None)
            if line is None or len(taken) >= LINES:
                again.extend([] if line is None else [line])
                open_at_end = True
                return
            taken.append(line)
            yield line.replace("\0", "")

    reader = csv.reader(lines(), delimiter=delimiter)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error:  # such as a carriage return within a cell without quotes
            yield None
            taken.clear()
            reader = csv.reader(lines(), delimiter=delimiter)
            continue
        if cells is None:
            return
        if open_at_end:
            yield None
            again.extend(reversed(taken[1:]))
            open_at_end = False
            reader = csv.reader(lines(), delimiter=delimiter)
        elif cells:
            yield cells
        taken.clear()


def json_row(line: str) -> dict[str, Any] | None:
    """A line as a JSON object, None if it is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _parquet_rows(unit: Unit, note: Note) -> Iterator[dict[str, Any]]:
    try:
        content = pq.ParquetFile(unit.file)
    except (pa.ArrowException, OSError) as error:
        note(f"{unit.label} is damaged and was not read: {error}")
        return
    _need_columns(content.schema_arrow.names, Path(unit.file))
    wanted = {*URL_COLUMNS, *TEXT_COLUMNS, "license"}
    columns = [name for name in content.schema_arrow.names if name.lower() in wanted]
    stop = unit.stop if unit.stop is not None else content.metadata.num_rows
    sizes = [content.metadata.row_group(k).num_rows for k in range(content.metadata.num_row_groups)]
    ends = list(itertools.accumulate(sizes))
    groups = [k for k, end in enumerate(ends) if end > unit.start and end - sizes[k] < stop]
    if not groups:
        return
    at = ends[groups[0]] - sizes[groups[0]]
    try:
        for batch in content.iter_batches(8192, row_groups=groups, columns=columns):
            first, last = max(unit.start - at, 0), min(stop - at, len(batch))
            at += len(batch)
            if last > first:
                yield from batch.slice(first, last - first).to_pylist()
            if at >= stop:
                return
    except (pa.ArrowException, OSError) as error:
        note(f"{unit.label} is damaged after row {at}: {error}; the rows from there on were not read")


def _need_columns(names: Iterable[str], file: Path) -> None:
    have = {str(name).lower() for name in names}
    for what, usual in (("URLs", URL_COLUMNS), ("captions", TEXT_COLUMNS)):
        if not have & set(usual):
            raise ValueError(
                f"{file.name} must have a column of {what}, such as {usual[0]!r}; it has {', '.join(sorted(have))}"
            )


def first_of(cells: dict[str, Any], names: Iterable[str]) -> Any:
    """What stands under the first of these names that has anything; None if none has."""
    return next((cells[name] for name in names if cells.get(name) not in (None, "", [])), None)


def said(value: Any) -> str:
    """A cell as text: of a list its first text, of a mapping nothing."""
    if isinstance(value, (list, tuple)):
        return next((entry for entry in value if isinstance(entry, str) and entry.strip()), "")
    return "" if value is None or isinstance(value, (dict, bool)) else str(value)
