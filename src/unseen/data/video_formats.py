"""How videos are known: by the ends of their names, and by their first bytes."""

from __future__ import annotations

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts")
    + (".flv", ".wmv", ".asf", ".ogv")
)
"""File names that end like this (in any case) are taken for videos; ``.ts`` is TypeScript, too, and is not."""


def format_of(head: bytes) -> str:
    """FFmpeg's name of the format that a file begins as; `ValueError` if it is none of a video."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"pnot"):
        return "mov"
    begins = {
        b"\x1a\x45\xdf\xa3": "matroska",
        b"FLV": "flv",
        b"\x30\x26\xb2\x75": "asf",
        b"OggS": "ogg",
        b"\x00\x00\x01\xba": "mpeg",
        b"\x00\x00\x01\xb3": "mpegvideo",
    }
    for begin, name in begins.items():
        if head.startswith(begin):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if any(head[at : at + 1] == head[at + 188 : at + 189] == b"G" for at in (0, 4)):  # packets of 188 bytes
        return "mpegts"
    raise ValueError("the file is no video of a known format: MP4, Matroska, WebM, AVI, MPEG, FLV, WMV or Ogg")
