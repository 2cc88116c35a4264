"""The asymmetric quantizer, and networks whose weights and activations pass it."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unseen.nn.build import builder
from unseen.nn.classifier import feature_classifier
from unseen.nn.export import export_onnx
from unseen.nn.quantizers import (
    FLOAT,
    affine,
    calibrate,
    count_activations,
    fake_quantize,
    follow,
    frozen_copy,
    outputs,
    places_of,
    quantizable,
    quantized,
    quantized_weight,
    weight_range,
)
from unseen.nn.state import load_state, save_state

X = torch.tensor([-1.0, -0.3, 0.0, 0.26, 0.7, 2.0])


@builder("test-quantizers-net")
def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


class Functional(nn.Module):
    """One ReLU module used twice, and a functional one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.fc = nn.Conv2d(2, 4, 3), nn.ReLU(inplace=True), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.conv(x))
        x = F.relu6(self.relu(x - 0.1).mean((2, 3)))
        return self.fc(x)


def call(network, x):
    return network(x)


# -- numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (4, [-1, -0.2, 0, 0.2, 0.6, 2]),
        (2, [-1, 0, 0, 0, 1, 2]),
        (3, [-0.857143, -0.428571, 0, 0.428571, 0.857143, 2.142857]),
    ],
)
def test_quantizer_values_of_the_spec(bits, expected):
    got = fake_quantize(X, X.min(), X.max(), bits)
    assert torch.allclose(got, torch.tensor(expected, dtype=torch.float32), atol=1e-6)


def test_scale_is_the_inverse_of_a_step():
    scale, zero = affine(X.min(), X.max(), 4)
    assert float(scale) == 5
    assert float(zero) == 3


def test_32_bits_change_nothing():
    assert fake_quantize(X, X.min(), X.max(), FLOAT) is X


@given(st.floats(-100, 100, width=32), st.integers(2, 8))
def test_constant_rows_give_no_nan_and_their_constant(value, bits):
    row = torch.full((1, 5), value)
    got = fake_quantize(row, *weight_range(row), bits)
    assert torch.allclose(got, row, rtol=1e-6, atol=1e-6)


@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=20), st.integers(1, 8))
def test_error_is_at_most_one_step_and_levels_are_at_most_2_to_the_bits(values, bits):
    x = torch.tensor(values)
    low, high = x.min(), x.max()
    got = fake_quantize(x, low, high, bits)
    step = float((high - low).clamp_min(1e-8)) / (2**bits - 1)
    assert float((got - x).abs().max()) <= step * (1 + 1e-3) + 1e-5  # half a step, and half for the zero point
    assert len(got.unique()) <= 2**bits


def test_a_channel_has_its_own_range_and_a_tensor_one():
    weight = torch.tensor([[0.0, 1.0], [0.0, 100.0]])
    assert weight_range(weight)[1].tolist() == [[1.0], [100.0]]
    assert weight_range(weight, "tensor")[1].tolist() == [[100.0]]
    by_channel = fake_quantize(weight, *weight_range(weight), 2)
    by_tensor = fake_quantize(weight, *weight_range(weight, "tensor"), 2)
    assert torch.allclose(by_channel, weight, atol=1e-6)
    assert float(by_tensor[0, 1]) == 0


# -- networks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "activation", [nn.PReLU(4), nn.SELU(), nn.CELU(), nn.Softplus(), nn.RReLU(), nn.Softsign(), nn.Threshold(0.1, 0.0)]
)
def test_smooth_and_learnt_activations_are_counted_once_and_rounded(activation):
    network = nn.Sequential(nn.Conv2d(2, 4, 3), activation).eval()
    x = torch.randn(8, 2, 6, 6)
    assert count_activations(network, x) == 1
    result = quantized(frozen_copy(network), {}, (2,))
    calibrate(result, call, x)
    assert len(result(x).unique()) <= 4


