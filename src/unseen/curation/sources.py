"""What `unseen curate` reads: crawls, pages, link tables, WebDataset shards, folders of captioned pictures.

A source is split into units (a file, or a stretch of one), each of which is read by itself, anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from unseen.curation.captions import (
    HOW,
    OTHERS,
    PICTURES,
    is_link_table,
    named_files,
    names_files_alone,
    read_captions,
    without_captions,
)  # fmt: skip
from unseen.curation.crawls import CRAWLS, PAGES, read_crawl, read_pages
from unseen.curation.samples import SHARDS, pictures_of, read_pictures, read_shard
from unseen.curation.tables import TABLES, read_table, table_units
from unseen.curation.units import Found, Note, Source, Unit, files_below, stretches
from unseen.files import is_hidden, walk


class _Kind(NamedTuple):
    """What the files of a unit are called, end in, and are read by."""

    called: str
    endings: tuple[str, ...]
    read: Callable[[Source, Unit, Note], Iterable[Found]]


_KINDS = {
    "crawl": _Kind("crawls", CRAWLS, read_crawl),
    "shard": _Kind(".tar shards", SHARDS, read_shard),
    "pages": _Kind("HTML pages", PAGES, read_pages),
    "pictures": _Kind("pictures", PICTURES, read_pictures),
    "table": _Kind("tables", TABLES, read_table),
}


def open_source(path: str | os.PathLike[str] | Source, *, base_url: str = "") -> Source:
    """Look at a path and say how it is read; a source that was opened stays as it is.

    Parameters
    ----------
    path : path or Source
        A file or a folder of: WARC or WAT files (``.warc``, ``.warc.gz``, ``.wat.gz``); HTML pages; tables with a URL
        and a caption (Parquet, CSV, TSV, JSON lines); WebDataset shards (``.tar``); pictures with a ``.txt`` of the
        same name, or with a table that names files and captions, such as ``captions.csv`` or ``metadata.jsonl``.
    base_url : str
        Where a folder of HTML pages was: their relative links are resolved against it.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If it holds nothing that is read.
    """
    if isinstance(path, Source):
        return path
    place = Path(path).absolute()
    if not place.exists():
        raise FileNotFoundError(f"input {str(path)!r} does not exist")
    files = files_below(place, ("",))
    kinds = _kinds(place, files)
    if len(kinds) > 1:
        listed = " and ".join(
            f"{len(members):,} {_KINDS[kind].called} (such as {members[0].name})" for kind, members in kinds.items()
        )
        raise ValueError(
            f"input {str(path)!r} holds {listed}: name a file, or a folder in which all are of one kind, and curate "
            "the others by themselves"
        )
    units: list[Unit] = []
    contents = ""
    for kind, members in kinds.items():
        contents = f"{len(members):,} {_KINDS[kind].called if len(members) > 1 else _KINDS[kind].called[:-1]}"
        if kind in ("crawl", "shard"):
            units = [Unit(kind, str(f)) for f in members]
        elif kind == "table":
            if place.is_file() and names_files_alone(place):
                raise ValueError(
                    f"input {str(path)!r} names pictures of this machine: give the folder that holds them and this "
                    f"table, such as {os.fspath(Path(path).parent)!r}"
                )
            if alone := [f for f in members if names_files_alone(f)]:
                raise ValueError(_without_pictures(path, place, alone[0]))
            units = [unit for f in members for unit in table_units(f)]
        else:
            if kind == "pictures":
                contents = _captioned(place, path)
            units = stretches(kind, str(place), len(members))
    if not units:
        raise ValueError(
            f"input {str(path)!r} holds nothing to curate: expected WARC or WAT files, HTML pages, a table of URLs and "
            "captions (.parquet, .csv, .tsv, .jsonl), .tar shards, or pictures with captions"
        )
    return Source(str(place), tuple(units), base_url, _digest(place, files), contents)


def _without_pictures(path: str | os.PathLike[str], place: Path, table: Path) -> str:
    """What is wrong with a folder that holds captions of pictures, and no picture."""
    called, names = table.relative_to(place).as_posix(), named_files(table)
    if not names:
        return f"input {str(path)!r} holds no pictures, and {called} names none: {HOW}"
    files = "1 file," if len(names) == 1 else f"{len(names):,} files, such as"
    there = "that is not there" if len(names) == 1 else "none of which is there"
    return (
        f"input {str(path)!r} holds no pictures; {called} names {files} {names[0]!r}, {there}: "
        "name the folder that holds the pictures and this table"
    )


def _captioned(place: Path, path: str | os.PathLike[str]) -> str:
    """How many pictures of a folder have a caption, in words; `ValueError` if none has."""
    files = walk(place, ignore=is_hidden).files
    names, notes = pictures_of(files), list[str]()
    n = sum(bool(text.strip()) for text in read_captions(place, names, files, notes.append).values())
    if not n:
        raise ValueError(without_captions(f"input {str(path)!r}", len(names), notes))
    pictures = f"{len(names):,} {'picture' if len(names) == 1 else 'pictures'}"
    return f"{pictures}, each with a caption" if n == len(names) else f"{pictures}, {n:,} of them with a caption"


def _kinds(place: Path, files: list[Path]) -> dict[str, list[Path]]:
    """The files that are read, by kind; tables that only say more of pictures or shards are no kind of their own."""
    by_kind = {name: [f for f in files if f.name.lower().endswith(kind.endings)] for name, kind in _KINDS.items()}
    if not place.is_dir():
        by_kind["pictures"] = []
    if by_kind["pictures"]:
        by_kind["pictures"] = [f for f in files if f.name.lower().endswith((*PICTURES, *OTHERS))]
        by_kind["table"] = [f for f in by_kind["table"] if is_link_table(f)]
    shards = {f.with_suffix("") for f in by_kind["shard"]}
    by_kind["table"] = [f for f in by_kind["table"] if f.with_suffix("") not in shards]  # as img2dataset leaves them
    return {kind: members for kind, members in by_kind.items() if members}


def _digest(place: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        about = file.stat()
        name = file.relative_to(place).as_posix() if place.is_dir() else file.name
        digest.update(json.dumps([name, about.st_size, about.st_mtime_ns]).encode())
    return digest.hexdigest()


def read_unit(source: Source, unit: Unit, note: Note) -> Iterator[Found]:
    """Every image link or picture of a unit, kept or with the reason why not; damage is told to `note`."""
    yield from _KINDS[unit.kind].read(source, unit, note)
