"""Which runs and models lie below the folders that were named; nothing else is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

DEPTH = 4
"""Levels below a folder that are looked through."""

MOST = 500
"""Folders that a list names."""

RUN, MODEL = "results.json", "bundle.json"
"""Files by which a run and a saved model are known."""


def shelf(roots: Sequence[Path], *marks: str, wanted: Callable[[Path], bool] = lambda folder: True) -> dict[str, Path]:
    """Folders below `roots` that hold a file of `marks` and are `wanted`, newest first, by the names that a page shows.

    Of a run that is none of them its model alone is looked at.

    Links are not followed, and hidden folders are left out. A root that is not there holds nothing.
    """
    entries: dict[Path, tuple[str, float]] = {}
    for root in dict.fromkeys(root.resolve() for root in roots):
        for place, folders, files in os.walk(root):
            folder = Path(place)
            inside = folder.relative_to(root)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            held = [folder / mark for mark in marks if mark in files and not (folder / mark).is_symlink()]
            if held and wanted(folder):
                entries.setdefault(folder, (_readable(str(root.name / inside)), held[0].stat().st_mtime))
                folders.clear()
            if RUN in files:
                folders[:] = [name for name in folders if name == "model"]
            if len(inside.parts) >= DEPTH:
                folders.clear()
    newest = sorted(entries, key=lambda folder: (-entries[folder][1], folder))
    named: dict[str, Path] = {}
    for folder in newest[:MOST]:
        name, n = entries[folder][0], 1
        while name in named:
            n += 1
            name = f"{entries[folder][0]} ({n})"
        named[name] = folder
    return named


def _readable(name: str) -> str:
    """A path as text that every page can hold, whatever bytes it is made of."""
    return name.encode("utf-8", "replace").decode()


def pick(folders: Mapping[str, Path], name: object, what: str) -> Path:
    """The folder of a name from the list.

    Raises
    ------
    ValueError
        If the name is not on the list, or the folder holds a link, which could lead elsewhere.
    """
    if not isinstance(name, str) or name not in folders:
        raise ValueError(f"{what} must be one of the list; got {name!r}")
    folder = folders[name]
    if any(file.is_symlink() for file in folder.rglob("*")):
        raise ValueError(f"{what} {name!r} holds a link; folders with links are not opened")
    return folder
