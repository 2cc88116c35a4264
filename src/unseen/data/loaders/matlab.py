"""MATLAB files: features with domains, and the usual zero-shot feature files."""

from __future__ import annotations

import io
import math
import os
import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.labels import encode_labels
from unseen.data.loaders.common import find_column, locate
from unseen.data.reading import check_unpacked, read_bytes
from unseen.data.typing import IntArray
from unseen.files import named

_X = ("d", "x", "features", "fts", "fea", "feas")
_Y = ("y", "labels", "label", "gnd")


class ZeroShot(NamedTuple):
    """The parts of a zero-shot benchmark; labels of all of them index `classes`."""

    train_seen: Domain
    test_seen: Domain
    test_unseen: Domain
    classes: ClassSpace


def load_mat(fs: Any, path: str, *, name: str, classes: ClassSpace | Sequence[str] | None = None) -> Domain:
    """Load features ``D`` (or ``X``, ``features``, …), labels ``y``, and ``domains``, ``domain_names``.

    Features may be stored as samples x features or the other way round; the number of labels tells which.
    """
    content = read_mat(fs, path)
    keys = list(content)
    x_key, y_key = find_column(keys, None, "features", _X), find_column(keys, None, "labels", _Y)
    if x_key is None:
        raise ValueError(f"{name}: no variable is called {', '.join(_X)}; the variables are: {', '.join(keys)}")
    x = _dense(content[x_key])
    labels = None if y_key is None else np.asarray(content[y_key]).reshape(-1)
    if labels is not None and labels.dtype == object:
        labels = np.array(_strings(labels))
    if labels is not None and len(x) != len(labels):
        if x.shape[1] != len(labels):
            raise ValueError(f"{name}: {x_key} has shape {x.shape}, which fits none of {len(labels)} labels")
        x = x.T
    y, space = encode_labels([] if labels is None else labels.tolist(), classes)
    columns = {}
    if "domains" in content:
        offsets = np.asarray(content["domains"], dtype=np.int64).reshape(-1)
        if offsets[0] != 0 or offsets[-1] != len(x) or (np.diff(offsets) < 0).any():
            raise ValueError(f"{name}: domains must be offsets from 0 to {len(x)}; got {offsets.tolist()}")
        count = len(offsets) - 1
        names = _strings(content["domain_names"]) if "domain_names" in content else [str(i) for i in range(count)]
        if len(names) != count:
            raise ValueError(f"{name}: domain_names has {len(names)} entries, there are {count} domains")
        columns["domain"] = np.repeat(names, np.diff(offsets))
    return Domain(x=np.ascontiguousarray(x, dtype=np.float32), y=y, classes=space, columns=columns, name=name)


def load_zsl(folder: str | os.PathLike[str], *, features: str = "res101.mat", splits: str | None = None) -> ZeroShot:
    """Load a zero-shot benchmark as its feature files come: ``res101.mat`` and ``att_splits.mat``.

    Parameters
    ----------
    folder : path or fsspec URL
        Holds both files.
    features : str
        File with ``features`` (d, n) and ``labels`` (n,) counted from 1.
    splits : str, optional
        File with ``att`` (A, N), ``trainval_loc``, ``test_seen_loc`` and ``test_unseen_loc`` counted from 1,
        perhaps ``allclasses_names``. ``att_splits.mat`` or ``sent_splits.mat`` if absent.

    Raises
    ------
    ValueError
        If counts do not fit, splits overlap, or a class of the unseen test stands in the training part.
    """
    fs, root = locate(folder)
    if splits is None:
        usual = ("att_splits.mat", "sent_splits.mat")
        splits = next((name for name in usual if fs.exists(f"{root}/{name}")), usual[0])
    for file in (features, splits):
        if not fs.exists(f"{root}/{file}"):
            raise FileNotFoundError(f"{os.fspath(folder)!r} holds no {file}")
    data = _need(read_mat(fs, f"{root}/{features}"), ("features", "labels"), features)
    split_keys = ("att", "trainval_loc", "test_seen_loc", "test_unseen_loc")
    info = _need(read_mat(fs, f"{root}/{splits}"), split_keys, splits)

    x = np.ascontiguousarray(_dense(data["features"]).T, dtype=np.float32)
    y = np.asarray(data["labels"], dtype=np.int64).reshape(-1) - 1
    attributes = np.asarray(info["att"], dtype=np.float32).T
    n = len(attributes)
    if len(x) != len(y) or y.min() < 0 or y.max() >= n:
        raise ValueError(
            f"{features} has {len(x)} samples, labels {y.min() + 1}..{y.max() + 1}; {splits} has {n} classes"
        )
    if not np.isfinite(x).all():
        raise ValueError(f"{features}: features must be finite")
    train, seen, unseen = (_positions(info[key], key, len(x)) for key in split_keys[1:])
    for a, b, what in (
        (train, seen, "test_seen_loc"),
        (train, unseen, "test_unseen_loc"),
        (seen, unseen, "both tests"),
    ):
        if len(np.intersect1d(a, b)):
            raise ValueError(f"{splits}: samples of {what} stand in another split, too")
    known = np.unique(y[train])
    both = np.intersect1d(known, y[unseen])
    names = _strings(info["allclasses_names"]) if "allclasses_names" in info else [f"class {i + 1}" for i in range(n)]
    if len(both):
        raise ValueError(f"{splits}: class {names[int(both[0])]!r} of the unseen test stands in the training part")
    classes = ClassSpace(names=tuple(names), attributes=attributes, seen=known)
    whole = Domain(x=x, y=y, classes=classes, name=root.rstrip("/").rpartition("/")[2])
    parts = [
        whole.take(index).replace(name=f"{whole.name}, {what}")
        for index, what in (
            (train, "training"),
            (seen, "test of seen classes"),
            (unseen, "test of unseen classes"),
        )
    ]
    return ZeroShot(parts[0], parts[1], parts[2], classes)


