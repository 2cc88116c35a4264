"""Class files: names, descriptions, attributes and parents of classes from CSV or JSON."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from unseen.data.classes import ClassSpace, names_in
from unseen.data.delimited import form_in, plain_cell, read_rows
from unseen.data.label_metrics import LabelMetric
from unseen.data.loaders.common import find_column, locate
from unseen.data.reading import open_file, read_bytes
from unseen.files import reads, sentence

_SUFFIXES = (".csv", ".tsv", ".json", ".txt")
_NAMES = ("name", "class", "label")
_RESERVED = ("name", "description", "parent", "concept")


def check_prompts(prompts: Sequence[str] | None) -> None:
    """`ValueError` for a sentence in which a name does not go into one place {}."""
    for prompt in prompts or ():
        if prompt.count("{}") != 1:
            raise ValueError(f"prompts must have one place {{}} for the name of the class; got {prompt!r}")


@reads("a class file", "write a CSV with the column name, or a JSON list of records")
def read_classes(path: str | os.PathLike[str]) -> ClassSpace:
    """Read what is known of your classes.

    Parameters
    ----------
    path : path or fsspec URL
        A CSV or TSV file with the column ``name`` and perhaps ``description``, ``parent``, ``concept`` (the class's
        identifier in a taxonomy, such as ``shark.n.01`` or ImageNet's ``n01494475``) and one column per attribute; for
        classes that are pairs of two words, the columns ``attribute`` and ``object`` instead; or a JSON file with a
        list of such records, or a mapping from name to record or description; or a TXT file with a name in each line.
        A description in JSON may be a list of sentences. Rows of a table that have one name and differ in nothing but
        the description are one class with several sentences.

    Returns
    -------
    ClassSpace
        All classes seen. With parents, the distance is the number of edges between two classes in the tree; a
        parent that is no class itself is an inner node, and several roots are joined by one above them.

    Raises
    ------
    ValueError
        If a name is missing or repeated, an attribute is no finite number (the row and column are named), or
        the parents go round in a circle.
    """
    fs, file = locate(path)
    suffix = PurePosixPath(file).suffix.lower()
    if suffix in (".csv", ".tsv"):
        records, headers = _read_csv(fs, file, suffix)
    elif suffix == ".json":
        records, headers = _read_json(fs, file)
    elif suffix == ".txt":
        records, headers = _read_lines(fs, file)
    else:
        raise ValueError(f"a class file ends in .csv, .tsv, .json or .txt; got {os.fspath(path)!r}")
    if not records:
        raise ValueError(f"{file}: there are no classes")
    key = find_column(headers, None, "name", _NAMES)
    if key is None:
        raise ValueError(f"{file}: there is no column 'name'. The columns are: {', '.join(headers)}")
    records = _gathered(records, key, headers)
    names = tuple(_text(record.get(key)) for record in records)
    for row, name in enumerate(names):
        if not name:
            raise ValueError(f"{file}: row {row + 1} has no name")
    folded = {header.casefold(): header for header in headers}
    if {"attribute", "object"} <= set(folded):
        return _compositions(records, names, folded, file)
    attributes = [header for header in headers if header != key and header.casefold() not in _RESERVED]
    space = ClassSpace(
        names=names,
        descriptions=_described(records, folded.get("description")),
        attributes=_numbers(records, names, attributes, file) if attributes else None,
        attribute_names=tuple(attributes) or None,
        concepts=_column(records, folded.get("concept")),
    )
    parents = _column(records, folded.get("parent"))
    return space if parents is None else space.replace(metric=_tree(names, parents, file))


def _gathered(records: list[dict[str, Any]], key: str, headers: Sequence[str]) -> list[dict[str, Any]]:
    """Records of one name that differ in their descriptions alone as one, with all sentences."""
    column = next((header for header in headers if header.casefold() == "description"), None)
    if column is None:
        return records
    seen: dict[str, dict[str, Any]] = {}
    kept: list[dict[str, Any]] = []
    for record in records:
        name, first = _text(record.get(key)), seen.get(_text(record.get(key)))
        others = {header: value for header, value in record.items() if header != column}
        description = _several(record.get(column))
        if not name or first is None or not description or others != {h: v for h, v in first.items() if h != column}:
            kept.append(record)
            seen.setdefault(name, record)
        elif description not in (lines := _several(first.get(column)).splitlines()):
            first[column] = [*lines, description]
        else:
            kept.append(record)  # the same row twice is a mistake, which is told
    return kept


def class_space(classes: Any) -> ClassSpace | None:
    """Classes as they may be given: a `ClassSpace`, a class file, names with commas between them, or a list of names.

    Raises
    ------
    ValueError
        If there is no name, one stands twice, or a file is no class file.
    TypeError
        If it is something else.
    """
    if classes is None or isinstance(classes, ClassSpace):
        return classes
    if isinstance(classes, (str, os.PathLike)):
        text = os.fspath(classes)
        if not text.strip():
            return _listed([])
        if PurePosixPath(text).suffix.lower() in _SUFFIXES or "," not in text:
            return _one_or_file(text)
        return _listed([name for part in text.split(",") if (name := _text(part))])
    if (names := names_in(classes)) is not None:
        return _listed([_text(name) for name in names])
    raise TypeError(f"classes must be a ClassSpace, a file, or names; got {type(classes).__name__}")


def _one_or_file(text: str) -> ClassSpace:
    """A class file; a word that is none is a single name, which is too few for whoever asks."""
    if PurePosixPath(text).suffix or "/" in text or Path(text).exists():
        return read_classes(text)
    raise ValueError(f"classes must be a file of names, or names with commas between them; got {text!r} alone")


def _listed(names: Sequence[str]) -> ClassSpace:
    if not names or not all(names):
        raise ValueError(f"classes must hold names; got {'an empty one' if names else 'none'}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"classes must be different; {twice!r} stands twice")
    return ClassSpace(names=tuple(names))


def _compositions(
    records: Sequence[Mapping[str, Any]], names: Sequence[str], folded: Mapping[str, str], file: str
) -> ClassSpace:
    """Classes of two words each."""
    from unseen.data.compositions import compositions

    pairs = [(_text(record.get(folded["attribute"])), _text(record.get(folded["object"]))) for record in records]
    for name, (attribute, object_) in zip(names, pairs):
        if not attribute or not object_:
            raise ValueError(f"{file}: class {name!r} must have an attribute and an object")
    return compositions(pairs, names=names)


def _tree(names: Sequence[str], parents: Sequence[str], file: str) -> LabelMetric:
    """The tree metric over classes and inner nodes; one root is added if there are several."""
    from unseen.data.label_metrics import TreeMetric

    inner = [parent for parent in dict.fromkeys(parents) if parent and parent not in set(names)]
    node = {name: i for i, name in enumerate((*names, *inner))}
    above = np.array([node.get(parent, -1) for parent in parents] + [-1] * len(inner), dtype=np.int64)
    _refuse_cycles(above, list(node), file)
    roots = np.flatnonzero(above == -1)
    if len(roots) > 1:
        above[roots] = len(above)
        above = np.append(above, -1)
    return TreeMetric(above, None, np.arange(len(names)))


def _refuse_cycles(above: np.ndarray[Any, Any], names: Sequence[str], file: str) -> None:
    """Climb from all nodes at once by doubling; whoever never arrives at a root hangs on a circle."""
    up = np.append(above, len(above))
    up[up == -1] = len(above)
    for _ in range(max(1, len(above).bit_length())):
        up = up[up]
    lost = np.flatnonzero(up[:-1] != len(above))
    if len(lost):
        raise ValueError(f"{file}: the parents of {names[int(lost[0])]!r} go round in a circle")


def _read_csv(fs: Any, file: str, suffix: str) -> tuple[list[dict[str, Any]], list[str]]:
    try:
        with open_file(fs, file) as stream:
            form = form_in(stream, suffix, called=file)
            frame = read_rows(stream, form, dtype=str, keep_default_na=False)
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{file} cannot be read as a table: {sentence(error)}") from error
    if form.decimal == ",":
        key = find_column(list(frame.columns), None, "name", _NAMES)
        attributes = [header for header in frame.columns if header != key and header.casefold() not in _RESERVED]
        frame[attributes] = frame[attributes].map(plain_cell)
    return [dict(zip(frame.columns, row)) for row in frame.to_numpy().tolist()], list(frame.columns)


def _read_json(fs: Any, file: str) -> tuple[list[dict[str, Any]], list[str]]:
    try:
        content = json.loads(read_bytes(fs, file))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} cannot be read as JSON: {sentence(error)}") from error
    if isinstance(content, Mapping) and isinstance(content.get("classes"), list):
        content = content["classes"]
    if isinstance(content, Mapping):
        content = [
            {"name": name, **(value if isinstance(value, Mapping) else {"description": value})}
            for name, value in content.items()
        ]
    if not isinstance(content, list):
        raise ValueError(f"{file}: expected a list of records, or a mapping from name to record or description")
    records = [{"name": entry} if isinstance(entry, str) else entry for entry in content]
    if not all(isinstance(entry, Mapping) for entry in records):
        raise ValueError(f"{file}: expected a list of records, or a mapping from name to record or description")
    return records, list(dict.fromkeys(key for record in records for key in record))


def _read_lines(fs: Any, file: str) -> tuple[list[dict[str, Any]], list[str]]:
    lines = read_bytes(fs, file).decode("utf-8-sig").splitlines()
    return [{"name": line} for line in lines if line.strip()], ["name"]


def _text(value: Any) -> str:
    return "" if value is None else unicodedata.normalize("NFC", str(value)).strip()


def _several(value: Any) -> str:
    """A description; of a list of sentences each in a line of its own."""
    return "\n".join(filter(None, map(_text, value))) if isinstance(value, (list, tuple)) else _text(value)


def _column(records: Sequence[Mapping[str, Any]], key: str | None) -> tuple[str, ...] | None:
    """A column of texts; None where it is absent or empty throughout."""
    texts = tuple(_text(record.get(key)) for record in records) if key else ()
    return texts if any(texts) else None


def _described(records: Sequence[Mapping[str, Any]], key: str | None) -> tuple[str, ...] | None:
    """The descriptions, of one sentence or of several."""
    texts = tuple(_several(record.get(key)) for record in records) if key else ()
    return texts if any(texts) else None


def _numbers(
    records: Sequence[Mapping[str, Any]], names: Sequence[str], columns: Sequence[str], file: str
) -> np.ndarray[Any, Any]:
    """The attribute columns as numbers, (N, A)."""

    def number(row: int, column: str) -> float:
        value = records[row].get(column)
        try:
            parsed = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            parsed = float("nan")
        if not np.isfinite(parsed):
            where = f"row {row + 1} ({names[row]!r}), column {column!r}"
            raise ValueError(f"{file}: attributes must be finite numbers; {where} holds {value!r}")
        return parsed

    return np.array([[number(row, column) for column in columns] for row in range(len(records))])
