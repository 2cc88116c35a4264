"""Folders that `datasets.Dataset.save_to_disk` wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy, Skipped
from unseen.data.images import decode, verify
from unseen.data.labels import encode_labels
from unseen.data.loaders.common import (
    ID_COLUMNS,
    LABEL_COLUMNS,
    TEXT_COLUMNS,
    OnError,
    find_column,
    inspect,
    row_and_id,
    settle,
    unique_ids,
)
from unseen.data.tasks.base import text_array

MARKERS = frozenset({"dataset_info.json", "dataset_dict.json"})
"""A folder with one of these files is a saved `datasets` folder."""


JOINED = "its splits ({}) are read as one; the column split tells which a sample is of"


def load_huggingface(
    root: str,
    *,
    name: str,
    labels_column: str | None = None,
    text_column: str | None = None,
    classes: ClassSpace | Sequence[str] | None = None,
    on_error: OnError = "skip",
    check: bool = True,
) -> Domain:
    """Load a local folder of the Hugging Face `datasets` library; splits become the column ``split``.

    The first image column holds the samples, else the text column, else the columns of numbers. Pictures must
    lie inside the data set; those that it only points to are refused.
    """
    try:
        import datasets
    except ImportError as error:
        raise ImportError('reading a Hugging Face datasets folder needs: pip install "unseen[hub]"') from error
    loaded = datasets.load_from_disk(root)
    parts = loaded if isinstance(loaded, datasets.DatasetDict) else {"": loaded}
    table = datasets.concatenate_datasets(list(parts.values()))
    if not len(table):
        raise ValueError(f"{name}: the data set has no rows")
    features = table.features
    headers = list(features)
    label = find_column(headers, labels_column, "labels_column", LABEL_COLUMNS)
    picture = next((key for key in headers if isinstance(features[key], datasets.Image)), None)
    usual = () if picture else TEXT_COLUMNS
    text = find_column(headers, text_column, "text_column", usual)
    identity = find_column(headers, None, "id", ID_COLUMNS)
    if text_column is not None:
        picture = None

    skipped: list[Skipped] = []
    names: tuple[str, ...] = ()
    ids = unique_ids([str(value) for value in table[identity]]) if identity else None
    rows = np.arange(len(table))
    if picture is not None:
        encoded = table.select_columns([picture]).cast_column(picture, datasets.Image(decode=False))

        def content(row: int) -> bytes:
            body = encoded[int(row)][picture]["bytes"]
            if body is None:
                raise ValueError("the picture lies outside the data set, which only points to it")
            return body

        if check:
            skipped = inspect(rows.tolist(), lambda row: verify(content(row)), lambda row: row_and_id(row, ids))
            bad = {entry.where for entry in skipped}
            rows = rows[[row_and_id(row, ids) not in bad for row in rows]]
        kind: Any = "image"
        x: Any = Lazy(
            rows.tolist(),
            lambda row: decode(content(row)),
            lambda row: hashlib.sha256(content(row)).hexdigest(),
        )
    elif text is not None:
        kind, x = "text", text_array(value or "" for value in table[text])
        rows = np.flatnonzero([bool(value.strip()) for value in x.tolist()])
        skipped = [Skipped(row_and_id(row, ids), f"{text} is empty") for row in np.setdiff1d(np.arange(len(x)), rows)]
        x = x[rows]
    else:
        kind = "features"
        x, names = _numbers(table, [key for key in headers if key not in {label, identity}], name)
        bad_rows = np.flatnonzero(~np.isfinite(x).all(axis=1))
        skipped = [Skipped(row_and_id(row, ids), "a value is missing or not finite") for row in bad_rows]
        rows = np.setdiff1d(rows, bad_rows)
        x = x[rows]
    if not len(rows):
        raise ValueError(f"{name}: none of the {len(table)} rows can be read, the first: {skipped[0].why}")

    y, space = _labels(table, label, rows, classes)
    columns: dict[str, Any] = {}
    if len(parts) > 1:
        columns["split"] = np.repeat(list(parts), [len(part) for part in parts.values()])[rows]
    plain = ("string", "large_string", "bool", "int8", "int16", "int32", "int64", "float32", "float64")
    for key in headers:
        is_plain = getattr(features[key], "dtype", None) in plain
        used = {label, text, picture, identity} if kind != "features" else set(headers)
        if is_plain and key not in used and key not in columns:
            columns[key] = np.asarray([value if value is not None else "" for value in table[key]])[rows]
    return Domain(
        x=x,
        y=y,
        kind=kind,
        classes=space,
        ids=ids[rows] if ids is not None else np.array([f"{row:06d}" for row in rows]),
        columns=columns,
        name=name,
        skipped=settle(skipped, on_error, name),
        feature_names=names,
        notes=(JOINED.format(", ".join(parts)),) if len(parts) > 1 else (),
    )


def _labels(table: Any, label: str | None, rows: Any, classes: Any) -> tuple[Any, ClassSpace | None]:
    """Labels of the rows; names from the data set's own `ClassLabel` where it has one."""
    if label is None:
        return encode_labels([], classes)
    values = table[label]
    names = getattr(table.features[label], "names", None)
    if names is not None:
        values = [None if value is None or value < 0 else names[value] for value in values]
        classes = classes if classes is not None else names
    return encode_labels([values[int(row)] for row in rows], classes)


def _numbers(table: Any, columns: Sequence[str], name: str) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
    """The numeric columns, vectors included, side by side, (n, d), and what they are called."""
    blocks, names = [], []
    for key in columns:
        try:
            block = np.asarray(table[key], dtype=np.float32)
        except (TypeError, ValueError):
            continue
        names += [key] if block.ndim == 1 else [f"{key}[{i}]" for i in range(block[0].size)]
        blocks.append(block.reshape(len(table), -1))
    if not blocks:
        raise ValueError(f"{name}: no picture, text or numbers; the columns are: {', '.join(table.column_names)}")
    return np.hstack(blocks), tuple(names)
