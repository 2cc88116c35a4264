"""MATLAB files: features with domains, and the usual zero-shot feature files."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders.common import encode_labels, find_column, locate
from unseen.data.typing import IntArray

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
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(io.BytesIO(fs.cat_file(path)))
    except NotImplementedError as error:
        raise ValueError(f"{path} is a MATLAB 7.3 file; save it with '-v7'") from error
    except (MatReadError, ValueError, TypeError, OSError) as error:
        raise ValueError(f"{path} is not a MATLAB file that can be read: {error}") from error
    return {key: value for key, value in content.items() if not key.startswith("__")}


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
    return values.toarray() if hasattr(values, "toarray") else np.asarray(values)


def _strings(cells: Any) -> list[str]:
    """A cell array of strings, or a character matrix, as a list; an empty cell is an empty string."""
    return [str(next(iter(np.asarray(cell).reshape(-1)), "")).strip() for cell in np.asarray(cells).reshape(-1)]
