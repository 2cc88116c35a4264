"""What `unseen curate` reads: crawls, pages, link tables, WebDataset shards, folders of captioned pictures.

A source is split into units (a file, or a stretch of one), each of which is read by itself, anywhere.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import io
import itertools
import json
import os
import re
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from unseen.data.loaders.common import inside, natural_key
from unseen.methods.curation.laion import parse

URL_COLUMNS = ("url", "image_url", "img_url", "image_link", "src", "link")
TEXT_COLUMNS = ("text", "caption", "alt", "alt_text", "description", "top_caption")
FILE_COLUMNS = ("file_name", "filename", "file", "path", "image", "image_path")
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
TABLES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
CRAWLS = (".warc", ".warc.gz", ".wat", ".wat.gz", ".warc.wat.gz")
PAGES = (".html", ".htm", ".xhtml")
METADATA = ("metadata.jsonl", "metadata.csv")

STRETCH = 100_000
"""Rows of a Parquet table, pages or pictures of a folder in a unit."""
LARGEST_PAGE = 16 * 2**20
LARGEST_MEMBER = 64 * 2**20
"""Bytes of a page, and of a file in a shard or folder, that are read at most."""

BAD_LINE, NO_URL, NO_PICTURE = "a line that cannot be read", parse.BAD_URL, "a sample without a picture"
REPEATED_KEY, TOO_LARGE, OUTSIDE = (
    "key repeated in the shard",
    "file larger than is read",
    "no plain file inside the data",
)
CUT = "cut off by the end of the shard"

NOTES = 10
"""Records of a unit that are named one by one when they cannot be read; of more, the number is told."""
LINES = 1000
"""Lines of a CSV record after which a quote counts as never closed."""


@dataclasses.dataclass(frozen=True)
class Unit:
    """Part of a source that is read at once: which reader, which file, which of its rows or files."""

    kind: str
    file: str
    start: int = 0
    stop: int | None = None

    @property
    def label(self) -> str:
        """What reports call it."""
        rows = f" [{self.start}:{'' if self.stop is None else self.stop}]" if self.start or self.stop else ""
        return f"{Path(self.file).name}{rows}"


@dataclasses.dataclass(frozen=True)
class Source:
    """What is at a path: its units, in an order that the names alone decide.

    `digest` changes when a file comes, goes, or is written again: it is over names, sizes and times.
    """

    path: str
    units: tuple[Unit, ...]
    base_url: str = ""
    digest: str = ""


class Found(NamedTuple):
    """An image link, or a picture that is on disk already: `size` bytes from `offset` of `file`."""

    candidate: parse.Candidate
    file: str = ""
    offset: int = 0
    size: int = 0


Note = Callable[[str], None]
"""Takes a sentence about what of a unit could not be read."""


def open_source(path: str | os.PathLike[str], *, base_url: str = "") -> Source:
    """Look at a path and say how it is read.

    Parameters
    ----------
    path : path
        A file or a folder of: WARC or WAT files (``.warc``, ``.warc.gz``, ``.wat.gz``); HTML pages; tables with a URL
        and a caption (Parquet, CSV, TSV, JSON lines); WebDataset shards (``.tar``); pictures with a ``.txt`` of the
        same name, or with a ``metadata.jsonl`` or ``metadata.csv`` that names files and captions.
    base_url : str
        Where a folder of HTML pages was: their relative links are resolved against it.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If it holds nothing that is read.
    """
    place = Path(path).absolute()
    if not place.exists():
        raise FileNotFoundError(f"input {str(path)!r} does not exist")
    files = sorted((f for f in place.rglob("*") if f.is_file()), key=_natural) if place.is_dir() else [place]
    kinds = _kinds(place, files)
    if len(kinds) > 1:
        told = " and ".join(f"{len(own):,} {_CALLED[kind]} (such as {own[0].name})" for kind, own in kinds.items())
        raise ValueError(
            f"input {str(path)!r} holds {told}: name a file, or a folder in which all are of one kind, and curate "
            "the others by themselves"
        )
    units: list[Unit] = []
    for kind, own in kinds.items():
        if kind in ("crawl", "shard"):
            units = [Unit(kind, str(f)) for f in own]
        elif kind == "table":
            units = [unit for f in own for unit in _table_units(f)]
        else:
            units = _stretches(kind, str(place), len(own))
    if not units:
        raise ValueError(
            f"input {str(path)!r} holds nothing to curate: expected WARC or WAT files, HTML pages, a table of URLs and "
            "captions (.parquet, .csv, .tsv, .jsonl), .tar shards, or pictures with captions"
        )
    return Source(str(place), tuple(units), base_url, _digest(place, files))


_CALLED = {
    "crawl": "crawls",
    "shard": ".tar shards",
    "pages": "HTML pages",
    "pictures": "pictures",
    "table": "tables",
}


def _kinds(place: Path, files: list[Path]) -> dict[str, list[Path]]:
    """The files that are read, by kind; tables that only say more of pictures or shards are no kind of their own."""
    endings = {"crawl": CRAWLS, "shard": (".tar",), "pages": PAGES, "pictures": PICTURES, "table": TABLES}
    found = {kind: [f for f in files if f.name.lower().endswith(own)] for kind, own in endings.items()}
    if not place.is_dir():
        found["pictures"] = []
    if found["pictures"]:
        found["table"] = [f for f in found["table"] if f.parent != place or f.name not in METADATA]
    shards = {f.with_suffix("") for f in found["shard"]}
    found["table"] = [f for f in found["table"] if f.with_suffix("") not in shards]  # as img2dataset leaves them
    return {kind: own for kind, own in found.items() if own}


def _digest(place: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        about = file.stat()
        name = file.relative_to(place).as_posix() if place.is_dir() else file.name
        digest.update(json.dumps([name, about.st_size, about.st_mtime_ns]).encode())
    return digest.hexdigest()


def read_unit(source: Source, unit: Unit, note: Note) -> Iterator[Found]:
    """Every image link or picture of a unit, kept or with the reason why not; damage is told to `note`."""
    readers: dict[str, Callable[[Source, Unit, Note], Iterable[Found]]] = {
        "crawl": _crawl,
        "pages": _pages,
        "table": _table,
        "shard": _shard,
        "pictures": _pictures,
    }
    yield from readers[unit.kind](source, unit, note)


def _natural(file: Path) -> Any:
    return natural_key(file.as_posix())


def _stretches(kind: str, file: str, n: int) -> list[Unit]:
    return [Unit(kind, file, start, min(start + STRETCH, n)) for start in range(0, n, STRETCH)]


# -- crawls and pages ----------------------------------------------------------------------------------------


def _crawl(source: Source, unit: Unit, note: Note) -> Iterator[Found]:
    """Pages of a WARC file, or what a WAT file says of them."""
    try:
        from warcio.archiveiterator import ArchiveIterator
        from warcio.exceptions import ArchiveLoadFailed
    except ImportError as error:
        raise ImportError("reading crawls needs warcio: pip install 'unseen[curate]'") from error
    broken = (ArchiveLoadFailed, EOFError, OSError, zlib.error, ValueError)
    bad = _Bad(unit, note)
    with Path(unit.file).open("rb") as stream:
        records = ArchiveIterator(stream)
        last = 0
        while True:
            try:
                record = next(records, None)
                content = None if record is None else _content(record)
                last = last if record is None else records.get_record_offset()
            except broken as error:
                note(f"{unit.label} ends in the middle or is damaged: {error}; what comes after was not read")
                break
            if record is None:
                if _cut_off(Path(unit.file), last):
                    note(f"{unit.label} ends in the middle of a record; what comes after was not read")
                break
            if content is not None:
                yield from (Found(one) for one in bad.guard(f"the record at byte {last}", content))
    bad.finish()


class _Bad:
    """Notes records or pages that cannot be read, and lets the others be read."""

    def __init__(self, unit: Unit, note: Note) -> None:
        self.unit, self.note, self.n = unit, note, 0

    def guard(self, what: str, read: Callable[[], list[parse.Candidate]]) -> list[parse.Candidate]:
        try:
            return read()
        except ImportError:
            raise
        except Exception as error:  # whatever stands in one page, it costs that page only
            self.n += 1
            if self.n <= NOTES:
                self.note(f"{self.unit.label}: {what} could not be read: {type(error).__name__}: {error}")
            return []

    def finish(self) -> None:
        if self.n > NOTES:
            self.note(f"{self.unit.label}: {self.n - NOTES:,} more could not be read")


def _cut_off(file: Path, start: int) -> bool:
    """Whether a file ends before its records do, as seen from the last one that began, at `start`."""
    with file.open("rb") as stream:
        stream.seek(start)
        rest = stream.read()
    if not rest.startswith(b"\x1f\x8b"):
        head, _, body = rest.partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length:\s*(\d+)", head)
        return bool(rest) and (length is None or len(body) < int(length.group(1)))
    while rest:
        member = zlib.decompressobj(wbits=31)
        try:
            while rest and not member.eof:
                member.decompress(rest, 2**20)
                rest = member.unused_data if member.eof else member.unconsumed_tail
        except zlib.error:
            return True
        if not member.eof:
            return True
    return False


def _content(record: Any) -> Callable[[], list[parse.Candidate]] | None:
    """What finds the links of a record, whose bytes are read here; nothing if it is no page."""
    url = record.rec_headers.get_header("WARC-Target-URI") or ""
    kind = (record.rec_headers.get_header("Content-Type") or "").lower()
    if record.rec_type == "metadata" and "json" in kind:
        told = record.content_stream().read(LARGEST_PAGE)
        return lambda: parse.candidates(parse.read_wat(json.loads(told), url), url)
    if record.rec_type != "response" or record.http_headers is None:
        return None
    kind = (record.http_headers.get_header("Content-Type") or "").lower()
    if record.http_headers.get_statuscode() != "200" or "html" not in kind:
        return None
    body = record.content_stream().read(LARGEST_PAGE)
    charset = kind.partition("charset=")[2].partition(";")[0].strip(" \"'")
    return lambda: parse.parse_page(parse.Page(url, body, charset))


def _pages(source: Source, unit: Unit, note: Note) -> Iterator[Found]:
    """HTML files below a folder; their addresses lie below `base_url`."""
    place = Path(unit.file)
    files = _below(place, PAGES)[unit.start : unit.stop]
    base = source.base_url.rstrip("/") + "/" if source.base_url else ""
    bad = _Bad(unit, note)
    for file in files:
        name = file.relative_to(place).as_posix() if place.is_dir() else file.name
        yield from (
            Found(one) for one in bad.guard(name, functools.partial(_page, file, base and f"{base}{name}", note))
        )
    bad.finish()


def _page(file: Path, url: str, note: Note) -> list[parse.Candidate]:
    if file.stat().st_size > LARGEST_PAGE:
        note(f"{file.name} is larger than {LARGEST_PAGE:,} bytes; only its beginning was read")
    with file.open("rb") as stream:
        return parse.parse_page(parse.Page(url, stream.read(LARGEST_PAGE)))


def _below(place: Path, endings: tuple[str, ...]) -> list[Path]:
    files = [place] if place.is_file() else [f for f in place.rglob("*") if f.is_file()]
    return sorted((f for f in files if f.name.lower().endswith(endings)), key=_natural)


# -- tables --------------------------------------------------------------------------------------------------


def _table_units(file: Path) -> list[Unit]:
    if file.suffix.lower() != ".parquet":
        return [Unit("table", str(file))]
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        n = pq.read_metadata(file).num_rows
    except (pa.ArrowException, OSError):
        return [Unit("table", str(file))]
    return _stretches("table", str(file), n) or [Unit("table", str(file))]


def _table(source: Source, unit: Unit, note: Note) -> Iterator[Found]:
    """Rows of a table with a column of URLs and one of captions, perhaps of licences."""
    for line, row in enumerate(_rows(unit, note), 1):
        if row is None:
            yield Found(parse.Candidate(f"{unit.label}:{line}", "", parse.UNKNOWN_LICENSE, "", BAD_LINE))
            continue
        told = {str(key).lower(): value for key, value in row.items()}
        url, text = (_said(_first(told, names)) for names in (URL_COLUMNS, TEXT_COLUMNS))
        license_ = _said(told.get("license")) or parse.UNKNOWN_LICENSE
        address, caption, reason = parse.judge("", url, text)
        yield Found(parse.Candidate(address, caption, license_, "", reason))


def _rows(unit: Unit, note: Note) -> Iterator[dict[str, Any] | None]:
    file = Path(unit.file)
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet_rows(unit, note)
    elif suffix in (".csv", ".tsv"):
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            records = _records(stream, "\t" if suffix == ".tsv" else ",")
            names = next(records, None) or []
            _need_columns(names, file)
            for cells in records:
                yield dict(zip(names, cells)) if cells is not None and len(cells) == len(names) else None
    else:
        with file.open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                if line.strip():
                    yield _json_row(line)


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
    while (cells := next(reader, None)) is not None:
        if open_at_end:
            yield None
            again.extend(reversed(taken[1:]))
            open_at_end = False
            reader = csv.reader(lines(), delimiter=delimiter)
        elif cells:
            yield cells
        taken.clear()


def _json_row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _parquet_rows(unit: Unit, note: Note) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

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


def _first(told: dict[str, Any], names: Iterable[str]) -> Any:
    return next((told[name] for name in names if told.get(name) not in (None, "", [])), None)


def _said(value: Any) -> str:
    """A cell as text: of a list its first text, of a mapping nothing."""
    if isinstance(value, (list, tuple)):
        return next((one for one in value if isinstance(one, str) and one.strip()), "")
    return "" if value is None or isinstance(value, (dict, bool)) else str(value)


# -- pictures that are there ---------------------------------------------------------------------------------


@dataclasses.dataclass
class _Sample:
    """What the members of a shard say of one key; `told` is what its texts and its JSON say."""

    told: dict[str, Any] = dataclasses.field(default_factory=dict)
    place: tuple[int, int] | None = None
    fault: str = ""
    repeated: int = 0


def _shard(source: Source, unit: Unit, note: Note) -> Iterator[Found]:
    """Samples of a WebDataset shard, whose pictures stay in it until they are needed."""
    samples: dict[str, _Sample] = {}
    end = Path(unit.file).stat().st_size
    try:
        with tarfile.open(unit.file, mode="r:") as archive:
            for info in archive:
                _member(archive, info, samples, end)
    except (tarfile.TarError, EOFError, OSError) as error:
        note(f"{unit.label} is truncated or damaged: {error}; what comes after was not read")
    for key, sample in samples.items():
        yield _sample(f"{Path(unit.file).name}/{key}", sample, unit.file)
        for _ in range(sample.repeated):
            yield Found(_dropped(f"{Path(unit.file).name}/{key}", "", REPEATED_KEY))


def _member(archive: Any, info: Any, samples: dict[str, _Sample], end: int) -> None:
    """Note what a member says of its sample."""
    if info.isdir() or PurePosixPath(info.name).name.startswith("."):
        return
    stem, _, ending = PurePosixPath(info.name).name.partition(".")
    parent = PurePosixPath(info.name).parent.as_posix()
    key, ending = stem if parent == "." else f"{parent}/{stem}", ending.lower()
    sample = samples.setdefault(key, _Sample())
    picture = f".{ending}" in PICTURES
    if not picture and ending not in ("txt", "text", "caption", "json"):
        return
    if not info.isreg() or info.issparse() or ".." in PurePosixPath(info.name).parts:
        sample.fault = OUTSIDE
    elif info.size > LARGEST_MEMBER:
        sample.fault = TOO_LARGE
    elif info.offset_data + info.size > end:
        sample.fault = CUT
    elif picture and sample.place is not None:
        sample.repeated += 1
    elif picture:
        sample.place = (info.offset_data, info.size)
    else:
        body = archive.extractfile(info).read().decode("utf-8", "replace")
        told = _json_row(body) if ending == "json" else {"text": body}
        for name, value in (told or {}).items():
            sample.told.setdefault(str(name).lower(), value)


def _sample(name: str, sample: _Sample, file: str) -> Found:
    url = _said(_first(sample.told, URL_COLUMNS))[: parse.MOST]
    url = url if parse.is_address(url) else name[: parse.MOST]
    text = _said(_first(sample.told, TEXT_COLUMNS))
    caption = parse.clean(text)
    if sample.fault or sample.place is None:
        return Found(_dropped(url, caption, sample.fault or NO_PICTURE))
    return _here(url, text, caption, _said(sample.told.get("license")) or parse.UNKNOWN_LICENSE, file, *sample.place)


def _here(url: str, text: str, caption: str, license_: str, file: str, offset: int, size: int) -> Found:
    """A picture on disk with its caption."""
    reason = parse.NO_TEXT if not text.strip() else parse.SHORT_TEXT if len(caption) < parse.SHORTEST else ""
    return Found(parse.Candidate(url, caption, license_, "", reason), file, offset, size)


def _dropped(url: str, text: str, reason: str) -> parse.Candidate:
    return parse.Candidate(url, text, parse.UNKNOWN_LICENSE, "", reason)


def _pictures(source: Source, unit: Unit, note: Note) -> Iterator[Found]:
    """Pictures below a folder, captioned by a ``.txt`` of the same name or by the folder's ``metadata`` table."""
    place = Path(unit.file)
    captions = _captions(place, note)
    for file in _below(place, PICTURES)[unit.start : unit.stop]:
        name = file.relative_to(place).as_posix()
        if not file.resolve().is_relative_to(place.resolve()):
            yield Found(_dropped(name, "", OUTSIDE))
            continue
        size = file.stat().st_size
        beside = file.with_suffix(".txt")
        text = captions.get(name, "")
        if not text and beside.is_file():
            with beside.open("rb") as stream:
                text = stream.read(8 * parse.MOST).decode("utf-8", "replace")
        if size > LARGEST_MEMBER:
            yield Found(_dropped(name, parse.clean(text), TOO_LARGE))
            continue
        yield _here(name, text, parse.clean(text), parse.UNKNOWN_LICENSE, str(file), 0, size)


def _captions(place: Path, note: Note) -> dict[str, str]:
    """Captions by file name, from ``metadata.jsonl`` or ``metadata.csv``, as Hugging Face writes them."""
    found: dict[str, str] = {}
    for name in METADATA:
        file = place / name
        if not file.is_file():
            continue
        if name.endswith(".jsonl"):
            rows: Iterable[dict[str, Any] | None] = map(_json_row, file.read_text("utf-8", "replace").splitlines())
        else:
            rows = csv.DictReader(io.StringIO(file.read_text("utf-8-sig", "replace")))
        for row in rows:
            told = {str(key).lower(): value for key, value in (row or {}).items()}
            target = _first(told, FILE_COLUMNS)
            if target is None:
                note(f"a line of {name} names no file")
                continue
            try:
                found[inside(str(target))] = _said(_first(told, TEXT_COLUMNS))
            except ValueError as error:
                note(f"{name}: {error}")
    return found
