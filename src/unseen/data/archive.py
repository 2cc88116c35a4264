"""Arrays of an .npz that stay on disk: mapped where they lie in it, or from a temporary file if they are compressed."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen.data.reading import check_member, checked_header

MOST_OF_TEXTS = 2**30
"""Bytes of an array of texts that may be unpacked however well it is packed."""


class Header(NamedTuple):
    """Shape, order and type of an array, and where its values begin in its member of the archive."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int


class Archive:
    """The arrays of an .npz file, by their headers; no value is read before it is asked for, and none twice.

    Parameters
    ----------
    path : path

    Raises
    ------
    ValueError
        If it is no .npz file, the header of an array tells another size than it has, or one unpacks to many times its
        size.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.headers: dict[str, Header] = {}
        try:
            with zipfile.ZipFile(self.path) as file:
                members = [info for info in file.infolist() if info.filename.endswith(".npy")]
                for info in members:
                    with file.open(info) as member:
                        header = Header(*checked_header(member, info.file_size))
                    self.headers[info.filename.removesuffix(".npy")] = header
        except (zipfile.BadZipFile, ValueError) as error:
            raise ValueError(f"{path} is no .npz file, or damaged: {error}") from error

    @property
    def tables(self) -> list[str]:
        """Names of the arrays of floats of two dimensions."""
        return [name for name, header in self.headers.items() if len(header.shape) == 2 and header.dtype.kind == "f"]

    def said(self, names: Iterable[str]) -> dict[str, NDArray[Any]]:
        """Those arrays of one dimension that are there, in memory."""
        present = [name for name in names if name in self.headers and len(self.headers[name].shape) == 1]
        for name in present:
            self._check(name)
        with np.load(self.path, allow_pickle=False) as file:
            return {name: file[name] for name in present}

    def _check(self, name: str) -> None:
        """`ValueError` if an array unpacks to many times its size; texts may, as NumPy makes all as long as one."""
        with zipfile.ZipFile(self.path) as file:
            info = file.getinfo(f"{name}.npy")
        if self.headers[name].dtype.kind == "U" and info.file_size <= MOST_OF_TEXTS:
            return
        try:
            check_member(info)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error

    def mapped(self, name: str) -> NDArray[Any]:
        """An array, mapped from disk."""
        header = self.headers[name]
        if 0 in header.shape:
            return np.empty(header.shape, dtype=header.dtype)
        order: Any = "F" if header.fortran else "C"
        self._check(name)
        with zipfile.ZipFile(self.path) as file, self.path.open("rb") as raw:
            info = file.getinfo(f"{name}.npy")
            if info.compress_type == zipfile.ZIP_STORED:
                raw.seek(info.header_offset + 26)
                lengths = struct.unpack("<HH", raw.read(4))
                start = info.header_offset + 30 + sum(lengths) + header.offset
                return np.memmap(self.path, header.dtype, "r", start, header.shape, order)
            with tempfile.TemporaryFile() as unpacked, file.open(info) as member:  # the mapping outlives the name
                shutil.copyfileobj(member, unpacked, 1 << 20)
                unpacked.flush()
                return np.memmap(unpacked, header.dtype, "r", header.offset, header.shape, order)
