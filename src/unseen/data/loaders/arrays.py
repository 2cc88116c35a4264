"""NumPy files: features, texts or pictures as arrays."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy, Skipped, _digest_of
from unseen.data.labels import encode_labels
from unseen.data.loaders.common import NODES, OnError, row_and_id, settle
from unseen.data.reading import Shapes, check_array, is_local, open_file, read_npz
from unseen.data.samples import check_several
from unseen.files import named

_X = ("x", "X", "features", "data", "images", "texts")
_Y = ("y", "labels", "label", "target")
_NAMES = ("classes", "class_names", "label_names")


def load_arrays(
    fs: Any,
    path: str,
    *,
    name: str,
    classes: ClassSpace | Sequence[str] | None = None,
    on_error: OnError = "skip",
) -> Domain:
    """Load ``.npy`` (samples only) or ``.npz`` (``x``, perhaps ``y``, ``classes``, ``ids`` and more columns).

    An array of shape (n, d) holds features, of strings texts, and of uint8 with shape (n, h, w) or (n, h, w,
    3) pictures. Labels are numbers or names; -1 means no label. With ``classes`` in the file, whole numbers
    index it.
    """
    arrays = _arrays_of(fs, path)
    x = arrays.pop(next(key for key in _X if key in arrays))
    labels, names = _take(arrays, _Y), _take(arrays, _NAMES)
    if labels is not None and labels.shape not in ((len(x),), (len(x), 1)):
        raise ValueError(f"{name}: labels have shape {labels.shape}, there are {len(x)} samples")
    ids = arrays.pop("ids", None)
    columns = {key: array for key, array in arrays.items() if array.ndim and len(array) == len(x)}
    kind, samples, bad = samples_of(x, name)
    values: list[Any] = [] if labels is None else labels.reshape(-1).tolist()
    if names is not None and labels is not None and np.issubdtype(labels.dtype, np.integer):
        if max(values) >= len(names) or min(values) < -1:
            raise ValueError(f"{name}: labels must lie in [-1, {len(names)}); got {min(values)}..{max(values)}")
        values = [None if value < 0 else str(names[value]) for value in values]
    space = classes if classes is not None or names is None else [str(value) for value in names]
    y, class_space = encode_labels(values, space)
    skipped = settle([Skipped(row_and_id(i, ids), "a value is not finite") for i in bad], on_error, name)
    domain = Domain(x=samples, y=y, kind=kind, classes=class_space, ids=ids, columns=columns, name=name)
    if len(bad):
        domain = domain.take(np.setdiff1d(np.arange(len(x)), bad))
    return domain.replace(skipped=skipped)


def load_sides(fs: Any, path: str, name: str) -> tuple[Domain, Domain] | None:
    """Two arrays of one ``.npz``, ``left`` and ``right``, row by row; None where it has no such arrays.

    Rows with a value that is not finite are left out of their side, and are its `skipped`.
    """
    both = ("left", "right")
    with named(path, "a NumPy file", "write it anew with numpy.savez"), open_file(fs, path) as file:
        arrays = read_npz(file, lambda shapes: both if all(side in shapes for side in both) else ())
    if len(arrays) < 2:
        return None
    left, right = (_side(arrays[side], f"{name}, {side}") for side in both)
    return left, right


def _side(x: NDArray[Any], name: str) -> Domain:
    if not x.ndim or not len(x):
        raise ValueError(f"{name}: there is no sample in the array of shape {x.shape}")
    kind, samples, bad = samples_of(x, name)
    domain: Domain = Domain(x=samples, kind=kind, name=name)
    if len(bad):
        domain = domain.take(np.setdiff1d(np.arange(len(x)), bad))
    skipped = tuple(Skipped(row_and_id(i, None), "a value is not finite") for i in bad)
    return domain.replace(skipped=skipped)


def samples_of(x: NDArray[Any], name: str) -> tuple[Any, Any, NDArray[np.intp]]:
    """What kind of samples an array holds, the samples, and the rows with values that are not finite."""
    none = np.array([], dtype=np.intp)
    if x.dtype.kind == "U":
        signs = np.ascontiguousarray(x).view(x.dtype.byteorder.replace("|", "=") + "u4")
        if signs.size and int(signs.max()) > sys.maxunicode:
            raise ValueError(f"{name}: the array of texts holds what is no text")
        return "text", x, none
    if x.dtype.kind not in "fiub":
        raise ValueError(f"{name}: arrays of {x.dtype} are not understood; expected numbers or strings")
    if x.dtype == np.uint8 and x.ndim == 3:
        check_several(
            x.shape, name, "save it as x[None], or as a PNG (and grey pictures as narrow as that as x[..., None])"
        )
    if x.dtype == np.uint8 and (x.ndim == 3 or (x.ndim == 4 and x.shape[3] in (1, 3, 4))):
        return "image", Lazy(range(len(x)), lambda i: _picture(x[i]), lambda i: _digest_of(x[i])), none
    if x.ndim == 2:
        bad = np.flatnonzero(~np.isfinite(x).all(axis=1)) if x.dtype.kind == "f" else none
        return "features", x if x.dtype.kind == "f" else x.astype(np.float32), bad
    raise ValueError(
        f"{name}: samples have shape {x.shape} and type {x.dtype}; expected features (n, d), texts (n,), "
        "or pictures (n, h, w) or (n, h, w, 3) of uint8"
    )


def _picture(pixels: NDArray[np.uint8]) -> Any:
    from PIL import Image

    from unseen.data.upright import to_rgb

    return to_rgb(Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels))


def _needed(shapes: Shapes) -> list[str]:
    """Of the arrays of a file the samples, what goes with them, and columns of as many rows."""
    x = next((key for key in _X if key in shapes), None)
    if "edge_index" in shapes:
        raise ValueError(f"it holds the edges of a graph (edge_index); {NODES}")
    if x is None:
        raise ValueError(f"no array is called {' or '.join(_X)}; the arrays are: {', '.join(shapes)}")
    if not shapes[x] or not shapes[x][0]:
        raise ValueError(f"there is no sample in the array of shape {shapes[x]}")
    beside = (*_Y, *_NAMES, "ids")
    return [key for key, shape in shapes.items() if key == x or key in beside or shape[:1] == shapes[x][:1]]


def _arrays_of(fs: Any, path: str) -> dict[str, NDArray[Any]]:
    """The arrays that are needed of a file; one ``.npy`` on the local disk stays there until it is read."""
    with named(path, "a NumPy file", "write it anew with numpy.save or numpy.savez"), open_file(fs, path) as file:
        if PurePosixPath(path).suffix == ".npy":
            shape = check_array(file, file.seek(0, io.SEEK_END) + file.seek(0))
            _needed({"x": shape})
            if is_local(fs):
                return {"x": np.load(path, mmap_mode="r", allow_pickle=False)}
            file.seek(0)
            return {"x": np.load(io.BytesIO(file.read()), allow_pickle=False)}
        return read_npz(file, _needed)


def _take(arrays: dict[str, NDArray[Any]], names: Sequence[str]) -> NDArray[Any] | None:
    """Remove and return the first array that is called as one of `names`."""
    return next((arrays.pop(key) for key in names if key in arrays), None)
