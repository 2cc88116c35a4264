"""Data that a run may read: folders and files below the roots that were named, and what was uploaded."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
import unicodedata
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

from unseen.files import sentence

SUFFIXES = (".zip", ".csv", ".tsv", ".json", ".jsonl", ".parquet", ".npy", ".npz", ".mat", ".tar")
"""Files that are data; an archive is read as it is, and nothing of it is unpacked to the disk."""

UPLOAD = "upload:"
"""How a form names what was uploaded."""

LONGEST = 2 * 2**30
"""Bytes of one upload."""

SPARE = 2**30
"""Bytes that an upload leaves free on the disk."""

KEPT = 24 * 3600.0
"""Seconds for which an upload is kept that no run names."""

OFFERED = 200
"""Places that a form proposes."""

DEPTH = 3

MADE = {"results.json", "config.json", "bundle.json"}
"""Files by which a folder is known that is no data."""


class Places:
    """Where data may lie.

    Parameters
    ----------
    roots : sequence of path
        Folders of this machine whose content may be read; a relative place is looked for in each, in this order.
    uploads : path
        Folder of what is uploaded.
    longest : int
        Bytes of one upload.
    """

    def __init__(self, roots: Sequence[Path], uploads: Path, *, longest: int = LONGEST) -> None:
        self.roots = [root.expanduser().resolve() for root in roots]
        self.uploads = uploads
        self.longest = longest

    def path(self, text: str, what: str) -> str:
        """The place that a form names, as `compare` takes it.

        Raises
        ------
        ValueError
            If it is an address, does not lie below a root, or is not there.
        """
        try:
            return self._path(text.strip(), what)
        except (OSError, RuntimeError) as error:  # a name that is too long, the home of nobody
            raise ValueError(f"{what}: {text[:100]!r} is no place: {sentence(error)[:100]}") from error

    def _path(self, text: str, what: str) -> str:
        if text.startswith(UPLOAD):
            return str(self._uploaded(text.removeprefix(UPLOAD), what))
        if "://" in text or "::" in text or "\0" in text:
            raise ValueError(f"{what}: {text!r} is an address; only folders and files of this machine are read")
        tried = [os.path.realpath(os.path.normpath(root / Path(text).expanduser())) for root in self.roots]
        allowed = [real for real in tried if any(Path(real).is_relative_to(root) for root in self.roots)]
        below = " or ".join(str(root) for root in self.roots)
        if not allowed:
            raise ValueError(
                f"{what}: {text!r} does not lie below {below}; start `unseen web --data FOLDER` to open another folder"
            )
        there = next((real for real in allowed if Path(real).exists()), None)
        if there is None:
            raise ValueError(f"{what}: there is no {text!r} below {below}")
        return there

    def shown(self, path: str) -> str:
        """A place as a form and a page name it."""
        place = Path(path)
        if place.is_relative_to(self.uploads):
            return UPLOAD + place.relative_to(self.uploads).as_posix()
        inside = next((root for root in self.roots if place.is_relative_to(root)), None)
        return path if inside is None or inside != self.roots[0] else place.relative_to(inside).as_posix()

    def offered(self) -> list[str]:
        """Folders and files of data below the roots, as a form proposes them."""
        places: list[str] = []
        for root in self.roots:
            for place, folders, files in os.walk(root):
                folder = Path(place)
                folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
                if MADE & set(files):  # a run or a model
                    folders.clear()
                    continue
                names = [folder, *(folder / name for name in sorted(files) if Path(name).suffix.lower() in SUFFIXES)]
                places += [self.shown(str(name)) for name in names if name != root]
                if len(places) >= OFFERED:
                    return places[:OFFERED]
                if len(folder.relative_to(root).parts) >= DEPTH - 1:
                    folders.clear()
        return places

    # -- uploads -------------------------------------------------------------------------------------------

    def _uploaded(self, name: str, what: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{16}/[^/\\\0]+", name):
            raise ValueError(f"{what}: there is no such upload")
        place = self.uploads / name
        if not place.is_file() or place.is_symlink() or place.name.startswith("."):
            raise ValueError(f"{what}: that upload is not here any more; upload it again")
        return place

    async def receive(self, name: str, content: AsyncIterator[bytes], length: int) -> str:
        """Keep what is uploaded under a name, and return how a form names it.

        Raises
        ------
        ValueError
            If it is no kind of data, too long, or the disk too full; nothing of it is kept then.
        """
        name = _file_name(name)
        if Path(name).suffix.lower() not in SUFFIXES:
            raise ValueError(f"upload one of {', '.join(SUFFIXES)}; got {name!r}")
        self.uploads.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.uploads).free - SPARE
        most = min(self.longest, free)
        if length > most:
            raise ValueError(self._too_long(most))
        folder = self.uploads / secrets.token_hex(8)
        folder.mkdir()
        try:
            seen = 0
            with (folder / f".{name}").open("wb") as file:
                async for part in content:
                    seen += len(part)
                    if seen > most:
                        raise ValueError(self._too_long(most))
                    file.write(part)
            if not seen:
                raise ValueError(f"{name} is empty")
            (folder / f".{name}").rename(folder / name)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return f"{UPLOAD}{folder.name}/{name}"

    def _too_long(self, most: int) -> str:
        if most < self.longest:
            return f"the disk has room for {max(most, 0) / 2**20:.0f} MB more only"
        return f"an upload may have at most {most / 2**20:.0f} MB"

    def sweep(self, used: Collection[str]) -> None:
        """Remove old uploads that none of the places `used` names."""
        if not self.uploads.is_dir():
            return
        for folder in self.uploads.iterdir():
            old = time.time() - folder.stat().st_mtime > KEPT
            if old and not any(Path(place).is_relative_to(folder) for place in used):
                shutil.rmtree(folder, ignore_errors=True)


def _file_name(name: str) -> str:
    """A name that is a file's on every system, and says what the user's said."""
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    name = re.sub(r"[^\w .()\[\]-]", "_", name).strip(" .")
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a name, no path
    return f"{stem.strip()[:80] or 'data'}{suffix[:10]}"
