"""ONNX in integers: rounding, biases, ranges, and files that say what the float network says."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
import timm
import torch
import torchvision
from torch import nn

from unseen.methods.compression.zeroq.method import quantize
from unseen.nn.integer import (
    calibrated_by_onnxruntime,
    correct_biases,
    export_integers,
    plain_network,
    run_onnx,
    symmetric,
    weights_of,
)


class Everything(nn.Module):
    """Depthwise layers, residual sums, ReLU6, SiLU, hard-swish, squeeze-excitation, a layer that is used twice."""

    def __init__(self) -> None:
        super().__init__()

        def block(i: int, o: int, k: int, act: nn.Module, groups: int = 1) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(i, o, k, 1, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o), act)

        self.stem = block(3, 16, 3, nn.ReLU6())
        self.depthwise = block(16, 16, 3, nn.SiLU(), 16)
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1), nn.Hardsigmoid()
        )
        self.linear = block(16, 16, 1, nn.Identity())
        self.swish = block(16, 16, 3, nn.Hardswish())
        self.head = nn.Linear(16, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.depthwise(x)
        x = x + self.linear(y * self.squeeze(y))
        x = self.swish(self.swish(x))
        return self.head(x.mean(dim=(2, 3)))


def settled(network: nn.Module, x: torch.Tensor) -> nn.Module:
    """The network with BatchNorm layers that remember what they see of these inputs."""
    with torch.no_grad():
        for _ in range(20):
            network.train()(x)
    return network.eval()


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return settled(Everything(), torch.randn(16, 3, 16, 16))


# -- weights and biases ------------------------------------------------------------------------------------


def test_a_channel_is_rounded_to_127_levels_on_each_side_of_zero():
    weight = torch.tensor([[-1.27, 0.006, 0.004, 1.0], [0.0, 0.0, 0.0, 0.0]])
    assert torch.allclose(symmetric(weight), torch.tensor([[-1.27, 0.01, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]), atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(
    "layer", [nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Conv2d(4, 4, 3, groups=4), nn.Linear(5, 3)]
)
def test_corrected_biases_keep_the_mean_output_of_a_layer(layer):
    torch.manual_seed(0)
    network = nn.Sequential(layer)
    x = torch.rand(12, 5) if isinstance(layer, nn.Linear) else torch.rand(12, 4, 7, 7)
    corrected = copy.deepcopy(network)
    correct_biases(corrected, x, size=5)
    corrected[0].weight.data = symmetric(layer.weight)
    dims = 0 if isinstance(layer, nn.Linear) else (0, 2, 3)
    assert torch.allclose(corrected(x).mean(dim=dims), network(x).mean(dim=dims), atol=1e-6)
    corrected[0].bias = layer.bias
    assert not torch.allclose(corrected(x).mean(dim=dims), network(x).mean(dim=dims), atol=1e-5)


@torch.no_grad()
def test_weights_that_were_rounded_before_are_corrected_for_both_roundings(network):
    x = torch.randn(8, 3, 16, 16)
    low = plain_network(quantize(network, 3, 32, x))
    corrected = copy.deepcopy(low)
    correct_biases(corrected, x, weights_of(network))
    before, after = (float((n.stem[:2](x) - network.stem[:2](x)).mean((0, 2, 3)).abs().max()) for n in (low, corrected))
    assert after < before / 5


# -- files -------------------------------------------------------------------------------------------------


def test_the_file_computes_in_integers_and_is_near_the_simulated_network(network, tmp_path):
    torch.manual_seed(1)
    x = torch.randn(12, 3, 16, 16)
    told = export_integers(network, x[:2], x, tmp_path / "m.onnx", metadata={"a": "b"})
    graph = onnx.load(tmp_path / "m.onnx")
    kinds = {node.op_type for node in graph.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv", "Gemm"} <= kinds
    assert "BatchNormalization" not in kinds
    assert {item.key: item.value for item in graph.metadata_props}["a"] == "b"
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in graph.graph.initializer}
    assert sum(array.dtype == np.int8 and array.ndim == 4 for array in stored.values()) == 7  # swish has two foldings
    assert not any(array.dtype == np.float32 and array.ndim > 1 for array in stored.values())
    with torch.no_grad():
        exact, simulated = network(x), quantize(network, 8, 8, x)(x)
    got = run_onnx(tmp_path / "m.onnx", x)
    scale = float(exact.std())
    assert float((got - simulated).abs().mean()) < 0.1 * scale
    assert told.cosine > 0.98
    assert told.agreement >= 0.9
    assert len(run_onnx(tmp_path / "m.onnx", x[:5], size=5)) == 5  # any number of pictures
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]


def test_pictures_of_another_size_set_the_ranges_and_the_input_range_can_be_told(network, tmp_path):
    x = torch.randn(8, 3, 12, 12)
    told = export_integers(network, torch.zeros(2, 3, 16, 16), x, tmp_path / "m.onnx", input_range=(-2.0, 3.0))
    assert told.cosine > 0.9
    graph = onnx.load(tmp_path / "m.onnx").graph
    first = next(node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "x")
    scale = next(onnx.numpy_helper.to_array(i) for i in graph.initializer if i.name == first.input[1])
    assert float(scale) == pytest.approx(5 / 255, rel=1e-3)


@pytest.mark.parametrize("output", ["scores", "probabilities"])
def test_scores_may_be_larger_than_those_of_the_pictures_that_set_the_ranges(network, tmp_path, output):
    """The layer computes in integers, but its output is not cut at the largest score of a distilled picture."""
    surer = copy.deepcopy(network)
    surer.head.weight.data *= 40
    torch.manual_seed(2)
    x = torch.randn(24, 3, 16, 16)
    with torch.no_grad():
        highest = surer(x).amax(dim=1)
        dull, sure = x[highest.argsort()[:8]], x[highest.argsort()[-8:]]
        largest = float(surer(dull).max())
    export_integers(surer, x[:2], dull, tmp_path / "m.onnx", output=output)
    graph = onnx.load(tmp_path / "m.onnx").graph
    layer = next(node for node in graph.node if node.op_type == "Gemm")
    assert layer.output[0] not in {node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    stored = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    assert set(layer.input) <= stored  # so that it still computes in integers
    if output == "scores":
        assert float(run_onnx(tmp_path / "m.onnx", sure).max()) > 1.02 * largest


class Standardized(nn.Module):
    """Layers, then columns of unlike scales made alike, as before a linear classifier on features."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(network.stem, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.register_buffer("mean", torch.zeros(16))
        self.register_buffer("std", torch.full((16,), 0.2).index_fill(0, torch.tensor([3]), 1e-5))
        self.head = nn.Linear(16, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head((self.layers(x) - self.mean) / self.std)


def test_a_layer_behind_a_standardization_stays_float(network, tmp_path):
    """One scale for columns of unlike scales would round all but the widest to 0."""
    torch.manual_seed(3)
    whole, x = Standardized(network).eval(), torch.randn(8, 3, 16, 16)
    export_integers(whole, x[:2], x, tmp_path / "m.onnx")
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert (
        next(node for node in graph.node if node.op_type == "Gemm").input[0]
        == next(node for node in graph.node if node.op_type == "Div").output[0]
    )
    assert any(node.op_type == "QuantizeLinear" for node in graph.node)


def test_onnxruntime_alone_is_a_peer_that_runs(network):
    x = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        assert (
            torch.nn.functional.cosine_similarity(run_onnx(calibrated_by_onnxruntime(network, x), x), network(x)).mean()
            > 0.9
        )


def test_what_cannot_be_exported_is_named_and_leaves_no_file(network, tmp_path):
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x).mean((2, 3))
            return y if float(y.sum()) > 0 else -y

    with pytest.raises(ValueError, match="pictures"):
        export_integers(network, torch.zeros(2, 3, 16, 16), torch.zeros(4, 1, 16, 16), tmp_path / "m.onnx")
    with pytest.raises(ValueError, match="one ONNX graph"):
        export_integers(Branching(), torch.zeros(2, 3, 8, 8), torch.randn(4, 3, 8, 8), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "mobilenetv3_small_100", "efficientnet_b0", "resnet18"])
def test_networks_of_timm_are_near_the_simulated_network_in_integers(name, tmp_path):
    torch.manual_seed(0)
    x = torch.randn(8, 3, 64, 64)
    network = settled(timm.create_model(name, pretrained=False, num_classes=10), x)
    told = export_integers(network, x[:2], x, tmp_path / "m.onnx")
    with torch.no_grad():
        simulated = quantize(network, 8, 8, x)(x)
    got = run_onnx(tmp_path / "m.onnx", x)
    assert told.cosine > 0.95  # random weights: what a picture changes is small beside what rounding does
    assert float(torch.nn.functional.cosine_similarity(got, simulated).mean()) > 0.95
    assert told.megabytes < 0.45 * told.float_megabytes


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "shufflenet_v2_x0_5", "mnasnet0_5", "regnet_y_400mf"])
def test_networks_of_torchvision_are_exported_in_integers(name, tmp_path):
    torch.manual_seed(0)
    x = torch.randn(4, 3, 64, 64)
    network = settled(torchvision.models.get_model(name, weights=None, num_classes=10), x)
    assert export_integers(network, x[:2], x, tmp_path / "m.onnx").cosine > 0.9
