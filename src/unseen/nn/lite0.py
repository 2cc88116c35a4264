"""EfficientNet-Lite0 [1] as a network of torch alone, for running it: timm, which trains it, takes seconds to import.

Layers have the names of timm's ``tf_efficientnet_lite0`` and compute the same bits, so that weights, fingerprints and
features are those of timm's network.

References
----------
[1] R. Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog, 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.runtime import replacing

EPSILON = 1e-3
"""Of batch normalization, as TensorFlow has it."""

STAGES = (  # blocks, kernel, stride of the first block, channels
    (1, 3, 1, 16), (2, 3, 2, 24), (2, 5, 2, 40), (3, 3, 2, 80), (3, 5, 1, 112), (4, 5, 2, 192), (1, 3, 1, 320),
)  # fmt: skip
STEM, FEATURES, EXPANSION = 32, 1280, 6


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "same": what is odd goes to the right and to the bottom."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps of a stride's share of the places, rounded up."""
        if self.stride[0] > 1:
            (top, bottom), (left, right) = (_same(n, self.kernel_size[0], self.stride[0]) for n in x.shape[-2:])
            x = F.pad(x, (left, right, top, bottom))
        return super().forward(x)


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and behind a side of `size` places."""
    missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return missing // 2, missing - missing // 2


class Separable(nn.Module):
    """The first block: depthwise, then pointwise, without a way around."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv_dw = SameConv(inputs, inputs, kernel, groups=inputs)
        self.bn1 = nn.BatchNorm2d(inputs, EPSILON)
        self.conv_pw = SameConv(inputs, outputs, 1)
        self.bn2 = nn.BatchNorm2d(outputs, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Maps of equal size."""
        x = F.relu6(self.bn1(self.conv_dw(x)), inplace=True)
        return self.bn2(self.conv_pw(x))


class Inverted(nn.Module):
    """An inverted residual block: widen, convolve each channel, narrow; the input is added where shapes are equal."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = EXPANSION * inputs
        self.around = stride == 1 and inputs == outputs
        self.conv_pw = SameConv(inputs, wide, 1)
        self.bn1 = nn.BatchNorm2d(wide, EPSILON)
        self.conv_dw = SameConv(wide, wide, kernel, stride, groups=wide)
        self.bn2 = nn.BatchNorm2d(wide, EPSILON)
        self.conv_pwl = SameConv(wide, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Maps of a stride's share of the places."""
        wide = F.relu6(self.bn1(self.conv_pw(x)), inplace=True)
        wide = F.relu6(self.bn2(self.conv_dw(wide)), inplace=True)
        narrow: Tensor = self.bn3(self.conv_pwl(wide))
        return narrow + x if self.around else narrow


class Lite0(nn.Module):
    """The network, from pictures (b, 3, h, w) to scores of `n_classes` classes."""

    def __init__(self, n_classes: int = 1000) -> None:
        super().__init__()
        self.conv_stem = SameConv(3, STEM, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(STEM, EPSILON)
        stages, width = [], STEM
        for number, (blocks, kernel, stride, channels) in enumerate(STAGES):
            stage: list[nn.Module] = []
            for block in range(blocks):
                first = (kernel,) if number == 0 else (kernel, 1 if block else stride)
                stage.append((Inverted if number else Separable)(width, channels, *first))
                width = channels
            stages.append(nn.Sequential(*stage))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = SameConv(width, FEATURES, 1)
        self.bn2 = nn.BatchNorm2d(FEATURES, EPSILON)
        self.classifier = nn.Linear(FEATURES, n_classes)

    def forward_features(self, x: Float[Tensor, "b 3 h w"]) -> Tensor:
        """The last map."""
        x = self.blocks(F.relu6(self.bn1(self.conv_stem(x)), inplace=True))
        return F.relu6(self.bn2(self.conv_head(x)), inplace=True)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Scores of the last map, or with `pre_logits` its mean over places: the features, (b, 1280)."""
        pooled = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return pooled if pre_logits else self.classifier(pooled)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c"]:
        """Scores."""
        return self.forward_head(self.forward_features(x))


def lite0(state: dict[str, Tensor]) -> Lite0:
    """The network with these weights, named as timm names them; frozen, in eval mode."""
    with torch.device("meta"):  # nothing is drawn that would be written over
        network = Lite0(len(state["classifier.bias"]))
    # `to_empty` would import SymPy, half a second
    weights = {name: value.clone(memory_format=torch.contiguous_format) for name, value in state.items()}
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


# -- ONNX ----------------------------------------------------------------------------------------------------


def write_onnx(networks: Sequence[Lite0], size: tuple[int, int], file: Path) -> None:
    """Write the features of some networks, beside each other, as one graph for pictures of a size.

    torch's exporter takes ten seconds for a network; this one knows its parts. Batch normalization is folded into the
    convolution before it, as that exporter does: the graphs give the same bits.

    Parameters
    ----------
    networks : sequence of Lite0
        Their statistics are those that they remember.
    size : (int, int)
        Height and width of pictures.
    file : Path
        Where to write. The input is called ``x``, (b, 3, h, w), the output ``features``, (b, 1280 per network).
    """
    from onnx import TensorProto, helper, save_model

    graph = _Graph()
    features = [_features(graph, network, number, size) for number, network in enumerate(networks)]
    graph.add("Concat", features, "features", axis=1)
    floats, (height, width) = TensorProto.FLOAT, size
    proto = helper.make_graph(
        graph.nodes,
        "features",
        [helper.make_tensor_value_info("x", floats, ["batch", 3, height, width])],
        [helper.make_tensor_value_info("features", floats, ["batch", FEATURES * len(networks)])],
        graph.weights,
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    with replacing(file) as temporary:
        save_model(model, str(temporary))


class _Graph:
    """Nodes and weights as they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.constant("zero", np.array(0, dtype=np.float32))
        self.constant("six", np.array(6, dtype=np.float32))
        self.constant("places", np.array([2, 3], dtype=np.int64))

    def constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def convolution(
        self, x: str, conv: SameConv, norm: nn.BatchNorm2d, size: tuple[int, int], name: str, *, relu6: bool
    ) -> tuple[str, tuple[int, int]]:
        """A convolution with its normalization and ReLU6; the name and the size of what it gives."""
        mean, variance, gain, offset = (
            tensor.detach().numpy()
            for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
            if tensor is not None
        )
        scale = gain / np.sqrt(variance + np.float32(norm.eps))
        weights = [
            self.constant(f"{name}.weight", conv.weight.detach().numpy() * scale[:, None, None, None]),
            self.constant(f"{name}.bias", offset - mean * scale),
        ]
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        (top, bottom), (left, right) = (_same(n, kernel, stride) for n in size)
        out = self.add(
            "Conv", [x, *weights], name,
            kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[top, left, bottom, right], group=conv.groups,
        )  # fmt: skip
        if relu6:
            out = self.add("Clip", [out, "zero", "six"], f"{name}.relu6")
        return out, (-(-size[0] // stride), -(-size[1] // stride))


def _features(graph: _Graph, network: Lite0, number: int, size: tuple[int, int]) -> str:
    """Add one network to a graph; the name of its features."""
    x, size = graph.convolution("x", network.conv_stem, network.bn1, size, f"{number}.stem", relu6=True)
    blocks = [block for block in network.modules() if isinstance(block, (Separable, Inverted))]
    for place, block in enumerate(blocks):
        name, before = f"{number}.block{place}", x
        if isinstance(block, Separable):
            x, size = graph.convolution(x, block.conv_dw, block.bn1, size, f"{name}.dw", relu6=True)
            x, size = graph.convolution(x, block.conv_pw, block.bn2, size, f"{name}.pw", relu6=False)
            continue
        x, size = graph.convolution(x, block.conv_pw, block.bn1, size, f"{name}.pw", relu6=True)
        x, size = graph.convolution(x, block.conv_dw, block.bn2, size, f"{name}.dw", relu6=True)
        x, size = graph.convolution(x, block.conv_pwl, block.bn3, size, f"{name}.pwl", relu6=False)
        if block.around:
            x = graph.add("Add", [x, before], f"{name}.sum")
    x, size = graph.convolution(x, network.conv_head, network.bn2, size, f"{number}.head", relu6=True)
    return graph.add("ReduceMean", [x, "places"], f"{number}.features", keepdims=0)
