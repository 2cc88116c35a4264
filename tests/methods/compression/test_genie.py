"""GENIE: the analytic checks of its spec, what its parts do, and how it treats networks."""

from __future__ import annotations

import copy
import itertools
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import processes
import unseen
from unseen.data.domain import Domain
from unseen.methods.compression.genie import Genie
from unseen.methods.compression.genie.reconstruction import Call, Learner, Recipe, gap, learn, mixed, read
from unseen.methods.compression.genie.rounding import SoftRounding, beta, inverse, rectified_sigmoid, regularizer
from unseen.methods.compression.genie.synthesis import Generator, bns_loss, swing, synthesize, with_swing
from unseen.methods.compression.genie.units import Unit, blocks_of, plan
from unseen.nn.build import builder, timm_network
from unseen.nn.network_io import noise, output_of
from unseen.nn.quantizers import FLOAT, frozen_copy, quantizable

SHAPE = (1, 8, 8)
W = torch.tensor([-0.9, -0.2, 0.05, 0.3, 0.45, 1.7])


class Residual(nn.Module):
    """A block whose shortcut is a plain sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.bn2(self.second(torch.relu(self.bn1(self.first(x))))))


@builder("test-genie-net")
def residual_net(width: int = 6) -> nn.Sequential:
    """A stem with a stride, a residual block, a linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 1, bias=False),
        nn.BatchNorm2d(width),
        Residual(width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 5),
    )


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A network whose BatchNorm layers have seen smooth pictures."""
    torch.manual_seed(0)
    net = residual_net()
    for _ in range(30):
        net.train()(pictures(64))
    return net.eval()


def pictures(n: int) -> torch.Tensor:
    return nn.functional.interpolate(torch.randn(n, 1, 3, 3), 8, mode="bicubic")


def real(n: int = 24, seed: int = 0) -> Domain:
    generator = torch.Generator().manual_seed(seed)
    x = nn.functional.interpolate(torch.randn(n, 1, 3, 3, generator=generator), 8, mode="bicubic")
    return Domain(x=x.numpy(), kind="image")


QUICK = {
    "shape": SHAPE, "samples": 16, "synthesis_batch": 8, "synthesis_steps": 3, "latent": 8, "width": 4,
    "iterations": 20, "batch_size": 8, "rounding_rate": 3e-2,
}  # fmt: skip


def make(**changed) -> Genie:
    return Genie(**{**QUICK, "blocks": ("Residual",), **changed})


# -- rounding ----------------------------------------------------------------------------------------------


def soft(bits: int = 3) -> tuple[nn.Linear, SoftRounding]:
    layer = nn.Linear(6, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(W[None])
    return layer, SoftRounding(layer, bits)


def test_base_and_v_start_as_in_the_spec():
    _, rounding = soft()
    assert rounding.base.flatten().tolist() == [-3, -1, 0, 0, 1, 4]
    expected = [-0.080171, -0.203693, -1.385126, 1.291821, -0.839298, 0.959511]
    assert rounding.v.detach().flatten().tolist() == pytest.approx(expected, abs=2e-5)


def test_hard_output_is_the_one_of_the_spec_and_is_rounding_to_nearest():
    layer, rounding = soft()
    hard = rounding.hard().detach().flatten()
    assert hard.tolist() == pytest.approx([-0.713143, -0.356571, 0, 0.356571, 0.356571, 1.782857], abs=1e-6)
    step, zero = rounding.step.detach(), rounding.zero
    nearest = step * (torch.clamp(torch.floor(layer.weight / step + 0.5) + zero, 0, 7) - zero)
    assert torch.equal(hard, nearest.detach().flatten())
    rounding.keep(layer)
    assert torch.allclose(layer.weight.flatten(), hard, atol=1e-6)


def test_soft_output_is_the_weight_but_for_what_is_clipped_and_the_gradient_of_the_step_is_q_minus_z():
    _, rounding = soft()
    output = rounding()
    assert output.detach().flatten().tolist() == pytest.approx([-0.713143, *W[1:].tolist()], abs=1e-6)
    output.sum().backward()
    assert float(rounding.step.grad) == pytest.approx(4.450321, abs=1e-5)


def test_the_base_stays_while_the_step_moves():
    _, rounding = soft()
    before = rounding.codes(rounding.rounding()).detach()
    with torch.no_grad():
        rounding.step.mul_(1.3)
    assert torch.equal(rounding.codes(rounding.rounding()), before)
    assert torch.allclose(rounding().detach(), 1.3 * soft()[1]().detach())


def test_values_of_h():
    h = rectified_sigmoid(torch.tensor([0.0, 1.0, -3.0, 3.0]))
    assert h.tolist() == pytest.approx([0.5, 0.777270, 0, 1], abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1))
def test_inverse_is_the_inverse_of_h(h):
    assert float(rectified_sigmoid(inverse(torch.tensor(h)))) == pytest.approx(h, abs=1e-5)


def test_values_of_the_regularizer():
    h = torch.tensor([0, 0.25, 0.5, 0.9, 1])
    assert float(regularizer(h, 20)) == pytest.approx(2.988470, abs=1e-5)
    assert float(regularizer(h, 2)) == pytest.approx(2.110000, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.floats(2, 20))
def test_the_regularizer_is_zero_for_zeros_and_ones_only(h, exponent):
    found = float(regularizer(torch.tensor(h, dtype=torch.float64), exponent))
    assert found >= 0
    assert float(regularizer(torch.tensor(h).round(), exponent)) == 0
    assert found > 0 or all(min(value, 1 - value) < 1e-6 for value in h)


def test_beta_rests_for_a_fifth_and_falls_from_20_to_2():
    assert beta(0.0) is None
    assert beta(0.19) is None
    assert beta(0.2) == 20
    assert beta(0.6) == pytest.approx(11)
    assert beta(1.0) == pytest.approx(2)


# -- synthesis ---------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(1, 3), st.sampled_from([(3, 8, 8), (1, 6, 9), (2, 5, 7)]))
def test_each_channel_of_a_generated_batch_has_mean_0_and_variance_1(n, seed, shape):
    torch.manual_seed(seed)
    generator = Generator(8, 4, shape)
    x = generator.net(torch.randn(n, 8)).detach()
    assert x.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert x.var(dim=(0, 2, 3), unbiased=False).sub(1).abs().max() < 1e-2
    assert generator(torch.randn(n, 8)).shape == (n, *shape)
    assert x.shape[2] % 4 == x.shape[3] % 4 == 0


def test_the_loss_is_the_one_of_the_spec():
    bn = nn.BatchNorm2d(2)
    bn.running_mean.copy_(torch.tensor([0.5, 1.0]))
    bn.running_var.copy_(torch.tensor([0.04, 0.09]))
    z = torch.arange(16.0).reshape(2, 2, 2, 2) / 10
    x = torch.tensor([1.0, -1.0, -1.0, 1.0]).reshape(1, 1, 2, 2) * (3 / 4) ** 0.5  # mean 0, unbiased deviation 1
    assert float(bns_loss(x, [(bn, z)])) == pytest.approx(0.0025 + 0.040138, abs=2e-5)
    a = z.numpy()
    per_picture = ((a.mean((2, 3)) - [0.5, 1]) ** 2).mean()
    per_picture += ((a.reshape(2, 2, 4).std(2, ddof=1) - [0.2, 0.3]) ** 2).mean()
    assert float(bns_loss(x, [(bn, z)], "sample")) == pytest.approx(per_picture, abs=2e-5)


def test_the_input_term_is_per_picture():
    x = torch.randn(4, 3, 5, 5)
    a = x.reshape(4, 3, 25).numpy()
    expected = ((a.mean(2) ** 2).sum() + ((1 - a.std(2, ddof=1)) ** 2).sum()) / 4
    assert float(bns_loss(x, [])) == pytest.approx(expected, rel=1e-4)


def test_swing_with_offset_one_is_the_identity_and_others_shift_by_a_pixel():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert torch.equal(swing(x, (1, 1)), x)
    assert torch.equal(swing(x, (2, 1))[0, 0, :3], x[0, 0, 1:])
    assert torch.equal(swing(x, (0, 1))[0, 0, 0], x[0, 0, 1])  # reflected
    assert torch.equal(swing(x[:, :, :1]), x[:, :, :1])  # nothing to reflect


def test_swing_changes_strided_convolutions_only(monkeypatch):
    where = "unseen.methods.compression.genie.synthesis.torch.randint"
    strided, plain = nn.Conv2d(1, 2, 3, 2, 1), nn.Conv2d(2, 2, 3, padding=1)
    both = nn.Sequential(strided, plain)
    x = torch.randn(2, 1, 8, 8)
    swung = with_swing(copy.deepcopy(both))
    monkeypatch.setattr(where, lambda *_: torch.tensor([1, 1]))
    assert torch.equal(swung(x), both(x))
    monkeypatch.setattr(where, lambda *_: torch.tensor([2, 0]))
    assert torch.equal(swung(x), both(swing(x, (2, 0))))
    assert not torch.equal(swung(x), both(x))
    assert torch.equal(swung[1](both[0](x)), both(x))


@pytest.mark.parametrize("mode", ["genie", "pixel", "generator"])
def test_synthesis_decreases_the_loss_and_leaves_the_network_as_it_was(network, mode):
    torch.manual_seed(0)
    state = copy.deepcopy(network.state_dict())
    x, losses = synthesize(network, SHAPE, samples=24, batch_size=16, steps=40, mode=mode, latent=16, width=8)
    assert x.shape == (24, *SHAPE)
    assert losses.shape == (2, 40)
    assert (losses[:, -5:].mean(dim=1) < losses[:, 0] / 1.3).all()
    assert not torch.equal(x[:8], x[16:])  # a generator of its own for each batch
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    assert not any(m._forward_pre_hooks for m in network.modules())


def test_latents_move_in_genie_and_not_in_generator(network, monkeypatch):
    seen = []
    forward = Generator.forward
    monkeypatch.setattr(Generator, "forward", lambda self, z: (seen.append(z.detach().clone()), forward(self, z))[1])
    for mode in ("genie", "generator"):
        seen.clear()
        torch.manual_seed(0)
        synthesize(network, SHAPE, samples=8, batch_size=8, steps=3, mode=mode, latent=8, width=4)
        moved = (seen[1] - seen[0]).abs().max()
        assert moved <= 0.11 if mode == "genie" else moved > 1  # a step of Adam at 0.1, or new noise
        assert moved > 0


# -- units -------------------------------------------------------------------------------------------------


def test_units_are_blocks_and_single_layers_in_the_order_of_the_forward_pass(network):
    planned = plan(
        network, quantizable(network), torch.randn(1, *SHAPE), output_of(network), 2, 4, classes=["Residual"]
    )
    assert [unit.name for unit in planned.units] == ["0", "3", "5", "8"]
    assert planned.units[2].layers == ("5.first", "5.second")
    assert planned.weight_bits == {"0": 8, "3": 2, "5.first": 2, "5.second": 2, "8": 8}
    assert planned.input_bits == {"3": 8, "5": 4, "5.second": 4, "8": 8}  # the block's input once, for its shortcut too


def test_the_setting_of_qdrop_has_no_eight_bits_at_the_second_layer(network):
    planned = plan(network, quantizable(network), torch.randn(1, *SHAPE), output_of(network), 2, 4, setting="qdrop")
    assert planned.input_bits == {"3": 4, "5.first": 4, "5.second": 4, "8": 8}


@pytest.mark.parametrize(
    ("name", "block", "units"),
    [("test_resnet", "BasicBlock", 8), ("test_efficientnet", "InvertedResidual", 8)],
)
def test_blocks_of_timm_are_known(name, block, units):
    net = timm.create_model(name, pretrained=False).eval()
    assert block in {type(module).__name__ for module in blocks_of(net).values()}
    planned = plan(net, quantizable(net), torch.randn(1, 3, 32, 32), output_of(net), 4, 4)
    assert len(planned.units) == units
    layers = [name for unit in planned.units for name in unit.layers]
    assert sorted(layers) == sorted(quantizable(net))


def test_a_downsampling_layer_shares_the_quantizer_of_its_block():
    net = torchvision.models.resnet18(weights=None).eval()
    planned = plan(net, quantizable(net), torch.randn(1, 3, 64, 64), output_of(net), 4, 4)
    unit = next(unit for unit in planned.units if unit.name == "layer2.0")
    assert set(unit.layers) == {"layer2.0.conv1", "layer2.0.conv2", "layer2.0.downsample.0"}
    assert unit.inputs == {"layer2.0": 4, "layer2.0.conv2": 4}


# -- reconstruction ----------------------------------------------------------------------------------------

RECIPE = Recipe(
    iterations=150, batch_size=8, rounding="genie", drop="none", penalty=1.0, rounding_rate=3e-2,
    weight_step_rate=1e-4, activation_step_rate=1e-4,
)  # fmt: skip


def test_what_a_unit_reads_and_gives_is_read_on_the_way(network):
    unit = Unit("5", ("5.first", "5.second"), {}, 1)
    x = torch.randn(10, *SHAPE)
    ((got, given),) = read(network, unit, x, output_of(network), 4)
    with torch.no_grad():
        assert torch.allclose(got, network[:5](x), atol=1e-5)
        assert torch.allclose(given, network[:6](x), atol=1e-5)


@pytest.mark.parametrize("inplace", [False, True])
def test_a_unit_that_is_called_twice_is_read_twice(inplace):
    twice = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(inplace))
    twice = nn.Sequential(twice, twice)
    calls = read(twice, Unit("0.0", ("0.0",), {}, 2), torch.randn(5, *SHAPE), output_of(twice), 2)
    assert len(calls) == 2
    assert torch.allclose(calls[1][0], torch.relu(calls[0][1]))
    assert float(calls[0][1].min()) < 0


def test_what_cannot_be_is_named_before_work(network):
    with pytest.raises(ValueError, match="shape must be what the model reads"):
        Genie(**{**QUICK, "shape": (7, 8, 8)}).fit(model=network)
    with pytest.raises(ValueError, match="target does not fit the model: it has pictures of 7 channels, 8 x 8"):
        Genie(**QUICK).fit(model=network, target=Domain(x=np.zeros((4, 7, 8, 8), np.float32), kind="image"))
    with pytest.raises(ValueError, match="none is a 'Residul'"):
        Genie(**QUICK, blocks=("Residul",)).fit(model=network)
    with pytest.raises(ValueError, match="synthesis_batch and samples must be at least 2"):
        Genie(**{**QUICK, "synthesis_batch": 1}).fit(model=network)


def test_without_penalty_and_with_many_bits_the_loss_is_almost_zero(network):
    module = frozen_copy(network)[5]
    unit = Unit("5", ("5.first", "5.second"), {"5": 16, "5.second": 16}, 1)
    x = torch.relu(torch.randn(8, 6, 4, 4))
    y = module(x).detach()
    learner = Learner(module, unit, {"5.first": 16, "5.second": 16})
    learner.start(x)
    assert float(gap(module, learner(x), y)) < 1e-6
    assert float(gap(module, learner(x, hard=True), y)) < 1e-6


def test_a_unit_learns_and_only_v_and_steps_move(network):
    torch.manual_seed(0)
    teacher = frozen_copy(network)
    module = frozen_copy(network)[5]
    unit = Unit("5", ("5.first", "5.second"), {"5": 4, "5.second": 4}, 1)
    learner = Learner(module, unit, {"5.first": 2, "5.second": 2})
    x = torch.relu(torch.randn(64, 6, 4, 4))
    with torch.no_grad():
        call = Call(x, x, teacher[5](x))
    learner.start(x[:8])
    state = copy.deepcopy({k: v for k, v in module.state_dict().items() if "input_quantizer" not in k})
    before = {k: v.detach().clone() for k, v in learner.named_parameters()}
    first = float(gap(module, learner(x, hard=True), call.y))
    learn(learner, [call], RECIPE, "test")
    assert float(gap(module, learner(x, hard=True), call.y)) < first
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in state.items())
    assert all(not torch.equal(value, dict(learner.named_parameters())[key]) for key, value in before.items())


@pytest.mark.parametrize(("rounding", "fixed"), [("adaround", {"step"}), ("nearest", {"step", "v"})])
def test_parts_that_are_off_do_not_move(network, rounding, fixed):
    module = frozen_copy(network)[3]
    learner = Learner(module, Unit("3", ("3",), {"3": 4}, 1), {"3": 2})
    x = torch.randn(16, 6, 4, 4)
    with torch.no_grad():
        call = Call(x, x, network[3](x))
    learner.start(x)
    before = {k: v.detach().clone() for k, v in learner.named_parameters()}
    learn(learner, [call], Recipe(**{**vars(RECIPE), "rounding": rounding, "iterations": 5}), "test")
    still = {k for k, v in learner.named_parameters() if torch.equal(v, before[k])}
    assert still == {f"weights./.{name}" for name in fixed}


def test_the_penalty_drives_rounding_to_up_or_down(network):
    torch.manual_seed(0)
    module = frozen_copy(network)[3]
    learner = Learner(module, Unit("3", ("3",), {}, 1), {"3": 2})
    x = torch.randn(16, 6, 4, 4)
    with torch.no_grad():
        call = Call(x, x, module(x))
    started = float(learner.regularizer(2.0))
    learn(learner, [call], Recipe(**{**vars(RECIPE), "iterations": 200, "rounding_rate": 6e-2}), "test")
    assert float(learner.regularizer(2.0)) < started / 20


def test_inputs_are_mixed_with_equal_chances():
    torch.manual_seed(0)
    x = mixed(torch.zeros(10000), torch.ones(10000))
    assert set(x.tolist()) == {0.0, 1.0}
    assert 0.48 < float(x.mean()) < 0.52


# -- the whole ---------------------------------------------------------------------------------------------


def test_model_and_its_modes_are_unchanged(network):
    model = copy.deepcopy(network)
    model[4].train()
    state, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    make().fit(model=model)
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())


def test_weights_have_no_more_levels_than_their_bits_and_inputs_too(network):
    method = make(weight_bits=2, activation_bits=3).fit(model=network)
    inner = method.network().network
    for name, bits in method.bits_.items():
        layer = inner.get_submodule(name)
        codes = layer.parametrizations.weight.original
        assert codes.dtype == torch.int8
        assert int(codes.min()) >= -(2 ** (bits - 1))
        assert int(codes.max()) < 2 ** (bits - 1)
    assert not any(quantizer.kept for quantizer in inner.modules() if hasattr(quantizer, "kept"))
    assert method.input_bits_ == {"3": 8, "5": 3, "5.second": 3, "8": 8}
    sizes = {name: layer.weight.numel() for name, layer in quantizable(network).items()}
    assert method.megabytes_ == pytest.approx(sum(sizes[n] * k for n, k in method.bits_.items()) / 8 / 2**20)


def test_without_iterations_weights_are_rounded_to_nearest(network):
    method = make(iterations=0, weight_bits=3).fit(model=network, target=real())
    layer = method.network().network[3]
    scale, zero = layer.parametrizations.weight[0].scale, layer.parametrizations.weight[0].zero
    expected = ((network[3].weight * scale).round() - zero).clamp(-4, 3)
    assert torch.equal(layer.parametrizations.weight.original.float(), expected)
    assert (method.reconstruction_["nearest"] == method.reconstruction_["learned"]).all()


def test_learning_brings_units_nearer_to_the_float_ones(network):
    method = make(weight_bits=2, iterations=120, drop="none").fit(model=network, target=real(64))
    assert len(method.units_) == len(method.reconstruction_["learned"]) == 4
    assert method.reconstruction_["learned"][1:3].sum() < 0.9 * method.reconstruction_["nearest"][1:3].sum()


def test_32_bits_give_outputs_identical_to_float(network):
    method = make(weight_bits=FLOAT, activation_bits=FLOAT).fit(model=network, target=real())
    x = torch.randn(8, *SHAPE)
    with torch.no_grad():
        assert torch.equal(method.decision_function(x), network(x))


def test_a_few_real_pictures_take_the_place_of_those_that_are_made_and_are_not_kept(network):
    method = make().fit(model=network, target=real())
    assert not {"distilled_", "losses_"} & set(method.fitted)
    assert not any(isinstance(value, torch.Tensor) for value in method.fitted.values())


def test_no_batch_norm_is_a_clear_error_unless_there_are_pictures():
    plain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    with pytest.raises(ValueError, match="must have BatchNorm"):
        make(blocks=()).fit(model=plain)
    assert make(blocks=()).fit(model=plain, target=real()).units_ == ("0", "4")


def test_a_shape_has_to_be_known(network):
    with pytest.raises(ValueError, match="shape"):
        make(shape=None).fit(model=network)


@pytest.mark.parametrize(
    "changed",
    [{"weight_bits": 17}, {"iterations": -1}, {"data": "real"}, {"rounding": "up"}, {"penalty": -1.0}, {"samples": 0}],
)
def test_impossible_settings_are_refused(changed):
    with pytest.raises((ValueError, TypeError)):
        make(**changed)


def test_saved_and_loaded_it_gives_the_same_bits(network, tmp_path):
    method = make().fit(model=network)
    method.save(tmp_path / "m")
    again = Genie.load(tmp_path / "m")
    x = torch.randn(9, *SHAPE)
    assert torch.equal(again.decision_function(x), method.decision_function(x))
    assert torch.equal(again.distilled_, method.distilled_)
    assert again.units_ == method.units_


@pytest.mark.parametrize("data", ["genie", "pixel", "generator", "gaussian"])
def test_every_kind_of_pictures_can_be_asked_for(network, data):
    a, b = (make(data=data, iterations=2).fit(model=network) for _ in range(2))
    x = torch.randn(4, *SHAPE)
    assert torch.equal(a.decision_function(x), b.decision_function(x))
    assert ("losses_" in a.fitted) == (data != "gaussian")


def test_a_killed_fit_resumes_to_identical_bits(network, tmp_path):
    method = make(synthesis_steps=60, iterations=60)
    x = torch.randn(4, *SHAPE)
    whole = method.fit(model=network).decision_function(x)
    calls = itertools.count()

    class KilledError(Exception):
        pass

    def killed(module, inputs):
        if isinstance(module, Residual) and next(calls) == 150:
            raise KilledError

    with unseen.runtime(folder=tmp_path):
        handle = nn.modules.module.register_module_forward_pre_hook(killed)
        with pytest.raises(KilledError):
            method.fit(model=network)
        handle.remove()  # a hook on all modules
        stages = {folder.name for folder in tmp_path.iterdir()}
        assert "synthesis-1" in stages
        assert "reconstruction-001" in stages
        again = method.fit(model=network).decision_function(x)
    assert torch.equal(whole, again)


# -- real architectures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_a_timm_network_is_quantized_saved_and_loaded(name, tmp_path):
    torch.manual_seed(0)
    net = timm_network(name, 7).eval()
    method = Genie(**{**QUICK, "shape": (3, 32, 32), "samples": 8, "iterations": 2}).fit(model=net)
    method.save(tmp_path / "m")
    x = torch.randn(3, 3, 32, 32)
    assert torch.equal(Genie.load(tmp_path / "m").decision_function(x), method.decision_function(x))


def test_more_bits_come_closer_to_float(network):
    x = pictures(64)
    with torch.no_grad():
        expected = network(x)
    errors = []
    for k in (2, 4, 8):
        method = make(weight_bits=k, activation_bits=k).fit(model=network, target=real(64))
        errors.append(float((method.decision_function(x) - expected).abs().mean()))
    assert errors[0] > errors[1] > errors[2]


def test_the_command_line_quantizes_a_saved_model(tmp_path):
    from unseen import encoders
    from unseen.bundle import Bundle
    from unseen.data.classes import ClassSpace
    from unseen.methods.fixed import fixed

    torch.manual_seed(0)
    net = timm_network("test_resnet", 3).eval()
    encoder = encoders.get("timm:test_resnet?pretrained=0&size=32")
    Bundle(method=fixed(net), classes=ClassSpace(names=("a", "b", "c")), encoder=encoder, whole=True).save(
        tmp_path / "m"
    )
    chosen = {**QUICK, "shape": [3, 32, 32], "samples": 8, "iterations": 1}
    args = ["quantize", "m", "--method", "genie", "--bits", "4/4", "--out", "small"]
    for key, value in chosen.items():
        args += ["--set", f"{key}={value}".replace(" ", "")]
    env = {**os.environ, "PYTHONPATH": str(Path(unseen.__file__).parents[1])}
    done = processes.run(
        [sys.executable, "-m", "unseen.cli", *args], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "parameters after" in done.stdout
    small = Bundle.load(tmp_path / "small").method
    assert isinstance(small, Genie)
    x = noise(2, (3, 32, 32))
    assert np.isfinite(small.decision_function(x).numpy()).all()
