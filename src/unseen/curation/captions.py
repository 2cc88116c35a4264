"""Captions of a folder of pictures: a text beside each, or tables that name files and captions."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unseen.curation.collection import COLUMNS
from unseen.curation.tables import TABLES, TEXT_COLUMNS, URL_COLUMNS, first_of, json_row, said
from unseen.data.loaders.common import ABOVE, inside
from unseen.methods.curation.laion import parse

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
OTHERS = (".jfif", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jp2", ".svg")
"""Endings of files; `OTHERS` are pictures, too, beside which only JPEG, PNG and WEBP pass the checks."""
FILE_COLUMNS = ("file_name", "filename", "file", "filepath", "file_path", "path", "image", "image_path", "image_name")
WEAK_COLUMNS = ("picture", "img", "photo", "name", "key", "id")
"""Columns that name files; the second are asked where there is neither one of the first nor a URL."""

_LATER = ("page", "file", "nsfw", "row", "stage", "reason", "query_similarity")
RESERVED = frozenset((*COLUMNS.names, *_LATER))
"""Columns of pairs and of the tables on the way to them: those of a table with captions do not take their place."""

HOW = "put NAME.txt beside each NAME.jpg, or a captions.csv with the columns file and caption into the folder"
"""What a folder without captions lacks."""
_SEPARATORS = ",\t;|"


def is_caption_table(file: Path) -> bool:
    """Whether a table names files and captions; other tables beside pictures are none of theirs."""
    names = _header(file)
    return bool(_file_columns(names) and names & set(TEXT_COLUMNS)) or _is_bare(file)


def is_link_table(file: Path) -> bool:
    """Whether a table has a column of URLs and none of files: links of the web, not captions of pictures."""
    names = _header(file)
    return bool(names & set(URL_COLUMNS)) and not _file_columns(names)


def names_files_alone(file: Path) -> bool:
    """Whether a table names pictures of this machine and captions, and no URL."""
    return is_caption_table(file) and not _header(file) & set(URL_COLUMNS)


def named_files(file: Path) -> list[str]:
    """The files that a table of captions names, in its order."""
    return [row[0] for row in _rows(file, lambda _: None)]


def _file_columns(names: set[str]) -> tuple[str, ...]:
    if names & set(FILE_COLUMNS):
        return FILE_COLUMNS
    return WEAK_COLUMNS if names & set(WEAK_COLUMNS) and not names & set(URL_COLUMNS) else ()


def read_captions(
    place: Path,
    pictures: Sequence[str],
    files: Iterable[str],
    note: Callable[[str], None],
    more: dict[str, dict[str, Any]] | None = None,
) -> dict[str, str]:
    """The caption of every picture that has one.

    Parameters
    ----------
    place : Path
        The folder.
    pictures : sequence of str
        Files below it, by their relative names.
    files : iterable of str
        All files below it. A table among them that has a column of files and one of captions names pictures relative
        to its own folder, by their path, their file name or that without its ending; other tables are not read.
    note : callable
        Takes a sentence about what could not be read.
    more : dict, optional
        Takes what the tables say beside: the other cells of a picture's row, by the names of their columns.
    """
    captions: dict[str, str] = {}
    missing: list[str] = []
    again = 0
    there = set(files)
    for name in sorted(name for name in there if name.lower().endswith(TABLES)):
        file = place / name
        if not is_caption_table(file):
            note(f"{name} was not read: it has no column of files beside one of captions")
            continue
        parent = name.rpartition("/")[0]
        below = pictures if not parent else [picture for picture in pictures if picture.startswith(f"{parent}/")]
        places = _Places(below, parent)
        if more is not None and (out := sorted(_header(file) & RESERVED - {"file", "text"})):
            note(f"the columns {', '.join(out)} of {name}: pairs have their own of these names")
        for target, text, others in _rows(file, note):
            picture = places.find(target)
            if picture is None:
                missing.append(target)
            elif picture in captions:
                again += 1
            else:
                captions[picture] = text
                if more is not None and others:
                    more[picture] = others
    if missing:
        note(f"{len(missing):,} captions are of files that are not there, such as {min(missing)!r}")
    if again:
        note(f"{again:,} captions are further ones of a picture; the first of each was taken")
    bodies = {str(PurePosixPath(picture).with_suffix("")) for picture in pictures}
    if alone := sorted(name for name in there if name.endswith(".txt") and name.removesuffix(".txt") not in bodies):
        note(f"{len(alone):,} texts have no picture of their name beside them, such as {alone[0]!r}")
    for picture in pictures:
        if not captions.get(picture, "").strip():
            beside = str(PurePosixPath(picture).with_suffix(".txt"))
            if beside in there:
                with (place / beside).open("rb") as stream:
                    captions[picture] = stream.read(8 * parse.MOST).decode("utf-8-sig", "replace")
    return captions


class _Places:
    """Pictures by what a table may call them: their path, their file name, or that without its ending."""

    def __init__(self, pictures: Sequence[str], parent: str) -> None:
        self.parent = f"{parent}/" if parent else ""
        self.whole = set(pictures)
        self.short: dict[str, str] = {}
        for part in ("stem", "name"):
            keys = [str(getattr(PurePosixPath(picture), part)) for picture in pictures]
            count = Counter(keys)
            self.short |= {key: picture for key, picture in zip(keys, pictures) if count[key] == 1}

    def find(self, target: str) -> str | None:
        whole = f"{self.parent}{target}"
        return whole if whole in self.whole else self.short.get(target.rpartition("/")[2])


def _rows(file: Path, note: Callable[[str], None]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(file, caption, what else it says) of every row of a table."""
    for row in _table(file):
        cells = {str(key).strip().lower(): value for key, value in (row or {}).items()}
        target = first_of(cells, _file_columns(set(cells)))
        if target is None:
            note(f"a line of {file.name} names no file")
            continue
        try:
            name, text = inside(str(target).strip().removeprefix("./"), ABOVE), said(first_of(cells, TEXT_COLUMNS))
        except ValueError as error:
            note(f"{file.name}: {error}")
            continue
        yield name, text, _others(row or {}, target, text)


