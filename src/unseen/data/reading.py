"""Where the data layer opens files: plain ones alone, and only as large as they may be."""

from __future__ import annotations

import math
import re
import unicodedata
import zipfile
from typing import IO, Any

import numpy as np

from unseen.files import check_plain

MAX_BYTES = 512 * 2**20
"""Files of one sample that are larger than this are refused."""

LARGEST_FREE, MOST_TIMES = 256 * 2**20, 200
"""Bytes that may always be unpacked, and how many times its own size a larger packed file may unpack to."""


def is_local(fs: Any) -> bool:
    """Whether an fsspec file system is that of this machine."""
    return type(fs).__name__ == "LocalFileSystem"


def open_file(fs: Any, path: str) -> IO[bytes]:
    """Open a file for reading; `ValueError` if it is a pipe, a socket or a device, or a member that unpacks to much."""
    if is_local(fs):
        check_plain(path)
    elif isinstance(archive := getattr(fs, "zip", None), zipfile.ZipFile):
        check_member(archive.getinfo(path.lstrip("/")))
    return fs.open(path, "rb")


def read_bytes(fs: Any, path: str, max_bytes: int | None = MAX_BYTES) -> bytes:
    """Return the content of a file, refusing one that is larger than `max_bytes`."""
    with open_file(fs, path) as file:
        size = fs.size(path)
        if max_bytes is not None and size is not None and size > max_bytes:
            raise ValueError(f"the file has {size:,} bytes; at most {max_bytes:,} are read")
        return bytes(file.read())


def check_unpacked(unpacked: int, packed: int, name: str = "it") -> None:
    """Raise `ValueError`, before anything is unpacked, if so many bytes come of so few."""
    if unpacked > max(LARGEST_FREE, MOST_TIMES * packed):
        raise ValueError(
            f"{name} unpacks to {unpacked:,} bytes from {packed:,}, more than {MOST_TIMES} times its size; if that is "
            "meant, store it unpacked"
        )


def check_member(info: zipfile.ZipInfo) -> None:
    """Raise `ValueError` if a member of a zip file says that it unpacks to many times its size."""
    check_unpacked(info.file_size, info.compress_size, info.filename)


def check_array(stream: IO[bytes], size: int) -> None:
    """Raise `ValueError` if the header of an array in NumPy's format tells another size than it has.

    Parameters
    ----------
    stream : binary file
        At the beginning of the header; it is read on.
    size : int
        Bytes of the header and the values.
    """
    shape, _, dtype, offset = array_header(stream)
    need = math.prod(shape) * dtype.itemsize
    if need > size - offset:
        raise ValueError(f"its header tells an array of {need:,} bytes; it holds {max(0, size - offset):,}")


def array_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, order, type and the place of the first value of an array in NumPy's format."""
    begin = stream.tell()
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read; save it as numbers or strings, not as objects")
    if any(isinstance(side, bool) or side < 0 for side in shape):
        raise ValueError(f"its header tells the shape {shape}")
    return shape, fortran, dtype, stream.tell() - begin


def natural_key(text: str) -> tuple[Any, ...]:
    """Sort key under which ``img2`` comes before ``img10``; equal for no two different names."""
    text = unicodedata.normalize("NFC", text)
    parts = re.split(r"([0-9]+)", text.casefold())
    return (*((int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts)), (-1, text))
