"""Values to JSON and tensors and back: how everything is saved, without pickle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from unseen.data.classes import ClassSpace
from unseen.data.label_metrics import LabelMetric
from unseen.data.ontology import Ontology
from unseen.data.tasks.base import text_array
from unseen.data.words import WordVectors
from unseen.files import check_plain, read_json, recovered, sentence
from unseen.nn.bounded import Bounded
from unseen.nn.build import Recipe, rebuild, recipe_of
from unseen.runtime import refuse_file, replacing_folder

Tensors = dict[str, torch.Tensor]

FORMAT = 1
"""The version of the files that `save_state` writes."""
LARGEST = 2**32
"""Bytes of the JSON of a state: a ranker keeps its documents there."""

_CODECS: dict[str, tuple[type, Callable[[Any], dict[str, Any]], Callable[[dict[str, Any]], Any]]] = {}


def register_codec(
    tag: str,
    kind: type,
    to_fields: Callable[[Any], dict[str, Any]],
    from_fields: Callable[[dict[str, Any]], Any],
) -> None:
    """Teach `pack` a type and its subclasses: how to take its fields apart and how to make it again from them."""
    _CODECS[tag] = (kind, to_fields, from_fields)


def pack(value: Any, tensors: Tensors, path: str = "") -> Any:
    """Return `value` as JSON-able data; its arrays and tensors go into `tensors` under their path.

    Raises `TypeError` with the path for anything that has no safe form.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else {"$": "float", "value": repr(float(value))}
    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {"$": "tensor", "key": path}
    if isinstance(value, np.ndarray):
        return _pack_array(value, tensors, path)
    if isinstance(value, (tuple, list)):
        items = [pack(item, tensors, f"{path}.{i}") for i, item in enumerate(value)]
        return {"$": "tuple", "items": items} if isinstance(value, tuple) else items
    if isinstance(value, Mapping):
        keys = [pack(key, tensors, f"{path}.key{i}") for i, key in enumerate(value)]
        items = [pack(item, tensors, f"{path}.{i}") for i, item in enumerate(value.values())]
        return {"$": "dict", "keys": keys, "items": items}
    if isinstance(value, nn.Module):
        recipe = recipe_of(value)
        return {"$": "network", "recipe": recipe.to_json(), "state": pack(value.state_dict(), tensors, path)}
    tag = _codec_of(type(value))
    if tag is not None:
        return {"$": tag, "fields": pack(_CODECS[tag][1](value), tensors, path)}
    raise TypeError(f"{path or 'value'}: a {type(value).__name__} cannot be saved as JSON and safetensors")


def _codec_of(kind: type) -> str | None:
    """The tag of the registered type nearest to `kind` among its base classes."""
    tags = {known: tag for tag, (known, _, _) in _CODECS.items()}
    return next((tags[base] for base in kind.__mro__ if base in tags), None)


FEW_LETTERS = 2**20
"""Up to which texts are saved as an array in which each is as wide as the longest."""


def _pack_array(value: np.ndarray, tensors: Tensors, path: str) -> Any:
    if value.dtype.kind in "US":
        return {"$": "strings", "items": value.astype(str).tolist(), "shape": list(value.shape)}
    if value.dtype == object and value.ndim == 1 and all(isinstance(text, str) for text in value):
        items = [str(text) for text in value]
        few = len(items) * max(map(len, items), default=0) <= FEW_LETTERS
        return {"$": "strings", "items": items, "shape": [len(items)]} if few else {"$": "texts", "items": items}
    if value.dtype.kind == "u" and value.dtype.itemsize > 1:
        return {"$": "array", "key": _put(value.astype(np.int64), tensors, path), "dtype": value.dtype.str}
    if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
        raise TypeError(f"{path or 'value'}: an array of {value.dtype} cannot be saved as safetensors")
    return {"$": "array", "key": _put(value, tensors, path), "dtype": value.dtype.str}


def _put(value: np.ndarray, tensors: Tensors, path: str) -> str:
    native = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
    tensors[path] = torch.from_numpy(native)
    return path


def _number_type(name: Any) -> np.dtype[Any]:
    """The type of an array's numbers; `ValueError` for any other, which could ask for any memory."""
    kind = np.dtype(name)
    if kind.kind not in "biuf" or kind.itemsize > 8:
        raise ValueError(f"an array must be of numbers; its type is {str(name)[:40]!r}")
    return kind