@pytest.mark.parametrize("gate", [nn.Sigmoid(), nn.Hardsigmoid(), nn.Tanh()])
def test_gates_are_no_activations(gate):
    assert count_activations(gate, torch.randn(3)) == 0


def test_a_copy_is_in_single_precision():
    assert {p.dtype for p in frozen_copy(net().double()).parameters()} == {torch.float32}


def test_weights_are_integer_codes_and_modules_keep_their_class_and_name():
    network = frozen_copy(net())
    expected = quantized_weight(network[0], 4)
    result = quantized(network, {"0": 4})
    layer = result.network.get_submodule("0")
    assert isinstance(layer, nn.Conv2d)
    assert layer.parametrizations.weight.original.dtype == torch.int8
    assert int(layer.parametrizations.weight.original.max()) <= 7
    assert torch.equal(layer.weight, expected)
    assert result.network.get_submodule("5").weight.dtype == torch.float32
    assert result.megabytes == 4 * 2 * 9 * 4 / 8 / 2**20


def test_float_bits_leave_outputs_identical():
    network, x = net().eval(), torch.randn(3, 2, 6, 6)
    result = quantized(frozen_copy(network), dict.fromkeys(quantizable(network), FLOAT))
    assert torch.equal(result(x), network(x))


@pytest.mark.parametrize("bits", [1, 9, 16, 0, 31])
def test_bits_outside_2_to_8_and_32_are_refused(bits):
    with pytest.raises(ValueError, match=f"weight_bits must be 2 to 8, or 32 for float; got {bits}"):
        quantized(frozen_copy(net()), {"5": bits})
    with pytest.raises(ValueError, match=f"activation_bits must be 2 to 8, or 32 for float; got {bits}"):
        quantized(frozen_copy(net()), {"5": 8}, (bits,))


def test_what_stays_float_is_all_but_the_weights_of_quantized_layers():
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.head = nn.MultiheadAttention(4, 2), nn.Linear(4, 3)

    network = Attending()
    result = quantized(frozen_copy(network), {"attention.out_proj": 4, "head": 8})
    assert set(result.floats) == {
        "attention.in_proj_weight", "attention.in_proj_bias", "attention.out_proj.bias", "head.bias"
    }  # fmt: skip
    counted = sum(value.numel() for value in result.floats.values()) + 4 * 4 + 4 * 3
    assert counted == sum(value.numel() for value in network.parameters())


def test_every_call_of_an_activation_has_its_own_range():
    network, x = Functional().eval(), torch.randn(4, 2, 6, 6)
    assert count_activations(network, x) == 3
    result = quantized(frozen_copy(network), {}, (8, 8, 8))
    calibrate(result, call, x)
    highs = [float(a.high) for a in result.activations]
    inner = torch.relu(network.conv(x))
    assert highs[0] == pytest.approx(float(inner.max()), rel=1e-5)
    assert highs[1] == pytest.approx(float(inner.max()) - 0.1, rel=1e-2)
    assert highs[2] < highs[1]


