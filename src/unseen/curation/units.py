"""What an input consists of: units that are read by themselves, anywhere, and the links and pictures found in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from unseen.data.reading import natural_key
from unseen.files import is_hidden, walk
from unseen.methods.curation.laion import parse

STRETCH = 100_000
"""Rows of a Parquet table, pages or pictures of a folder in a unit."""


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

    `digest` changes when a file comes, goes, or is written again: it is over names, sizes and times. `contents` says in
    words how much there is.
    """

    path: str
    units: tuple[Unit, ...]
    base_url: str = ""
    digest: str = ""
    contents: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of pictures of one's own, for which limits of the web are not meant."""
        return any(unit.kind == "pictures" for unit in self.units)


class Found(NamedTuple):
    """An image link, or a picture that is on disk already: `size` bytes from `offset` of `file`.

    `more` is what a table says of it beside its caption, by column.
    """

    candidate: parse.Candidate
    file: str = ""
    offset: int = 0
    size: int = 0
    more: Mapping[str, Any] | None = None


Note = Callable[[str], None]
"""Takes a sentence about what of a unit could not be read."""


def stretches(kind: str, file: str, n: int) -> list[Unit]:
    """Units over `n` rows or files of one kind, `STRETCH` in each."""
    return [Unit(kind, file, start, min(start + STRETCH, n)) for start in range(0, n, STRETCH)]


def natural(file: Path) -> Any:
    """The order of files: by their paths, numbers by their size."""
    return natural_key(file.as_posix())


def files_below(place: Path, endings: tuple[str, ...]) -> list[Path]:
    """Visible files of these endings below a folder, in their order; a file is below itself."""
    files = [place] if place.is_file() else [place / name for name in walk(place, ignore=is_hidden).files]
    return sorted((f for f in files if f.name.lower().endswith(endings)), key=natural)