def _others(row: Mapping[Any, Any], target: Any, text: str) -> dict[str, Any]:
    """The cells beside file and caption that are of use as a column: words and numbers under a name of their own."""
    kept: dict[str, Any] = {}
    for key, value in row.items():
        name = key.strip() if isinstance(key, str) else ""
        usual = name.lower()
        if (
            not name.isprintable()
            or name[:1] in ("", "_")
            or usual in RESERVED
            or value in (None, "")
            or value != value
        ):
            continue
        if (usual in {*FILE_COLUMNS, *WEAK_COLUMNS} and value == target) or (usual in TEXT_COLUMNS and value == text):
            continue
        if isinstance(value, str):
            kept[name] = value[: parse.MOST].encode("utf-8", "replace").decode("utf-8")
        elif isinstance(value, (int, float)):
            kept[name] = value
        elif isinstance(value, (datetime.date, datetime.time, decimal.Decimal)):
            kept[name] = str(value)
    return kept


def _table(file: Path) -> Iterator[dict[str, Any] | None]:
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        with pq.ParquetFile(file) as content:
            usual = {*FILE_COLUMNS, *WEAK_COLUMNS, *TEXT_COLUMNS}
            names = [f.name for f in content.schema_arrow if f.name.lower() in usual or not _is_large(f.type)]
            for batch in content.iter_batches(8192, columns=names):
                yield from batch.to_pylist()
    elif suffix in (".csv", ".tsv"):
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        text = file.read_text("utf-8-sig", "replace").replace("\0", "")
        header = ["file", "caption"] if _is_bare(file) else None
        yield from csv.DictReader(io.StringIO(text, newline=""), header, delimiter=_separator(file))
    else:
        yield from map(json_row, filter(str.strip, file.read_text("utf-8-sig", "replace").splitlines()))


def _is_large(kind: pa.DataType) -> bool:
    """Whether a column holds more than words and numbers, such as pictures: it is not read."""
    return pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _header(file: Path) -> set[str]:
    """Names of a table's columns in small letters; none of what cannot be read."""
    suffix = file.suffix.lower()
    try:
        if suffix == ".parquet":
            names: Iterable[str] = pq.read_schema(file).names
        elif suffix in (".csv", ".tsv"):
            names = _first_cells(file)
        else:
            names = json_row(_first_line(file)) or {}
    except (OSError, pa.ArrowException):
        return set()
    return {str(name).strip().lower() for name in names}


def _separator(file: Path) -> str:
    """What parts the cells of a table: the sign that its first line has most of."""
    line = _first_line(file)
    return max(_SEPARATORS, key=line.count) if any(sign in line for sign in _SEPARATORS) else ","


def _is_bare(file: Path) -> bool:
    """Whether a .csv or .tsv begins with a picture and its caption in place of names of columns."""
    if file.suffix.lower() not in (".csv", ".tsv"):
        return False
    cells = _first_cells(file)
    return len(cells) == 2 and cells[0].strip().lower().endswith((*PICTURES, *OTHERS))


def _first_cells(file: Path) -> list[str]:
    """The cells of a table's first line; none of a line that is no CSV, such as one with a carriage return within."""
    try:
        return next(csv.reader([_first_line(file)], delimiter=_separator(file)), [])
    except csv.Error:
        return []


def _first_line(file: Path) -> str:
    with file.open("rb") as stream:
        return stream.readline(1 << 20).decode("utf-8-sig", "replace").strip("\r\n")
