"""Image links of crawls and pages: WARC and WAT files, folders of HTML."""

from __future__ import annotations

import functools
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from unseen.curation.units import Found, Note, Source, Unit, files_below
from unseen.files import sentence
from unseen.methods.curation.laion import parse

CRAWLS = (".warc", ".warc.gz", ".wat", ".wat.gz", ".warc.wat.gz")
PAGES = (".html", ".htm", ".xhtml")
"""Endings of files."""

LARGEST_PAGE = 16 * 2**20
"""Bytes of a page that are read at most."""
NOTES = 10
"""Records of a unit that are named one by one when they cannot be read; of more, the number is told."""


def read_crawl(source: Source, unit: Unit, note: Note) -> Iterator[Found]:
    """Pages of a WARC file, or what a WAT file says of them."""
    try:
        from warcio.archiveiterator import ArchiveIterator
    except ImportError as error:
        raise ImportError("reading crawls needs warcio: pip install 'unseen[curate]'") from error
    bad = _Bad(unit, note)
    with Path(unit.file).open("rb") as stream:
        records = ArchiveIterator(stream)
        last = 0
        while True:
            try:
                record = next(records, None)
                content = None if record is None else _content(record, note)
                last = last if record is None else records.get_record_offset()
            except ImportError:
                raise
            except Exception as error:  # warcio dies of records in many ways
                note(f"{unit.label} ends in the middle or is damaged: {sentence(error)}; what comes after was not read")
                break
            if record is None:
                if _cut_off(Path(unit.file), last):
                    note(f"{unit.label} ends in the middle of a record; what comes after was not read")
                break
            if content is not None:
                yield from (Found(candidate) for candidate in bad.guard(f"the record at byte {last}", content))
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


def _content(record: Any, note: Note) -> Callable[[], list[parse.Candidate]] | None:
    """What finds the links of a record, whose bytes are read here; nothing if it is no page."""
    url = record.rec_headers.get_header("WARC-Target-URI") or ""
    kind = (record.rec_headers.get_header("Content-Type") or "").lower()
    if record.rec_type == "metadata" and "json" in kind:
        content = record.content_stream().read(LARGEST_PAGE)
        return lambda: parse.candidates(parse.read_wat(json.loads(content), url), url)
    if record.rec_type != "response" or record.http_headers is None:
        return None
    kind = (record.http_headers.get_header("Content-Type") or "").lower()
    if record.http_headers.get_statuscode() != "200" or "html" not in kind:
        return None
    stream = record.content_stream()
    body = stream.read(LARGEST_PAGE)
    if len(body) == LARGEST_PAGE and stream.read(1):
        note(f"{url} is larger than {LARGEST_PAGE:,} bytes; only its beginning was read")
    charset = kind.partition("charset=")[2].partition(";")[0].strip(" \"'")
    return lambda: parse.parse_page(parse.Page(url, body, charset))


def read_pages(source: Source, unit: Unit, note: Note) -> Iterator[Found]:
    """HTML files below a folder; their addresses lie below `base_url`."""
    place = Path(unit.file)
    files = files_below(place, PAGES)[unit.start : unit.stop]
    base = source.base_url.rstrip("/") + "/" if source.base_url else ""
    bad = _Bad(unit, note)
    for file in files:
        name = file.relative_to(place).as_posix() if place.is_dir() else file.name
        yield from (
            Found(candidate)
            for candidate in bad.guard(name, functools.partial(_page, file, base and f"{base}{name}", note))
        )
    bad.finish()


def _page(file: Path, url: str, note: Note) -> list[parse.Candidate]:
    if file.stat().st_size > LARGEST_PAGE:
        note(f"{file.name} is larger than {LARGEST_PAGE:,} bytes; only its beginning was read")
    with file.open("rb") as stream:
        candidates = parse.parse_page(parse.Page(url, stream.read(LARGEST_PAGE)))
    return [
        candidate._replace(url=candidate.url or file.name) if candidate.reason == parse.UNDECODED else candidate
        for candidate in candidates
    ]
