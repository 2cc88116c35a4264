"""Decoded frames on disk, by the content of what they were decoded from: read again, not decoded again.

Those of clips lie below the user's cache folder, where old ones go when there is no room; those of a job that looks at
every frame lie in its own folder, as long as that is there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.reading import check_array, is_local, open_file
from unseen.files import check_plain
from unseen.runtime import cache_folder, replacing

log = logging.getLogger("unseen.data")

ROOM = 4 << 30
"""Bytes of decoded frames that are kept below the cache folder: what was not read the longest goes then."""
LARGE = 64 << 20
"""Bytes from which on frames are not read into memory, but from the disk as they are looked at."""


def cache() -> Path:
    """Where decoded frames are kept: ``clips`` below `unseen.runtime.cache_folder`."""
    return cache_folder() / "clips"


@dataclasses.dataclass
class Contents:
    """SHA-256 of files; each is read again only if it has changed since."""

    known: dict[str, tuple[Any, str]] = dataclasses.field(default_factory=dict)

    def digest(self, fs: Any, path: str) -> str:
        """That of a file's bytes, on an fsspec file system."""
        stamp = _stamp(fs, path)
        if path in self.known and self.known[path][0] == stamp:
            return self.known[path][1]
        sha = hashlib.sha256()
        with open_file(fs, path) as file:
            while block := file.read(1 << 22):
                sha.update(block)
        self.known[path] = (stamp, sha.hexdigest())
        return sha.hexdigest()


def _stamp(fs: Any, path: str) -> Any:
    """Size and time of change, or what tells a file's state elsewhere: its entity tag, as a rule."""
    if not is_local(fs):
        return fs.ukey(path)
    about = os.stat(path)  # noqa: PTH116
    return about.st_mtime_ns, about.st_size


class Store:
    """Decoded frames in a folder, at most `room` bytes; `ROOM` if absent, and with 0 what others kept is read alone.

    Where there is no room, files go that were not read since the store was opened, the oldest first; where all were,
    nothing more is kept, so that a job with more clips than there is room does not write each of them anew.
    """

    def __init__(self, folder: Path, room: float | None = None) -> None:
        self.folder, self.opened = folder, time.time()
        self.room = ROOM if room is None else room
        self.used: int | None = None
        self.full = False

    def get(self, name: str) -> NDArray[np.uint8] | None:
        """What was kept under a name, if it is whole."""
        file = self.folder / name
        try:
            check_plain(file)
            size = file.stat().st_size
            with file.open("rb") as stream:
                check_array(stream, size)  # before memory is asked for
            values = np.load(file, "r" if size > LARGE else None, allow_pickle=False)
            os.utime(file)
        except (OSError, ValueError):  # none, or damaged: it is decoded again
            return None
        return values if values.dtype == np.uint8 and values.ndim == 4 else None

    def once(self, name: str, make: Callable[[], NDArray[np.uint8]], frames: int | None = None) -> NDArray[np.uint8]:
        """Frames that are kept under a name, or are made now and kept; made anew where there are not so many."""
        values = self.get(name)
        if values is None or frames not in (None, len(values)):
            values = make()
            self.put(name, values)
        return values

    def put(self, name: str, values: NDArray[np.uint8]) -> None:
        """Keep frames under a name if there is room, or can be made."""
        if not self.room:
            return
        if self.used is None:
            self.used = sum(size for _, size, _ in self._files())
        if self.used + values.nbytes > self.room and not self.full:
            self.used -= self._freed(self.used + values.nbytes - self.room)
            # where nothing old is left, the folder is not looked through again
            self.full = self.used + values.nbytes > self.room
        if self.used + values.nbytes > self.room:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.folder / name) as temporary:
                np.save(temporary, values, allow_pickle=False)
            self.used += (self.folder / name).stat().st_size
        except OSError as error:
            log.warning("decoded frames were not kept in %s: %s", self.folder, error)

    def _files(self) -> list[tuple[float, int, Path]]:
        """When each file was read last, its bytes, and where it is; the oldest first."""
        files = []
        for file in self.folder.glob("*.npy"):
            with contextlib.suppress(OSError):  # another job let it go
                about = file.stat()
                files.append((about.st_mtime, about.st_size, file))
        return sorted(files)

    def _freed(self, wanted: float) -> int:
        """Bytes of old files that went, `wanted` or more unless there are fewer."""
        gone = 0
        for read, size, file in self._files():
            if gone >= wanted or read >= self.opened:
                break
            with contextlib.suppress(OSError):  # another job reads it, or let it go
                file.unlink()
                gone += size
        return gone
