"""The search of a step, activations whose step is learnt, and networks that hold both."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unseen.nn.build import builder
from unseen.nn.learned_quantizers import (
    InputQuantizer,
    activation_step,
    input_quantized,
    keep_codes,
    quantize_input,
    search_step,
    spread,
    weight_step,
    without_input_quantizers,
)
from unseen.nn.quantizers import FLOAT, frozen_copy
from unseen.nn.state import load_state, save_state

W = torch.tensor([-0.9, -0.2, 0.05, 0.3, 0.45, 1.7])
A = torch.tensor([0.0, 0.1, 0.4, 0.5, 0.9, 3.0])


@builder("test-learned-quantizers-net")
def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))


# -- the search --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "step", "zero"), [(2, 0.771333, 1), (3, 0.356571, 2), (4, 0.169867, 5)])
def test_the_searched_step_of_weights_is_the_one_of_the_spec(bits, step, zero):
    found = weight_step(W[None], bits)
    assert float(found[0]) == pytest.approx(step, abs=1e-6)
    assert float(found[1]) == zero


@pytest.mark.parametrize(("bits", "step"), [(2, 0.93), (4, 0.196)])
def test_the_searched_step_of_an_activation_is_the_one_of_the_spec(bits, step):
    assert float(activation_step(A, bits, signed=False)) == pytest.approx(step, abs=1e-6)


def naive_search(x: np.ndarray, bits: int) -> tuple[float, float]:
    top, best = 2**bits - 1, (np.inf, 0.0, 0.0)
    for i in range(100):
        r = 1 - i / 100
        d = (r * x.max() - r * x.min()) / top
        z = np.round(-r * x.min() / d)
        q = (np.clip(np.round(x / d) + z, 0, top) - z) * d
        error = (np.abs(x - q) ** 2.4).mean()
        best = min(best, (error, d, z), key=lambda found: found[0])
    return best[1], best[2]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2, 3, 4, 8]))
def test_each_channel_gets_the_step_with_the_least_error(seed, bits):
    rows = np.random.default_rng(seed).normal(size=(3, 11)) * [[0.1], [1.0], [7.0]]
    step, zero = weight_step(torch.tensor(rows), bits)
    for i, row in enumerate(rows):
        d, z = naive_search(row, bits)
        q = lambda d, z: (np.clip(np.round(row / d) + z, 0, 2**bits - 1) - z) * d  # noqa: B023
        errors = [(np.abs(row - q(*one)) ** 2.4).mean() for one in ((d, z), (float(step[i]), float(zero[i])))]
        assert errors[1] == pytest.approx(errors[0], rel=1e-6)  # ties may differ in the last bit


def test_a_channel_of_one_value_or_of_zeros_has_a_finite_step_that_gives_it_back():
    rows = torch.tensor([[0.5, 0.5], [-0.5, -0.5], [0.0, 0.0]])
    step, zero = search_step(rows, rows.amin(1), rows.amax(1), 2)
    q = ((rows / step[:, None]).round() + zero[:, None]).clamp(0, 3).sub(zero[:, None]) * step[:, None]
    assert torch.isfinite(step).all()
    assert (step > 0).all()
    assert torch.allclose(q, rows, atol=1e-6)


def test_channels_of_transposed_convolutions_lie_along_the_second_dimension():
    weight = torch.randn(4, 3, 2, 2)
    step, zero = weight_step(weight, 4, axis=1)
    assert step.shape == zero.shape == (1, 3, 1, 1)
    assert torch.equal(step.flatten(), weight_step(weight.transpose(0, 1), 4)[0].flatten())


# -- activations -------------------------------------------------------------------------------------------


def observed(x: torch.Tensor, bits: int = 4) -> InputQuantizer:
    quantizer = InputQuantizer(bits)
    quantizer.observing = True
    quantizer(x)
    return quantizer


def test_the_first_batch_says_whether_values_are_signed_and_later_ones_do_not():
    for x, bounds in ((A, (0, 15)), (W, (-8, 7))):
        quantizer = observed(x)
        assert (float(quantizer.low), float(quantizer.high)) == bounds
        step = float(quantizer.step)
        quantizer(100 * torch.randn(50))
        assert (float(quantizer.low), float(quantizer.high), float(quantizer.step)) == (*bounds, step)


def test_gradients_are_those_of_a_straight_through_round_between_clamps():
    torch.manual_seed(0)
    quantizer = observed(torch.randn(200), 3)
    x = (3 * torch.randn(64)).requires_grad_()
    step = quantizer.step.detach().clone().requires_grad_()
    codes = torch.clamp(x / step, float(quantizer.low), float(quantizer.high))
    plain = step * (codes + (codes.round() - codes).detach())
    weight = torch.randn(64)
    expected = torch.autograd.grad((plain * weight).sum(), (x, step))
    got = torch.autograd.grad((quantizer(x) * weight).sum(), (x, quantizer.step))
    assert torch.allclose(quantizer(x), plain)
    assert torch.allclose(got[0], expected[0], atol=1e-6)
    assert torch.allclose(got[1], expected[1], rtol=1e-4)
    assert bool(((x / step).detach().abs() > 4).any())  # some are clipped


def test_dropped_quantization_keeps_values_and_passes_their_gradient():
    torch.manual_seed(0)
    quantizer = observed(W.repeat(2000), 2)
    quantizer.kept = 0.5
    x = (W.repeat(2000) * 3).requires_grad_()
    y = quantizer(x)
    kept = y == x
    assert 0.45 < float(kept.float().mean()) < 0.55
    y[kept].sum().backward()
    assert torch.equal(x.grad, kept.float())
    assert float(quantizer.step.grad) == 0


def test_only_the_codes_of_the_bits_come_out():
    quantizer = observed(torch.randn(500), 2)
    codes = quantizer(10 * torch.randn(500)) / quantizer.step
    assert sorted({round(float(code)) for code in codes}) == [-2, -1, 0, 1]


def test_a_sequence_cannot_hold_a_quantizer():
    with pytest.raises(ValueError, match="Sequential"):
        quantize_input(net(), 4)


# -- networks ----------------------------------------------------------------------------------------------


def test_codes_are_the_weight_and_are_integers():
    layer = nn.Linear(3, 2, bias=False)
    codes, step, zero = torch.tensor([[0.0, 1, 3], [2, 2, 0]]), torch.tensor([[0.5], [2.0]]), torch.tensor([[1.0], [2]])
    keep_codes(layer, codes, step, zero, 2)
    assert torch.allclose(layer.weight, step * (codes - zero))
    assert layer.parametrizations.weight.original.dtype == torch.int8


def test_a_network_with_input_quantizers_is_saved_and_built_again(tmp_path):
    torch.manual_seed(0)
    network = input_quantized(frozen_copy(net()), {"0": 8, "4": 2}, {"4": 3})
    network.network[4].input_quantizer.step.fill_(0.25)
    x = torch.randn(5, 1, 6, 6)
    save_state(tmp_path / "n", network)
    again = load_state(tmp_path / "n").eval()
    assert torch.equal(again(x), network(x))
    assert torch.equal(copy.deepcopy(network)(x), network(x))
    assert network.megabytes == pytest.approx((27 * 8 + 6 * 2) / 8 / 2**20)
    assert torch.equal(network.network[4].input_quantizer.step, again.network[4].input_quantizer.step)


def test_the_input_of_a_module_is_what_is_rounded():
    torch.manual_seed(0)
    float_, network = frozen_copy(net()), frozen_copy(net())
    network.load_state_dict(float_.state_dict())
    small = input_quantized(network, {}, {"4": 2})
    small.network[4].input_quantizer.step.fill_(0.1)
    x = torch.randn(4, 1, 6, 6)
    z = float_[:4](x)
    assert torch.allclose(small(x), float_[4](0.1 * (z / 0.1).round().clamp(0, 3)))


def test_float_inputs_are_not_named():
    with pytest.raises(ValueError, match="input_bits"):
        input_quantized(frozen_copy(net()), {}, {"4": FLOAT})


def test_without_quantizers_of_inputs_a_network_reads_floats_again():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 16, 3)).eval()
    x = torch.randn(2, 1, 6, 6)
    expected = net(x)
    quantize_input(net[0], 2)
    quantize_input(net[3], 2)
    assert not torch.equal(net(x), expected)
    assert torch.equal(without_input_quantizers(net)(x), expected)
    assert not any("input_quantizer" in name for name, _ in net.named_modules())


@pytest.mark.parametrize("bits", [1, 3, 4, 8])
def test_a_signed_activation_is_searched_on_the_codes_it_is_given(bits):
    """Of 100 steps none gives less error than the one that is chosen, on [-2^(k - 1), 2^(k - 1) - 1]."""
    x = torch.randn(400, generator=torch.Generator().manual_seed(bits))
    half, top = 2 ** (bits - 1), float(x.abs().max())

    def error(step):
        return float(((x / step).round().clamp(-half, half - 1) * step - x).abs().pow(2.4).mean())

    steps = [r / 100 * 2 * top / (2**bits - 1) for r in range(1, 101)]
    assert error(float(activation_step(x, bits, signed=True))) <= min(map(error, steps)) * (1 + 1e-5)


@pytest.mark.parametrize("n", [2**16 + 1, 25_690_112, 38_535_168])
def test_positions_that_are_looked_at_lie_within(n):
    found = spread(n, 2**16)
    assert int(found.min()) == 0
    assert n - n // 2**16 - 2 <= int(found.max()) < n
