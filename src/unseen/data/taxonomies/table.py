"""A taxonomy as a table: a row per node with its parent, as in a class file."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from unseen.data.loaders.common import find_column, locate
from unseen.data.loaders.table import read_frame
from unseen.data.taxonomies.base import Taxonomy, build
from unseen.files import reads

_KEYS = ("id", "name", "code", "node")
_PARENTS = ("parent", "parents")
_TITLES = ("name", "title")
_DEFINITIONS = ("description", "definition")
_SYNONYMS = ("synonyms", "synonym")
NAMED = 3
"""Parents without a row that a note names."""
CLOSE = 0.7
"""Likeness, of 1, from which on a name is one that a parent may be a misspelling of."""


@reads("a table of a taxonomy", "write a CSV with the columns name and parent")
def table(path: str | os.PathLike[str]) -> Taxonomy:
    """Read a CSV or TSV file with the columns ``name`` (or ``id``, ``code``, ``node``), ``parent``, perhaps
    ``title``, ``description`` (or ``definition``) and ``synonyms``.

    What people call a node is its name or title; beside identifiers alone, its description. A description is a phrase
    of its node, too, and its definition. Several parents or synonyms in a cell are parted by ``|``. A parent without a
    row of its own becomes a node.

    Raises
    ------
    ValueError
        If there is no name or parent column, a name is missing or repeated, or parents go round in a circle.
    """
    fs, file = locate(path)
    if PurePosixPath(file).suffix.lower() not in (".csv", ".tsv"):
        raise ValueError(f"a taxonomy table ends in .csv or .tsv; got {os.fspath(path)!r}")
    frame = read_frame(fs, file, [*_KEYS, *_PARENTS, *_TITLES, *_DEFINITIONS, *_SYNONYMS])
    headers = list(frame.columns)
    key = find_column(headers, None, "name", _KEYS)
    up = find_column(headers, None, "parent", _PARENTS)
    if key is None or up is None:
        raise ValueError(f"{file}: there must be columns name and parent. The columns are: {', '.join(headers)}")
    titles = find_column([header for header in headers if header != key], None, "title", _TITLES)
    said = find_column(headers, None, "description", _DEFINITIONS)
    others = find_column(headers, None, "synonyms", _SYNONYMS)
    ids = [_text(value) for value in frame[key]]
    for row, identity in enumerate(ids):
        if not identity:
            raise ValueError(f"{file}: row {row + 1} has no name")
    parents = [_cell(value) for value in frame[up]]
    definitions = [_text(value) for value in frame[said]] if said else [""] * len(ids)
    if titles is None and key.casefold() != "name":
        titles = said
    names = [_text(value) for value in frame[titles]] if titles else [""] * len(ids)
    inner = [p for p in dict.fromkeys(p for line in parents for p in line) if p not in set(ids)]
    synonyms = [_cell(value) for value in frame[others]] if others else [[] for _ in ids]
    phrases = [
        (i, text)
        for i, (identity, name, definition, more) in enumerate(zip(ids, names, definitions, synonyms))
        for text in (name or identity, *([identity] if key.casefold() == "name" else []), definition, *more)
    ] + [(i, parent) for i, parent in enumerate(inner, len(ids))]
    return build(
        [*ids, *inner],
        [*parents, *([] for _ in inner)],
        [name or identity for name, identity in zip([*names, *inner], [*ids, *inner])],
        phrases,
        definitions=[*definitions, *([""] * len(inner))] if said and said != titles else None,
        name=PurePosixPath(file).name,
        notes=(_without_rows(inner, ids, parents),) if inner else (),
    )


def _without_rows(inner: Sequence[str], ids: Sequence[str], parents: Sequence[Sequence[str]]) -> str:
    """Which parents become nodes though no row is theirs, with the names that they may be misspellings of."""
    listed = []
    for parent in inner[:NAMED]:
        child = next(identity for identity, above in zip(ids, parents) if parent in above)
        near = difflib.get_close_matches(parent, [name for name in ids if name != child], n=1, cutoff=CLOSE)
        hint = f"did you mean {near[0]!r}?" if near else ""
        phrase = f"{parent!r}, the parent of {child!r}"
        if len(inner) == 1:
            return f"{phrase}, has no row of its own and becomes a node" + (f"; {hint}" if hint else "")
        listed.append(phrase + (f" ({hint})" if hint else ""))
    if len(inner) > NAMED:
        listed.append(f"and {len(inner) - NAMED:,} more")
    return f"{len(inner):,} parents have no row of their own and become nodes: {', '.join(listed)}"


def _text(value: Any) -> str:
    return "" if value is None or value != value else " ".join(str(value).split())


def _cell(value: Any) -> list[str]:
    return [text for part in _text(value).split("|") if (text := part.strip())]
