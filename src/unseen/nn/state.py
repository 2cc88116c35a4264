"""Values to JSON and tensors and back: how everything is saved, without pickle."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from unseen.data.classes import ClassSpace
from unseen.data.label_metrics import LabelMetric
from unseen.nn.build import Recipe, rebuild, recipe_of

Tensors = dict[str, torch.Tensor]

_CODECS: dict[str, tuple[type, Callable[[Any], dict[str, Any]], Callable[[dict[str, Any]], Any]]] = {}


def register_codec(
    tag: str, kind: type, to_fields: Callable[[Any], dict[str, Any]], from_fields: Callable[[dict[str, Any]], Any]
) -> None:
    """Teach `pack` a type: how to take its fields apart and how to make it again from them."""
    _CODECS[tag] = (kind, to_fields, from_fields)


def pack(value: Any, tensors: Tensors, path: str = "") -> Any:
    """Return `value` as JSON-able data; its arrays and tensors go into `tensors` under their path.

    Raises `TypeError` with the path for anything that has no safe form.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
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
        state = {key: tensor for key, tensor in value.state_dict().items()}
        return {"$": "network", "recipe": recipe.to_json(), "state": pack(state, tensors, path)}
    for tag, (kind, to_fields, _) in _CODECS.items():
        if type(value) is kind:
            return {"$": tag, "fields": pack(to_fields(value), tensors, path)}
    raise TypeError(f"{path or 'value'}: a {type(value).__name__} cannot be saved as JSON and safetensors")


def _pack_array(value: np.ndarray, tensors: Tensors, path: str) -> Any:
    if value.dtype.kind in "US":
        return {"$": "strings", "items": value.astype(str).tolist(), "shape": list(value.shape)}
    if value.dtype.kind == "u" and value.dtype.itemsize > 1:
        return {"$": "array", "key": _put(value.astype(np.int64), tensors, path), "dtype": value.dtype.str}
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{path or 'value'}: an array of {value.dtype} cannot be saved as safetensors")
    return {"$": "array", "key": _put(value, tensors, path), "dtype": value.dtype.str}


def _put(value: np.ndarray, tensors: Tensors, path: str) -> str:
    tensors[path] = torch.from_numpy(np.ascontiguousarray(value)).clone()
    return path


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
        return tensors[data["key"]].numpy().astype(np.dtype(data["dtype"]))
    if tag == "strings":
        return np.array(data["items"], dtype=np.str_).reshape(data["shape"])
    if tag == "tuple":
        return tuple(unpack(item, tensors) for item in data["items"])
    if tag == "dict":
        keys = [unpack(key, tensors) for key in data["keys"]]
        return dict(zip(keys, (unpack(item, tensors) for item in data["items"])))
    if tag == "network":
        network = rebuild(Recipe.from_json(data["recipe"]))
        network.load_state_dict(unpack(data["state"], tensors))
        return network.eval()
    if tag in _CODECS:
        return _CODECS[tag][2](unpack(data["fields"], tensors))
    raise ValueError(f"unknown kind of value in a saved file: {tag!r}")


# -- folders -----------------------------------------------------------------------------------------------


def write_folder(folder: str | os.PathLike[str], write: Callable[[Path], None]) -> Path:
    """Fill a temporary folder with `write`, then rename it to `folder`: a reader sees all of it or nothing.

    An existing `folder` is replaced. On an error, a full disk included, the temporary folder is removed.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        temporary.mkdir()
        write(temporary)
        old = folder.with_name(f".{folder.name}.old-{uuid.uuid4().hex[:8]}")
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def save_state(folder: str | os.PathLike[str], value: Any) -> Path:
    """Write `value` to `folder` as `state.json` and `state.safetensors`, all or nothing."""
    tensors: Tensors = {}
    data = pack(value, tensors)

    def write(temporary: Path) -> None:
        save_file(tensors, temporary / "state.safetensors")
        (temporary / "state.json").write_text(json.dumps(data))

    return write_folder(folder, write)


def load_state(folder: str | os.PathLike[str]) -> Any:
    """Read what `save_state` wrote. `ValueError` names the file if it is damaged or missing."""
    folder = Path(folder)
    try:
        data = json.loads((folder / "state.json").read_text())
        tensors = load_file(folder / "state.safetensors")
        return unpack(data, tensors)
    except (OSError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise ValueError(f"{folder} is not a complete saved state: {error}") from error
    except Exception as error:
        if type(error).__module__.startswith("safetensors"):
            raise ValueError(f"{folder / 'state.safetensors'} is damaged: {error}") from error
        raise


def _class_space_fields(space: ClassSpace) -> dict[str, Any]:
    return {field.name: getattr(space, field.name) for field in dataclasses.fields(space)}


register_codec("classes", ClassSpace, _class_space_fields, lambda fields: ClassSpace(**fields))


def register_metric(tag: str, kind: type[LabelMetric], *names: str) -> None:
    """Teach `pack` a label metric whose constructor takes the attributes called `names`."""
    register_codec(
        f"metric:{tag}",
        kind,
        lambda metric: {name: getattr(metric, name) for name in names},
        lambda fields: kind(**fields),
    )


def _register_metrics() -> None:
    from unseen.data.label_metrics import CompleteMetric, EmbeddingMetric, MatrixMetric

    register_metric("matrix", MatrixMetric, "matrix")
    register_metric("complete", CompleteMetric, "n")
    register_metric("embedding", EmbeddingMetric, "vectors")


_register_metrics()