def read_mat(fs: Any, path: str) -> dict[str, Any]:
    """All variables of a MATLAB file up to version 7.2."""
    from scipy.io import loadmat

    with named(path, "a MATLAB file", "save it anew with '-v7'"):
        raw = read_bytes(fs, path, None)
        _check_elements(memoryview(raw))
        try:
            content = loadmat(io.BytesIO(raw), spmatrix=False)  # else SciPy 1.15 counts columns out, checked or not
        except NotImplementedError as error:
            raise ValueError(f"{path} is a MATLAB 7.3 file; save it with '-v7'") from error
    return {key: value for key, value in content.items() if not key.startswith("__")}


_MATRIX, _PACKED = 14, 15
_SPARSE = 5


def _check_elements(content: memoryview) -> None:
    """Raise `ValueError` where an element of a MATLAB 5 file announces more bytes or values than it can hold."""
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:128]))
    place, unpacked = 128, 0
    while order and place + 8 <= len(content):
        kind, size = struct.unpack(f"{order}II", content[place : place + 8])
        if kind >> 16:  # up to four bytes, which stand in the tag
            place += 8
            continue
        body = content[place + 8 : place + 8 + size]
        if len(body) < size:
            raise ValueError(f"a part announces {size:,} bytes, of which {len(body):,} are there")
        if kind == _PACKED:
            packer, head, length = _head_of(body, size, order)
            unpacked += length
            check_unpacked(unpacked, len(content))
            body = memoryview(head + packer.decompress(packer.unconsumed_tail, max(1, length)))
            inner, size_inside = struct.unpack(f"{order}II", body[:8])
            if inner == _MATRIX:
                _check_matrix(body[8 : 8 + size_inside], size_inside, order)
        elif kind == _MATRIX:
            _check_matrix(body, size, order)
        place += 8 + size


def _head_of(body: memoryview, size: int, order: str) -> tuple[Any, bytes, int]:
    """Of a packed part, if it does not unpack to too much: what unpacks it, its tag, and bytes behind the tag."""
    packer = zlib.decompressobj()
    head = packer.decompress(body, 8)
    if len(head) < 8:
        raise ValueError("a packed part is damaged")
    _, length = struct.unpack(f"{order}II", head)
    check_unpacked(length, size, "a packed part")
    return packer, head, length


_TYPES = frozenset({*range(1, 8), 9, *range(12, 19)})
_CLASSES = range(1, 18)
"""What the format knows; scipy looks others up behind the end of its tables, which ends the process."""