def _even(items: list[Any]) -> list[Any]:
    """Texts that an array of one width can hold; `ValueError` where one is so long that all would take far more."""
    sizes = [len(str(item)) for item in np.ravel(np.array(items, dtype=object)).tolist()]
    if sizes and len(sizes) * max(sizes) > max(2**26, 200 * sum(sizes)):
        raise ValueError(f"one of {len(sizes):,} texts has {max(sizes):,} letters")
    return items


def unpack(data: Any, tensors: Tensors) -> Any:
    """Inverse of `pack`."""
    if isinstance(data, list):
        return [unpack(item, tensors) for item in data]
    if not isinstance(data, dict):
        return data
    tag = data.get("$")
    if tag == "float":
        return float(data["value"])
    if tag == "tensor":
        return tensors[data["key"]]
    if tag == "array":
        return tensors[data["key"]].numpy().astype(_number_type(data["dtype"]))
    if tag == "strings":
        return np.array(_even(data["items"]), dtype=np.str_).reshape(data["shape"])
    if tag == "texts":
        return text_array(data["items"])
    if tag == "tuple":
        return tuple(unpack(item, tensors) for item in data["items"])
    if tag == "dict":
        keys = [unpack(key, tensors) for key in data["keys"]]
        return dict(zip(keys, (unpack(item, tensors) for item in data["items"])))
    if tag == "network":
        with Bounded([*tensors.values()]):
            network = rebuild(Recipe.from_json(data["recipe"]))
        network.load_state_dict(unpack(data["state"], tensors))
        return network.eval()
    if tag in _CODECS:
        return _CODECS[tag][2](unpack(data["fields"], tensors))
    raise ValueError(f"unknown kind of value in a saved file: {tag!r}")


def digest(value: Any) -> str:
    """SHA-256 of all that `pack` sees in `value`: equal for equal values only."""
    tensors: Tensors = {}
    data = pack(value, tensors)
    return _sha256(data, (bytes_of(tensors[key]) for key in sorted(tensors)))


def bytes_of(tensor: torch.Tensor) -> bytes:
    """Type, shape and content of a tensor."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    content = flat.view(torch.uint8).numpy().tobytes() if len(flat) else b""  # an empty array of NumPy has no stride
    return f"{tensor.dtype}{tuple(tensor.shape)}".encode() + content


def _sha256(data: Any, chunks: Iterable[bytes]) -> str:
    state = hashlib.sha256(json.dumps(data).encode())
    for chunk in chunks:
        state.update(chunk)
    return state.hexdigest()


# -- folders -----------------------------------------------------------------------------------------------


SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What file managers leave behind."""


def write_folder(folder: str | os.PathLike[str], write: Callable[[Path], None], *, also: Collection[str] = ()) -> Path:
    """Fill a temporary folder with `write`, then rename it to `folder`: a reader sees all of it or nothing.

    A `folder` that was written before is replaced; one that holds anything else is refused, so that nothing is lost.

    Parameters
    ----------
    folder : path
    write : callable (path)
    also : collection of str
        Names that an earlier folder of the kind may hold, beside those that are written now.

    Raises
    ------
    FileExistsError
        If `folder` is a file, or a folder that was not written here, or holds something that was not.
    OSError
        If it cannot be written (a full disk, a read-only place); nothing is left half-written.
    """
    folder = Path(folder)
    refuse_file(folder)
    try:
        with replacing_folder(folder) as temporary:
            write(temporary)
            refuse_foreign(folder, [*(entry.name for entry in temporary.iterdir()), *also])
    except FileExistsError:
        raise
    except (OSError, SafetensorError) as error:
        raise OSError(_number(error), f"{folder} could not be written: {error}") from error
    return folder


def _number(error: Exception) -> int | None:
    """The system's number of an error; safetensors has it in its words."""
    match = re.search(r"os error (\d+)", str(error))
    return getattr(error, "errno", None) or (int(match[1]) if match else None)