class Branching(nn.Module):
    """Goes through one layer or the other, and through the last one only for large inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu((self.left if float(x.sum()) >= 0 else self.right)(x))
        return F.relu(self.last(y)) if float(x.abs().max()) > 10 else y


@pytest.mark.parametrize(
    ("x", "other", "told"),
    [
        (1.0, -1.0, "this input comes to relu of 'right', where there was relu of 'left'"),
        (1.0, 11.0, "this input comes to relu of 'last', where only 1 activations were seen"),
        (11.0, 1.0, "this input has not come to relu of 'last', of which there is a range"),
    ],
)
def test_another_way_than_in_calibration_is_an_error_that_names_the_layer(x, other, told, tmp_path):
    network, seen = follow(frozen_copy(Branching())), torch.full((1, 1, 2, 2), x)
    places = places_of(call, network, seen)
    assert places == (("relu of 'left'",) if x < 10 else ("relu of 'left'", "relu of 'last'"))
    result = quantized(network, {"left": 8}, (8,) * len(places), places=places)
    calibrate(result, call, seen)
    for one in (result, copy.deepcopy(result)):
        one(seen)
        with pytest.raises(ValueError, match=told):
            one(torch.full((1, 1, 2, 2), other))
        one(seen)


def test_two_threads_do_not_mix_up_where_they_are():
    network = follow(frozen_copy(nn.Sequential(*[m for _ in range(20) for m in (nn.Conv2d(1, 1, 1), nn.ReLU())])))
    x = torch.randn(2, 1, 8, 8)
    places = places_of(call, network, x)
    result = quantized(network, {}, (8,) * len(places), places=places)
    calibrate(result, call, x)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: result(x), range(100)))
    assert all(torch.equal(y, found[0]) for y in found)


def test_ranges_hold_zero_grow_over_batches_and_are_frozen_afterwards():
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.LeakyReLU(0.5))
    with torch.no_grad():
        network[0].weight.fill_(1.0)
        network[0].bias.zero_()
    result = quantized(frozen_copy(network), {}, (8,))
    calibrate(result, call, torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1), size=1)
    assert (float(result.activations[0].low), float(result.activations[0].high)) == (0.0, 2.0)
    before = copy.deepcopy(result.state_dict())
    assert float(result(torch.full((1, 1, 1, 1), 100.0))) == pytest.approx(2.0)
    assert all(torch.equal(before[key], value) for key, value in result.state_dict().items())


def test_a_weight_norm_is_multiplied_out_in_the_copy_only():
    network = feature_classifier(4, 3, 5).eval()
    x = torch.randn(6, 4)
    copied = frozen_copy(network)
    assert torch.allclose(copied(x), network(x), atol=1e-6)
    assert "weight" in copied.head._parameters
    assert "weight" not in network.head._parameters


@pytest.mark.parametrize("make", [net, lambda: feature_classifier(4, 3, 5)])
def test_a_quantized_network_is_saved_as_json_and_safetensors_and_built_again(make, tmp_path):
    network = make().eval()
    x = torch.randn(5, 4) if hasattr(network, "head") else torch.randn(5, 2, 6, 6)
    copied = follow(frozen_copy(network))
    places = places_of(copied, x)
    result = quantized(copied, dict.fromkeys(quantizable(copied), 5), (6,) * len(places), places=places)
    calibrate(result, call, x)
    save_state(tmp_path / "q", {"network": result})
    again = load_state(tmp_path / "q")["network"]
    assert torch.equal(again(x), result(x))
    assert again.weight_bits == result.weight_bits
    assert again.places == result.places == places


@pytest.mark.slow
def test_onnx_gives_the_same_and_is_smaller(tmp_path):
    network = nn.Sequential(nn.Conv2d(2, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 3))
    x = torch.randn(4, 2, 6, 6)
    copied = follow(frozen_copy(network))
    result = quantized(copied, {"0": 8, "4": 8}, (8,), places=places_of(copied, x))
    calibrate(result, call, x)
    assert export_onnx(result, x, tmp_path / "q.onnx", tolerance=0.05) < 0.05


def test_outputs_of_a_sample_do_not_depend_on_those_beside_it():
    network, x = net().eval(), torch.randn(21, 2, 9, 9)
    result = quantized(frozen_copy(network), {"0": 3}, (3,))
    calibrate(result, call, x)
    whole = outputs(result, x)
    assert torch.equal(whole, torch.cat([outputs(result, part) for part in x.split(4)]))
    assert whole.shape == (21, 3)


def test_names_that_are_no_layers_are_refused():
    with pytest.raises(ValueError, match="exclude"):
        quantizable(net(), ("fc",))
    with pytest.raises(ValueError, match="weight_bits"):
        quantized(net(), {"1": 4})
    with pytest.raises(ValueError, match="convolutional or linear"):
        quantizable(nn.ReLU())


def test_a_quantized_network_is_not_quantized_twice():
    with pytest.raises(ValueError, match="already"):
        frozen_copy(quantized(frozen_copy(net()), {"0": 4}))
