"""Files of records in spans: where one can be cut, and the bytes between two cuts as a file of their own."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

Span = tuple[int, int]

LEAST = 1 << 20
"""Bytes below which a file is not cut further."""

BLOCK = 1 << 18

_BOM = b"\xef\xbb\xbf"
_QUOTE, _NEWLINE = b'"\n'


def spans(path: Path, n: int, *, quoted: bool = False, separator: bytes = b",") -> Iterator[Span]:
    """Cut a file into at most `n` spans of bytes that are about as long as each other, between two records.

    Parameters
    ----------
    path : Path
    n : int, > 0
        Less where spans would be shorter than `LEAST`.
    quoted : bool
        The file is CSV: a line break between quotes is part of a cell. Every quote up to a cut is looked at. From the
        first on that stands where RFC 4180 has none (``5" disk``), of which readers make what they like, the file is
        not cut.
    separator : bytes
        Between the cells of such a file.
    """
    size = path.stat().st_size
    n = max(min(n, size // LEAST), 1)
    wanted = [k * size // n for k in range(1, n)]
    start = 0
    with path.open("rb") as file:
        for stop in _csv_cuts(file, wanted, separator) if quoted else _line_cuts(file, wanted):
            if start < stop < size:
                yield start, stop
                start = stop
    yield start, size


def _line_cuts(file: BinaryIO, wanted: Sequence[int]) -> Iterator[int]:
    """Ends of the lines in which the wanted places lie."""
    for place in wanted:
        file.seek(place)
        file.readline()
        yield file.tell()


def _csv_cuts(file: BinaryIO, wanted: Sequence[int], separator: bytes) -> Iterator[int]:
    """Ends of the records in which the wanted places lie, as long as every quote is in its place."""
    before_quoted = np.isin(np.arange(256), list(b'\n\r"' + separator))  # it opens a cell, or goes on with it
    at = len(_BOM) if file.read(len(_BOM)) == _BOM else 0
    file.seek(at)
    buffer = bytearray(BLOCK)
    inside, last, rest = 0, _NEWLINE, list(wanted)
    while rest and (k := file.readinto(buffer)):  # type: ignore[attr-defined]
        block = np.frombuffer(buffer, np.uint8, k)
        quotes = np.flatnonzero(block == _QUOTE)
        opening = quotes[inside::2]
        before = np.where(opening > 0, block[opening - 1], last)
        if not before_quoted[before].all():
            return
        if rest[0] < at + k:
            breaks = np.flatnonzero(block == _NEWLINE)
            ends = at + 1 + breaks[(np.searchsorted(quotes, breaks) + inside) % 2 == 0]
            while rest and len(ends) and rest[0] < ends[-1]:
                yield int(ends[np.searchsorted(ends, rest.pop(0), side="right")])
        inside, last, at = (inside + len(quotes)) % 2, int(block[-1]), at + k


class Stretch(io.RawIOBase):
    """The bytes of a file between two places."""

    def __init__(self, path: Path, span: Span) -> None:
        self._file = path.open("rb", buffering=0)
        self._file.seek(span[0])
        self._left = span[1] - span[0]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = self._file.readinto(memoryview(buffer)[: self._left]) or 0
        self._left -= n
        return n

    def close(self) -> None:
        self._file.close()
        super().close()


def opened(path: Path, span: Span | None = None) -> io.BufferedReader:
    """A file, or a span of it, for reading bytes."""
    return io.BufferedReader(Stretch(path, span or (0, path.stat().st_size)), BLOCK)


def text_lines(path: Path, span: Span | None = None, *, newline: str | None = None) -> Iterator[str]:
    """Lines of a file, or of a span of it, with their ends (`newline` as for `open`); what is no UTF-8 is replaced.

    The mark that some programs begin a file with is no letter of its first line.
    """
    encoding = "utf-8-sig" if span is None or span[0] == 0 else "utf-8"
    with io.TextIOWrapper(opened(path, span), encoding=encoding, errors="replace", newline=newline) as file:
        yield from file
