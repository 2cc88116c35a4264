"""Networks to ONNX, checked against onnxruntime before the file is kept."""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.runtime import replacing


class Front(NamedTuple):
    """A network whose first part writes itself as ONNX, in a tenth of a second where torch's exporter takes ten.

    Attributes
    ----------
    write : function of a path
        Writes that part, from ``x`` to ``features``, for opset `OPSET`.
    rest : Module
        What follows it.
    width : int
        Features between them.
    """

    write: Callable[[Path], None]
    rest: nn.Module
    width: int


OPSET = 18
"""Of graphs that are put together."""


def export_onnx(
    network: nn.Module,
    example: Tensor,
    file: str | os.PathLike[str],
    *,
    output: str = "scores",
    metadata: Mapping[str, str] | None = None,
    tolerance: float = 1e-3,
    front: Front | None = None,
    any_size: bool = False,
) -> float:
    """Write `network` as ONNX with a dynamic batch (and length, if it reads token ids), all or nothing.

    Parameters
    ----------
    network : Module
        Evaluated in eval mode, float32, on the CPU; it is not changed.
    example : Tensor (b, ...)
        What it reads; b >= 2. Integers are token ids, whose last dimension may vary in length.
    file : path
    output : str
        Name of the output; the input is called `x`.
    metadata : mapping of strings, optional
        Kept in the file.
    tolerance : float
        Largest difference from torch that is accepted, on random inputs (or token ids) of two sizes, of numbers above 1
        as a share of the largest; of a network that ends in a softmax and has `logits`, of these too.
    front : Front, optional
        The network in two parts, of which the first need not be exported by torch.
    any_size : bool
        Whether height and width of pictures may vary, too.

    Returns
    -------
    float
        The largest difference seen, of numbers above 1 as a share of the largest.

    Raises
    ------
    ValueError
        If onnxruntime's output differs by more than `tolerance`; no file is left.
    """
    import onnx
    import onnxruntime

    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    network = copy.deepcopy(network).eval().cpu()
    with replacing(file) as place:
        temporary = place.with_name("graph.onnx")
        if front is None:
            _export(network, example, temporary, output, any_size)
            model = onnx.load(temporary)
        else:
            model = _joined(front, temporary, output)
        _name_sizes(model, output, example)
        for node in [*model.graph.node, *(node for function in model.functions for node in function.node)]:
            del node.metadata_props[:]  # in which files of this machine the operation was called
        for key, value in (metadata or {}).items():
            model.metadata_props.add(key=key, value=value)
        onnx.checker.check_model(model)
        onnx.save(model, temporary)
        scores = _before_softmax(model, output) if hasattr(network, "logits") else None
        if scores is not None:  # of probabilities that are all 0 and 1 any graph may be right
            model.graph.output.append(onnx.ValueInfoProto(name=scores))
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        worst = 0.0
        for x in _probes(example, any_size):
            with torch.no_grad():
                expected = [network(x)] + ([network.logits(x)] if scores is not None else [])  # type: ignore[operator]
            for actual, wanted in zip(session.run(None, {"x": x.numpy()}), expected, strict=True):
                scale = max(1.0, float(wanted.abs().max()))  # floats round large numbers by as much more
                worst = max(worst, float((torch.as_tensor(actual) - wanted).abs().max()) / scale)
        if not worst <= tolerance:
            raise ValueError(f"onnxruntime differs from torch by {worst:.2g}, more than {tolerance:g}; not exported")
        temporary.replace(place)
    return worst


def _joined(front: Front, place: Path, output: str) -> Any:
    """The graph of both parts."""
    import onnx
    from onnx import compose

    front.write(place)
    first = onnx.load(place)
    _export(copy.deepcopy(front.rest).eval().cpu(), torch.zeros(2, front.width), place, output, opset_version=OPSET)
    second = compose.add_prefix(onnx.load(place), "rest/", rename_outputs=False)
    second.ir_version = first.ir_version
    return compose.merge_models(first, second, io_map=[("features", "rest/x")])


def _name_sizes(model: Any, output: str, example: Tensor) -> None:
    """Call what varies of input and output `batch`, of token ids `length`, of pictures `height`, `width`; not s77."""
    ends = [*model.graph.input, *(value for value in model.graph.output if value.name == output)]
    shapes = [value.type.tensor_type.shape.dim for value in ends]
    called = {dims[0].dim_param: "batch" for dims in shapes if dims}
    if not example.is_floating_point():
        called |= {dims[-1].dim_param: "length" for dims in shapes[:1]}
    elif example.ndim == 4:
        called |= {dims[k].dim_param: name for dims in shapes[:1] for k, name in ((2, "height"), (3, "width"))}
    for value in [*ends, *model.graph.value_info]:
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = called.get(size.dim_param, size.dim_param)


def _before_softmax(model: Any, output: str) -> str | None:
    """What the graph takes a softmax of at its end; None if it ends otherwise."""
    last = next((node for node in model.graph.node if output in node.output), None)
    return last.input[0] if last is not None and last.op_type == "Softmax" else None


def _probes(example: Tensor, any_size: bool = False) -> tuple[Tensor, Tensor]:
    """Two inputs of different sizes to compare torch and onnxruntime on.

    Of pictures smooth ones with some noise: noise alone is so unlike a picture that a network is certain of one class
    whatever it computes, and the difference says nothing.
    """
    if example.is_floating_point():
        generator = torch.Generator().manual_seed(0)

        def drawn(n: int, more: int = 0) -> Tensor:
            if example.ndim != 4:
                return torch.randn(n, *example.shape[1:], generator=generator)
            coarse = torch.randn(n, example.shape[1], 5, 5, generator=generator)
            smooth = F.interpolate(coarse, size=[side + more for side in example.shape[2:]], mode="bicubic")
            return smooth + 0.1 * torch.randn(smooth.shape, generator=generator)

        return drawn(len(example)), drawn(3, 9 if any_size else 0)
    return example, torch.cat([example, example], dim=-1)[[0, 1, 0]]


def _export(
    network: nn.Module, example: Tensor, file: Path, output: str, any_size: bool = False, **settings: Any
) -> None:
    """torch's exporter, without what it prints."""
    varying = [0, 2, 3] if any_size else [0] if example.is_floating_point() else [0, example.ndim - 1]
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                verbose=False,
                input_names=["x"],
                output_names=[output],
                dynamic_shapes=(dict.fromkeys(varying, torch.export.Dim.DYNAMIC),),
                **settings,
            )
        assert program is not None
        program.save(file, include_initializers=True)
    finally:
        logging.disable(previous)