def _check_matrix(body: memoryview, size: int, order: str, depth: int = 0) -> None:
    """Raise `ValueError` if a part of a matrix is of no type, or reaches beyond its end; also in cells and records."""
    if not size:
        return
    _check_shape(body[:512], size, order)
    if depth > 100:
        raise ValueError("cells are nested too deeply")
    place, n_parts = 0, 0
    while place + 8 <= len(body):
        kind, length = struct.unpack(f"{order}II", body[place : place + 8])
        if kind >> 16:  # up to four bytes, which stand in the tag
            kind, length, step = kind & 0xFFFF, kind >> 16, 8
            inside = length <= 4
        else:
            step = 8 + (length + 7) // 8 * 8
            inside = length <= len(body) - place - 8
        if kind not in _TYPES or not inside:
            raise ValueError(f"a part of a matrix is of type {kind} and has {length:,} bytes")
        if kind == _MATRIX:
            _check_matrix(body[place + 8 : place + 8 + length], length, order, depth + 1)
        place, n_parts = place + step, n_parts + 1
    (flags,) = struct.unpack(f"{order}I", body[8:12])
    if flags & 0xFF == _SPARSE and (depth or n_parts < 6):  # head, sides, name, rows, columns, values
        raise ValueError("a sparse matrix lacks a part, or stands in a cell")
    if flags & 0xFF in range(4, 16) and n_parts < 4 + bool(flags & 0x800):  # and of complex ones another
        raise ValueError("a matrix lacks a part")


def _check_shape(head: memoryview, size: int, order: str) -> None:
    """Of a matrix of so many bytes, whose values take one at least; empty cells and records a few more."""
    if len(head) < 24:
        raise ValueError("the head of a matrix is damaged")
    (flags,) = struct.unpack(f"{order}I", head[8:12])
    if flags & 0xFF not in _CLASSES:
        raise ValueError(f"a matrix is of class {flags & 0xFF}, which nobody knows")
    kind, length = struct.unpack(f"{order}II", head[16:24])
    if struct.unpack(f"{order}II", head[:8]) != (6, 8) or kind != 5 or length < 8 or length % 4:
        raise ValueError("the head of a matrix is damaged")
    n = length // 4 if length <= len(head) - 24 else 0
    sides = struct.unpack(f"{order}{n}i", head[24 : 24 + 4 * n])
    if not sides or min(sides) < 0 or (flags & 0xFF != _SPARSE and math.prod(sides) > size + 2**20):
        shape = " x ".join(map(str, sides)) or "of nothing"
        raise ValueError(f"a matrix of {size:,} bytes announces the shape {shape}")


def _need(content: dict[str, Any], keys: Sequence[str], file: str) -> dict[str, Any]:
    missing = [key for key in keys if key not in content]
    if missing:
        raise ValueError(f"{file} lacks {', '.join(missing)}; the variables are: {', '.join(content)}")
    return content


def _positions(values: Any, key: str, n: int) -> IntArray:
    """1-based sample numbers as indices."""
    index = np.asarray(values, dtype=np.int64).reshape(-1) - 1
    if len(index) and (index.min() < 0 or index.max() >= n):
        raise ValueError(f"{key} must lie in 1..{n}; got {index.min() + 1}..{index.max() + 1}")
    return index


def _dense(values: Any) -> NDArray[Any]:
    if not hasattr(values, "toarray"):
        return np.asarray(values)
    if values.format == "coo":
        rows, columns = np.asarray(values.row), np.asarray(values.col)
        if len(columns) and (columns.min() < 0 or columns.max() >= values.shape[1]):
            raise ValueError("the columns of a sparse matrix are damaged")
    else:
        starts, rows = np.asarray(values.indptr), np.asarray(values.indices)
        in_order = len(starts) == values.shape[1] + 1 and starts[0] == 0 and not (np.diff(starts) < 0).any()
        if not in_order or starts[-1] > min(len(rows), len(values.data)):
            raise ValueError("the columns of a sparse matrix are damaged")
    if len(rows) and (rows.min() < 0 or rows.max() >= values.shape[0]):  # they would be written to
        raise ValueError("a sparse matrix has values outside of itself")
    check_unpacked(math.prod(values.shape) * values.dtype.itemsize, values.data.nbytes, "a sparse matrix")
    return values.toarray()


def _strings(cells: Any) -> list[str]:
    """A cell array of strings, or a character matrix, as a list; an empty cell is an empty string."""
    return [str(next(iter(np.asarray(cell).reshape(-1)), "")).strip() for cell in np.asarray(cells).reshape(-1)]