def refuse_foreign(folder: Path, written: Collection[str], *, known: bool = False) -> None:
    """Raise `FileExistsError` where `write_folder` would, before what is `written` by these names exists.

    A folder is known by a file of such a name: one of folders alone, such as pictures beside masks, may be anybody's,
    unless its own name makes it `known`.
    """
    refuse_file(folder)
    there = [entry for entry in folder.iterdir() if entry.name not in SYSTEM_FILES] if folder.exists() else []
    others = sorted(entry.name for entry in there if entry.name not in written)
    if there and not others and not known and not any(entry.is_file() for entry in there):
        others = sorted(entry.name for entry in there)
    if others:
        raise FileExistsError(
            f"{folder} holds other files, such as {others[0]!r}, which would be lost; name a new or an empty folder"
        )


def save_state(folder: str | os.PathLike[str], value: Any) -> Path:
    """Write `value` to `folder` as `state.json` and `state.safetensors`, all or nothing."""
    tensors: Tensors = {}
    data = pack(value, tensors)

    def write(temporary: Path) -> None:
        file = temporary / "state.safetensors"
        save_file(tensors, file)
        state = {"format": FORMAT, "sha256": _sha256(data, _chunks(file)), "value": data}
        (temporary / "state.json").write_text(json.dumps(state))
        file.chmod((temporary / "state.json").stat().st_mode)  # safetensors writes for the owner alone

    return write_folder(folder, write)


def load_state(folder: str | os.PathLike[str]) -> Any:
    """Read what `save_state` wrote. `ValueError` names the folder if something is missing, damaged or changed."""
    folder = recovered(folder)
    try:
        state = read_json(folder / "state.json", LARGEST)
        check_plain(folder / "state.safetensors")
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise ValueError(f"it is not of format {FORMAT}")
        if state["sha256"] != _sha256(state["value"], _chunks(folder / "state.safetensors")):
            raise ValueError("its content is not what was written")
        return unpack(state["value"], load_file(folder / "state.safetensors"))
    except SafetensorError as error:
        raise ValueError(f"{folder / 'state.safetensors'} is damaged: {error}") from error
    except Exception as error:  # a builder or a constructor dies of whatever it is given
        raise ValueError(f"{folder} is not a complete saved state: {sentence(error)}") from error


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(2**20):
            yield chunk


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _classes_fields(classes: ClassSpace) -> dict[str, Any]:
    """What is there; what came later and is absent leaves hashes of classes as they were before."""
    later = ("ontology", "concepts")
    return {key: value for key, value in _fields(classes).items() if key not in later or value is not None}


register_codec("classes", ClassSpace, _classes_fields, lambda fields: ClassSpace(**fields))
register_codec("ontology", Ontology, _fields, lambda fields: Ontology(**fields))
register_codec("words", WordVectors, _fields, lambda fields: WordVectors(**fields))


def register_metric(tag: str, kind: type[LabelMetric], *names: str) -> None:
    """Teach `pack` a label metric whose constructor takes the attributes called `names`."""
    register_codec(
        f"metric:{tag}",
        kind,
        lambda metric: {name: getattr(metric, name) for name in names},
        lambda fields: kind(**fields),
    )


def _register_metrics() -> None:
    from unseen.data.label_metrics import (
        CompleteMetric,
        EmbeddingMetric,
        GraphMetric,
        MatrixMetric,
        TreeMetric,
    )

    register_metric("matrix", MatrixMetric, "matrix")
    register_metric("complete", CompleteMetric, "n")
    register_metric("tree", TreeMetric, "parents", "lengths", "nodes")
    register_codec(
        "metric:embedding",
        EmbeddingMetric,
        lambda metric: {"vectors": metric.vectors},
        lambda fields: EmbeddingMetric(fields["vectors"], normalize=False),
    )
    register_codec(
        "metric:graph",
        GraphMetric,
        lambda metric: {
            "nodes": metric.nodes,
            **{key: getattr(metric.adjacency, key) for key in ("data", "indices", "indptr")},
        },
        _graph,
    )


def _graph(fields: dict[str, Any]) -> Any:
    """A graph's metric from its adjacency; scipy is needed for no other one."""
    from scipy.sparse import csr_matrix

    from unseen.data.label_metrics import GraphMetric

    rows = len(fields["indptr"]) - 1
    adjacency = csr_matrix((fields["data"], fields["indices"], fields["indptr"]), shape=(rows, rows))
    return GraphMetric(adjacency, fields["nodes"])


_register_metrics()
