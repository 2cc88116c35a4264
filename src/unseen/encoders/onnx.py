"""ONNX graphs as encoders, run by onnxruntime."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unseen.encoders import backends
from unseen.encoders.backends import Backend, Precision, Run
from unseen.encoders.base import Encoder
from unseen.encoders.registry import Request
from unseen.encoders.vision import ImagePreprocess, copy_file, with_options
from unseen.files import check_plain, named

BUILT_IN = {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "com.microsoft", "com.microsoft.nchwc"}
"""Operator domains that onnxruntime carries itself."""

MOST_AT_ONCE = 4096
"""Pictures of a batch; a graph that says more is given fewer."""

METADATA = "unseen.preprocess"
"""Key of the preprocessing in a graph's metadata."""


class OnnxModule(nn.Module):
    """A graph as a function of one batch; it has no gradient.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        The graph.
    channels_last : bool
        It takes (b, h, w, 3).
    """

    def __init__(self, session: Any, *, channels_last: bool, name: str = "the ONNX graph") -> None:
        super().__init__()
        self.session = session
        self.name = name
        self.channels_last = channels_last

    def forward(self, images: Tensor) -> Tensor:
        """Features of pictures (b, 3, h, w), (b, d); maps are averaged over their positions."""
        images = images.permute(0, 2, 3, 1) if self.channels_last else images
        feed = {self.session.get_inputs()[0].name: np.ascontiguousarray(images.cpu().numpy())}
        with named(self.name, "an ONNX graph", f"it was given pictures of shape {tuple(images.shape)}"):
            features = torch.from_numpy(self.session.run(None, feed)[0]).float()
        if not features.ndim or len(features) != len(images):
            given, made = tuple(images.shape), tuple(features.shape)
            raise ValueError(f"{self.name} must give a row for each picture; of {given} it made {made}")
        if features.ndim == 4:
            features = features.mean(dim=(1, 2) if self.channels_last else (2, 3))
        return features.reshape(len(images), -1)


class OnnxEncoder(Encoder):
    """An encoder whose only backend is onnxruntime, in the graph's own precision."""

    def backend(self, precision: Precision) -> Backend:
        """Return onnxruntime, whatever the precision."""
        backends.check_precision(precision)
        return "onnxruntime-fp32"

    def _prepare(self, backend: Backend, batch: Tensor) -> Run:
        return self.module


def build_onnx(request: Request) -> OnnxEncoder:
    """Build ``onnx:<file>``: sizes from the graph, preprocessing from its metadata or the name's options.

    A graph with operators that onnxruntime does not carry needs trust and ``?library=<file>``.
    """
    path = request.file("model.onnx")
    model = _checked(path)
    beside = external_files(model, path.parent)
    custom = sorted(custom_domains(model))
    library = request.options.get("library")
    if custom or library:
        request.need_trust(f"ONNX file {path.name!r} runs custom operators ({', '.join(custom) or 'a library'})")
    session = backends.onnx_session(path, Path(library) if library else None)
    feeds = session.get_inputs()
    if len(feeds) != 1 or len(feeds[0].shape) != 4 or feeds[0].type != "tensor(float)":
        got = ", ".join(f"{feed.name} {feed.type} {feed.shape}" for feed in feeds)
        raise ValueError(f"ONNX file {path.name!r} must take one batch of float pictures; it takes {got}")
    batch, *shape = feeds[0].shape
    channels_last = shape[2] == 3 and shape[0] != 3
    sides = shape[:2] if channels_last else shape[1:]
    preprocess = _preprocess(session)
    if all(isinstance(side, int) for side in sides):
        preprocess = dataclasses.replace(preprocess, size=(sides[0], sides[1]))
    return OnnxEncoder(
        name=request.name,
        module=OnnxModule(session, channels_last=channels_last, name=request.name),
        preprocess=with_options(preprocess, request.options),
        batch_size=batch if isinstance(batch, int) and 0 < batch <= MOST_AT_ONCE else 32,
        precision=request.precision,
        local=True,
        identity=_digest([path, *(path.parent / name for name in beside)]),
        save=partial(_save, path, beside),
    )


def custom_domains(model: Any) -> set[str]:
    """Domains of operators that neither onnxruntime nor the graph itself defines."""
    defined = {(function.domain, function.name) for function in model.functions}
    bodies = [model.graph, *model.functions]
    nodes = (node for body in bodies for node in _nodes(body))
    return {node.domain for node in nodes if node.domain not in BUILT_IN and (node.domain, node.op_type) not in defined}


def external_files(model: Any, folder: Path | None = None) -> list[str]:
    """Names of the files beside the graph that hold its weights; `ValueError` if one lies elsewhere.

    Tensors are looked for wherever the format has them: in initializers, also sparse ones, in attributes of nodes and
    of functions, in branches.
    """
    names = {entry.value for tensor in _tensors(model) for entry in tensor.external_data if entry.key == "location"}
    for name in names:
        outside = folder is not None and (folder / name).resolve().parent != folder.resolve()
        if Path(name).name != name or outside:
            raise ValueError(f"the ONNX graph reads its weights from {name!r}, outside its own folder")
        if folder is not None:
            check_plain(folder / name)
    return sorted(names)


def _tensors(message: Any) -> Iterator[Any]:
    """All tensors in a message of the format, at any depth."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in (value,) if hasattr(value, "ListFields") else value:
            if field.message_type.name == "TensorProto":
                yield part
            else:
                yield from _tensors(part)


def _checked(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(str(path), load_external_data=False)
    except DecodeError as error:
        raise ValueError(f"{path.name!r} is no ONNX file") from error


def _nodes(body: Any) -> Iterator[Any]:
    for node in body.node:
        yield node
        for graph in _graphs_of(node):
            yield from _nodes(graph)


def _graphs_of(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _preprocess(session: Any) -> ImagePreprocess:
    """What `METADATA` says, else ImageNet's usual mean and deviation."""
    recorded = session.get_modelmeta().custom_metadata_map.get(METADATA)
    if recorded is None:
        return ImagePreprocess()
    known = {field.name for field in dataclasses.fields(ImagePreprocess) if field.init}
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in json.loads(recorded).items()
        if key in known
    }
    return ImagePreprocess(**fields)


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _save(path: Path, beside: list[str], folder: Path) -> None:
    copy_file(path, folder / "model.onnx")
    for name in beside:
        copy_file(path.parent / name, folder / name)
