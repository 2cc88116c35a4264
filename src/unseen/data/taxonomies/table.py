"""A taxonomy as a table: a row per node with its parent, as in a class file."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import Any

from unseen.data.loaders.common import find_column, locate
from unseen.data.loaders.table import read_frame
from unseen.data.taxonomies.base import Taxonomy, build
from unseen.files import reads

_KEYS = ("id", "name", "code", "node")
_PARENTS = ("parent", "parents")
_TITLES = ("description", "title", "name")
_SYNONYMS = ("synonyms", "synonym")


@reads("a table of a taxonomy", "write a CSV with the columns name and parent")
def table(path: str | os.PathLike[str]) -> Taxonomy:
    """Read a CSV or TSV file with the columns ``name`` (or ``id``, ``code``, ``node``), ``parent``, perhaps
    ``description`` (or ``title``) and ``synonyms``.

    Several parents or synonyms in a cell are parted by ``|``. A parent without a row of its own becomes a node.

    Raises
    ------
    ValueError
        If there is no name or parent column, a name is missing or repeated, or parents go round in a circle.
    """
    fs, file = locate(path)
    if PurePosixPath(file).suffix.lower() not in (".csv", ".tsv"):
        raise ValueError(f"a taxonomy table ends in .csv or .tsv; got {os.fspath(path)!r}")
    frame = read_frame(fs, file, [*_KEYS, *_PARENTS, *_TITLES, *_SYNONYMS])
    headers = list(frame.columns)
    key = find_column(headers, None, "name", _KEYS)
    up = find_column(headers, None, "parent", _PARENTS)
    if key is None or up is None:
        raise ValueError(f"{file}: there must be columns name and parent. The columns are: {', '.join(headers)}")
    texts = find_column([header for header in headers if header != key], None, "description", _TITLES)
    others = find_column(headers, None, "synonyms", _SYNONYMS)
    ids = [_text(value) for value in frame[key]]
    for row, identity in enumerate(ids):
        if not identity:
            raise ValueError(f"{file}: row {row + 1} has no name")
    parents = [_cell(value) for value in frame[up]]
    names = [_text(value) for value in frame[texts]] if texts else [""] * len(ids)
    inner = [p for p in dict.fromkeys(p for line in parents for p in line) if p not in set(ids)]
    synonyms = [_cell(value) for value in frame[others]] if others else [[] for _ in ids]
    phrases = [
        (i, text)
        for i, (identity, name, more) in enumerate(
            zip([*ids, *inner], [*names, *inner], [*synonyms, *([[]] * len(inner))])
        )
        for text in (name or identity, *([identity] if key.casefold() == "name" else []), *more)
    ]
    return build(
        [*ids, *inner],
        [*parents, *([] for _ in inner)],
        [name or identity for name, identity in zip([*names, *inner], [*ids, *inner])],
        phrases,
        name=PurePosixPath(file).name,
        notes=(f"{len(inner)} parents without a row of their own are nodes",) if inner else (),
    )


def _text(value: Any) -> str:
    return "" if value is None or value != value else " ".join(str(value).split())


def _cell(value: Any) -> list[str]:
    return [text for part in _text(value).split("|") if (text := part.strip())]
