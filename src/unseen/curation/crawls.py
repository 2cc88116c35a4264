"""Image links of crawls and pages: WARC and WAT files, folders of HTML."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from unseen.curation.units import Found, Note, Source, Unit, files_below
from unseen.data.reading import check_unpacked
from unseen.files import sentence
from unseen.methods.curation.laion import parse
from unseen.methods.curation.laion.charsets import decode
from unseen.scale.apart import Apart, TooMuch

CRAWLS = (".warc", ".warc.gz", ".wat", ".wat.gz", ".warc.wat.gz")
PAGES = (".html", ".htm", ".xhtml")
"""Endings of files."""

LARGEST_PAGE = 16 * 2**20
"""Bytes of a page that are read at most."""
LIGHT_BYTES, LIGHT_TAGS = 2**17, 2_000
"""Of a page that no parser takes more than a second or 200 MB for, whatever stands in it; tags as it is decoded."""
LARGEST_HEAD = 2**20
"""Bytes of the lines before the body of a record."""
_SMALL = parse.Page("http://a.example/", b"<img src=b.jpg alt='a picture'>")
_BLOCK = 2**14
NOTES = 10
"""Records of a unit that are named one by one when they cannot be read; of more, the number is told."""


def read_crawl(source: Source, unit: Unit, note: Note) -> Iterator[Found]:
    """Pages of a WARC file, or what a WAT file says of them."""
    try:
        from warcio.archiveiterator import ArchiveIterator
    except ImportError as error:
        raise ImportError("reading crawls needs warcio: pip install 'unseen[curate]'") from error
    bad = _Bad(unit, note)
    with Path(unit.file).open("rb") as stream, _pages() as parsed:
        records = ArchiveIterator(stream)
        records.reader = lines = _bounded(stream)
        last = 0
        while True:
            lines.seen = 0
            try:
                record = next(records, None)
                content = None if record is None else _content(record, parsed, note)
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


def _bounded(stream: IO[bytes]) -> Any:
    """What warcio reads records from, which refuses a head without end, and what unpacks to many times its size."""
    from warcio.bufferedreaders import DecompressingBufferedReader

    class Bounded(DecompressingBufferedReader):
        seen = 0
        """Bytes of lines since a record began."""

        def readline(self, length: int | None = None) -> bytes:
            most = LARGEST_HEAD if length is None else min(length, LARGEST_HEAD)
            line: bytes = super().readline(most)
            self.seen += len(line)
            if self.seen >= LARGEST_HEAD:
                raise ValueError(f"the head of a record has more than {LARGEST_HEAD:,} bytes")
            return line

        def _process_read(self, data: bytes) -> None:
            super()._process_read(data)
            check_unpacked(self.num_read, stream.tell())

    return Bounded(stream)


def _cut_off(file: Path, start: int) -> bool:
    """Whether a file ends before its records do, as seen from the last one that began, at `start`."""
    with file.open("rb") as stream:
        stream.seek(start)
        head = stream.read(LARGEST_HEAD)
        if not head.startswith(b"\x1f\x8b"):
            end = head.find(b"\r\n\r\n")
            length = re.search(rb"(?im)^content-length:\s*(\d{1,18})", head[:end] if end >= 0 else head)
            body = file.stat().st_size - start - (end + 4 if end >= 0 else len(head))
            return bool(head) and (length is None or body < int(length.group(1)))
        member, rest = zlib.decompressobj(wbits=31), head
        try:
            while rest or (rest := stream.read(_BLOCK)):
                if member.eof:
                    member = zlib.decompressobj(wbits=31)
                member.decompress(rest, 2**20)
                rest = member.unused_data if member.eof else member.unconsumed_tail
        except zlib.error:
            return True
        return not member.eof


Parse = Callable[[parse.Page], list[parse.Candidate]]


@contextlib.contextmanager
def _pages() -> Iterator[Parse]:
    """What parses pages, large ones in a process of their own: a page may take a parser hours, or all memory."""
    apart = Apart(_candidates)

    def parsed(page: parse.Page) -> list[parse.Candidate]:
        if len(page.html) <= LIGHT_BYTES and decode(page.html, page.charset).count("<") <= LIGHT_TAGS:
            return parse.parse_page(page)
        parse.parse_page(_SMALL)  # what it needs is here, or is said to be missing, before there is a copy
        try:
            return [parse.Candidate(*fields) for fields in apart(page.html, page.url, page.charset)]
        except TooMuch:
            return [parse.unread(page.url, parse.ENDLESS)]

    try:
        yield parsed
    finally:
        apart.close()


def _candidates(html: bytes, url: str, charset: str) -> list[parse.Candidate]:
    from selectolax import lexbor

    refused = getattr(lexbor, "SelectolaxError", RuntimeError)  # older versions raise the latter
    try:
        return parse.parse_page(parse.Page(url, html, charset))
    except refused as error:  # a parser of HTML takes everything for which it has memory
        raise MemoryError(str(error)) from error


def _content(record: Any, parsed: Parse, note: Note) -> Callable[[], list[parse.Candidate]] | None:
    """What finds the links of a record, whose bytes are read here; nothing if it is no page."""
    url = record.rec_headers.get_header("WARC-Target-URI") or ""
    kind = (record.rec_headers.get_header("Content-Type") or "").lower()
    if record.rec_type == "metadata" and "json" in kind:
        content = record.raw_stream.read(LARGEST_PAGE)
        return lambda: parse.candidates(parse.read_wat(json.loads(content), url), url)
    if record.rec_type != "response" or record.http_headers is None:
        return None
    kind = (record.http_headers.get_header("Content-Type") or "").lower()
    if record.http_headers.get_statuscode() != "200" or "html" not in kind:
        return None
    body, whole = _body(record)
    if not whole:
        note(f"{url} is larger than {LARGEST_PAGE:,} bytes; only its beginning was read")
    charset = kind.partition("charset=")[2].partition(";")[0].strip(" \"'")
    return lambda: parsed(parse.Page(url, body, charset))


def _body(record: Any) -> tuple[bytes, bool]:
    """The bytes of a page, and whether they are all; never more than `LARGEST_PAGE`, however they are packed.

    As with warcio, what is not in chunks or not packed as its headers say is taken as it is.
    """
    from warcio.bufferedreaders import ChunkedDataReader

    packed = record.raw_stream.read(LARGEST_PAGE)
    whole = len(packed) < LARGEST_PAGE or not record.raw_stream.read(1)
    if record.http_headers.get_header("transfer-encoding") == "chunked":
        packed = ChunkedDataReader(io.BytesIO(packed)).read()
    encoding = (record.http_headers.get_header("content-encoding") or "").lower()
    for start in _STARTS.get(encoding, ()):
        body = _unpacked(packed, start)
        if body is not None:
            return body, whole and len(body) < LARGEST_PAGE
    return packed, whole


def _unpacked(packed: bytes, start: Callable[[], Callable[[bytes, int], bytes]]) -> bytes | None:
    """At most `LARGEST_PAGE` bytes of what was packed; None if it was not packed so from its first block on."""
    try:
        unpack = start()
    except (ImportError, TypeError):
        return None
    parts: list[bytes] = []
    left = LARGEST_PAGE
    for place in range(0, len(packed), _BLOCK):
        try:
            parts.append(unpack(packed[place : place + _BLOCK], left)[:left])
        except Exception:  # of zlib or brotli: what was unpacked before stays
            return b"".join(parts) if place else None
        left -= len(parts[-1])
        if not left:
            break
    return b"".join(parts)


def _brotli() -> Callable[[bytes, int], bytes]:
    """What unpacks brotli; `ImportError` without it, `TypeError` of one that knows no limit."""
    import brotli

    decoder = brotli.Decompressor()
    decoder.process(b"", output_buffer_limit=1)
    return lambda data, most: decoder.process(data, output_buffer_limit=most)


_STARTS: dict[str, tuple[Callable[[], Callable[[bytes, int], bytes]], ...]] = {
    "gzip": (lambda: zlib.decompressobj(31).decompress,),
    "deflate": (lambda: zlib.decompressobj().decompress, lambda: zlib.decompressobj(-zlib.MAX_WBITS).decompress),
    "br": (_brotli,),
}
"""By the name of an encoding, what unpacks it: the next one is tried where one cannot begin."""


def read_pages(source: Source, unit: Unit, note: Note) -> Iterator[Found]:
    """HTML files below a folder; their addresses lie below `base_url`."""
    place = Path(unit.file)
    files = files_below(place, PAGES)[unit.start : unit.stop]
    base = source.base_url.rstrip("/") + "/" if source.base_url else ""
    bad = _Bad(unit, note)
    with _pages() as parsed:
        for file in files:
            name = file.relative_to(place).as_posix() if place.is_dir() else file.name
            read = functools.partial(_page, file, base and f"{base}{name}", parsed, note)
            yield from (Found(candidate) for candidate in bad.guard(name, read))
    bad.finish()


def _page(file: Path, url: str, parsed: Parse, note: Note) -> list[parse.Candidate]:
    if file.stat().st_size > LARGEST_PAGE:
        note(f"{file.name} is larger than {LARGEST_PAGE:,} bytes; only its beginning was read")
    with file.open("rb") as stream:
        candidates = parsed(parse.Page(url, stream.read(LARGEST_PAGE)))
    return [
        candidate._replace(url=candidate.url or file.name)
        if candidate.reason in (parse.UNDECODED, parse.ENDLESS)
        else candidate
        for candidate in candidates
    ]
