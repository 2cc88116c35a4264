"""Captions of a folder of pictures: a text beside each, or tables that name files and captions."""

from __future__ import annotations

import codecs
import csv
import datetime
import decimal
import io
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unseen.curation.collection import COLUMNS
from unseen.curation.tables import TABLES, TEXT_COLUMNS, URL_COLUMNS, first_of, json_row, said
from unseen.data.delimited import SAMPLE, form_of, plain_cell
from unseen.files import sentence
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
_MOST = 8 * parse.MOST
"""Bytes that are read of a text beside a picture."""
_SEPARATORS = ",\t;|"
_BEYOND = "\0"
"""Where a row of a table has the cells behind its last column; no column is called so."""


def without_captions(called: str, n: int, notes: Sequence[str] = ()) -> str:
    """What a folder of `n` pictures lacks that has no caption, with what was said of its texts and tables."""
    why = f" ({'; '.join(notes[:2])})" if notes else ""
    return f"{called} holds {n:,} pictures and no captions{why}: {HOW}"


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
        Rows with more cells than the first line has names are left out.
    note : callable
        Takes a sentence about what could not be read.
    more : dict, optional
        Takes what the tables say beside: the other cells of a picture's row, by the names of their columns.

    Raises
    ------
    ValueError
        If a table of captions is not UTF-8.
    """
    captions: dict[str, str] = {}
    missing: list[str] = []
    again = 0
    there = set(files)
    for name in sorted(name for name in there if name.lower().endswith(TABLES)):
        file = place / name
        if not is_caption_table(file):
            note(f"{name} was not read: {_fault(file)}")
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
    _read_beside(place, pictures, there, captions, note)
    return captions


def _read_beside(
    place: Path, pictures: Sequence[str], files: set[str], captions: dict[str, str], note: Callable[[str], None]
) -> None:
    """Add the text beside each picture that has no caption yet."""
    texts = {str(PurePosixPath(name).with_suffix("")): name for name in sorted(files) if name.lower().endswith(".txt")}
    bodies = {str(PurePosixPath(picture).with_suffix("")) for picture in pictures}
    if alone := sorted(name for body, name in texts.items() if body not in bodies):
        note(f"{len(alone):,} texts have no picture of their name beside them, such as {alone[0]!r}")
    lost = []
    for picture in pictures:
        beside = texts.get(str(PurePosixPath(picture).with_suffix("")))
        if beside is None or captions.get(picture, "").strip():
            continue
        with (place / beside).open("rb") as stream:
            content = stream.read(_MOST)
        text = codecs.getincrementaldecoder("utf-8-sig")()  # of a long text the last letter may be cut
        try:
            captions[picture] = text.decode(content, final=len(content) < _MOST)
        except UnicodeDecodeError:
            lost.append(beside)
    if lost:
        note(f"{len(lost):,} texts were not read, as they are not UTF-8, such as {lost[0]!r}: save them as UTF-8")


def _fault(file: Path) -> str:
    """Why a table is none of captions."""
    try:
        with file.open("rb") as stream:
            if stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                return "it is UTF-16; save it as UTF-8"
    except OSError as error:
        return sentence(error)
    have = ", ".join(sorted(name for name in _header(file) if name.isprintable())[:5])
    return "it has no column of files beside one of captions" + (f", but {have}" if have else "")


class _Places:
    """Pictures by what a table may call them: their path, their file name, or that without its ending.

    Letters that are composed otherwise (as by macOS), or large instead of small, are the same where nothing else is.
    """

    def __init__(self, pictures: Sequence[str], parent: str) -> None:
        self.parent = f"{parent}/" if parent else ""
        self.whole = set(pictures)
        self.short: dict[str, str] = {}
        self.folded: dict[str, str] = {}
        names = [PurePosixPath(picture) for picture in pictures]
        for keys in ([name.stem for name in names], [name.name for name in names]):
            self.short |= _of_one(keys, pictures)
            self.folded |= _of_one([_folded(key) for key in keys], pictures)

    def find(self, target: str) -> str | None:
        whole, name = f"{self.parent}{target}", target.rpartition("/")[2]
        return whole if whole in self.whole else self.short.get(name, self.folded.get(_folded(name)))


def _of_one(keys: Sequence[str], pictures: Sequence[str]) -> dict[str, str]:
    """The pictures by their keys, without keys of several."""
    count = Counter(keys)
    return {key: picture for key, picture in zip(keys, pictures) if count[key] == 1}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _rows(file: Path, note: Callable[[str], None]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(file, caption, what else it says) of every row of a table."""
    long: list[str] = []
    commas = _has_decimal_commas(file)
    for row in _table(file):
        cells = {str(key).strip().lower(): value for key, value in (row or {}).items()}
        target = first_of(cells, _file_columns(set(cells)))
        if target is None:
            note(f"a line of {file.name} names no file")
            continue
        name, text = str(target).strip().replace("\\", "/").removeprefix("./"), said(first_of(cells, TEXT_COLUMNS))
        beyond = (row or {}).get(_BEYOND)
        if isinstance(beyond, list) and any(str(cell).strip() for cell in beyond):
            long.append(name)
            continue
        others = _others(row or {}, target, text)
        yield name, text, {key: plain_cell(str(cell)) for key, cell in others.items()} if commas else others
    if long:
        note(
            f"{len(long):,} lines of {file.name} were not read, as they have more cells than the first, such as that "
            f"of {long[0]!r}: put quotes around captions that hold a {_separator(file)!r}"
        )


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
        text = _text(file).replace("\0", "")
        header = ["file", "caption"] if _is_bare(file) else None
        yield from csv.DictReader(io.StringIO(text, newline=""), header, _BEYOND, delimiter=_separator(file))
    else:
        yield from map(json_row, filter(str.strip, _text(file).splitlines()))


def _text(file: Path) -> str:
    """What a table holds; `ValueError` if it is not UTF-8, whose letters would be lost."""
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file.name} cannot be read: {sentence(error)}") from error


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


def _has_decimal_commas(file: Path) -> bool:
    """Whether the numbers of a .csv, whose cells are divided by semicolons, have decimal commas."""
    if file.suffix.lower() != ".csv" or _separator(file) != ";":
        return False
    with file.open("rb") as stream:
        return form_of(stream.read(SAMPLE), ".csv").decimal == ","


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
