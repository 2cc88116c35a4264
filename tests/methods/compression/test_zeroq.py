"""ZeroQ: the analytic checks of its spec, and how it treats networks and budgets."""

from __future__ import annotations

import copy
import itertools
import math
from typing import get_type_hints

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

import unseen
from unseen.data.domain import Domain
from unseen.jobs.quantization.networks import classifier
from unseen.methods.baselines.dfq import DFQ
from unseen.methods.compression.genie import Genie
from unseen.methods.compression.zeroq import ZeroQ
from unseen.methods.compression.zeroq.distillation import distill, distillation_loss
from unseen.methods.compression.zeroq.method import MEGABYTE, quantize
from unseen.methods.compression.zeroq.precision import (
    allocate_random,
    allocate_uniform,
    allocate_worst,
    pareto,
    sensitivity,
)
from unseen.methods.parameters import check
from unseen.nn.bn_statistics import bn_inputs
from unseen.nn.build import builder
from unseen.nn.divergences import exact_kl
from unseen.nn.network_io import noise, output_of, retinanet_logits
from unseen.nn.quantizers import FLOAT, outputs, quantizable

SHAPE = (1, 8, 8)


@builder("test-zeroq-net")
def depthwise_net(width: int = 8) -> nn.Sequential:
    """The network of the spec, narrower."""

    def block(i: int, o: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
        conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False)
        return [conv, nn.BatchNorm2d(o), nn.ReLU()]

    return nn.Sequential(
        *block(1, width, 3),
        *block(width, width, 3, 2, width),
        *block(width, 2 * width, 1),
        *block(2 * width, 2 * width, 3, 2, 2 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, 5),
    )


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A network whose BatchNorm layers have seen smooth pictures."""
    torch.manual_seed(0)
    net = depthwise_net()
    for _ in range(30):
        coarse = torch.randn(64, 1, 3, 3)
        net.train()(nn.functional.interpolate(coarse, 8, mode="bicubic"))
    return net.eval()


def make(**settings) -> ZeroQ:
    return ZeroQ(**{"shape": SHAPE, "batch_size": 16, "iterations": 60, "learning_rate": 0.1, **settings})


def mixed(**settings) -> ZeroQ:
    return make(precision="mixed", iterations=20, **settings)


# -- distilled data ----------------------------------------------------------------------------------------


def test_distillation_decreases_the_loss_by_more_than_three_times(network):
    torch.manual_seed(0)
    x, losses = distill(network, SHAPE, batch_size=32, iterations=150, learning_rate=0.1)
    assert x.shape == (32, *SHAPE)
    assert len(losses) == 150
    assert losses[-1] < losses[0] / 3


def test_model_parameters_and_buffers_are_bit_identical_and_modes_are_restored(network):
    model = copy.deepcopy(network)
    model[0].weight.requires_grad_(False)
    model[4].train()
    state = copy.deepcopy(model.state_dict())
    modes = [m.training for m in model.modules()]
    mixed().fit(model=model)
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == [
        False,
        *[True] * (len(list(model.parameters())) - 1),
    ]
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())


def test_a_set_whose_statistics_equal_those_of_batch_norm_has_loss_zero():
    one = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1)).eval()
    nn.init.ones_(one[0].weight)
    x = torch.tensor([-1.0, 1.0, 1.0, -1.0]).reshape(1, 1, 2, 2) * math.sqrt(3 / 4)  # unbiased variance 1
    x = torch.cat([x, -x.flip(2)])
    with bn_inputs(one) as inputs:
        assert distillation_loss(one, x, inputs, "sample", output_of(one)).item() < 1e-10


def test_the_loss_of_identity_statistics_is_the_sum_over_input_and_layers():
    one = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.BatchNorm2d(2)).eval()
    with torch.no_grad():
        one[0].weight.copy_(torch.eye(2)[..., None, None])
    one[1].running_mean.copy_(torch.tensor([0.5, 1.0]))
    one[1].running_var.copy_(torch.tensor([0.04, 0.09]))
    z = torch.arange(16.0).reshape(2, 2, 2, 2) / 10
    with bn_inputs(one) as inputs:
        loss = distillation_loss(one, z, inputs, "sample", output_of(one)).item()
    mean, std = z.flatten(2).numpy().mean(2), z.flatten(2).numpy().std(2, ddof=1)
    of_input = ((mean**2).sum() + ((1 - std) ** 2).sum()) / 2
    assert loss == pytest.approx(0.325 + 0.034233 + of_input, abs=2e-5)


def test_a_fixed_seed_gives_identical_distilled_data(network):
    a, b, c = (make(random_state=s).fit(model=network).distilled_ for s in (3, 3, 4))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_early_stop_ends_as_soon_as_the_loss_is_small(network):
    method = make(early_stop=True, iterations=200).fit(model=network)
    assert len(method.losses_) < 200
    assert method.losses_[-1] <= 5 * 5 < method.losses_[:-1].min(initial=math.inf)


def test_a_distillation_that_diverges_is_a_warning(network, caplog):
    make(iterations=20).fit(model=network)
    assert not caplog.records
    method = make(iterations=5, learning_rate=1e6).fit(model=network)
    assert len(method.losses_) == 5
    assert method.losses_[-1] > method.losses_[0]
    assert "distillation has diverged: the mismatch of statistics went from" in caplog.text


@pytest.mark.parametrize("bits", [1, 9, 16])
def test_bits_are_2_to_8_or_32(bits, network):
    told = r"bits must be (a tuple, each entry )?one of 2, 3, 4, 5, 6, 7, 8, 32; got"
    for method in (ZeroQ, Genie, DFQ):
        hints = get_type_hints(method, include_extras=True)
        for name, value in {"weight_bits": bits, "activation_bits": bits, "bits": (bits, 2)}.items():
            if name in hints:
                with pytest.raises(ValueError, match=told):
                    check(name, value, hints[name])
    fitted = make(iterations=1).fit(model=network)
    with pytest.raises(ValueError, match="weight_bits must be 2 to 8"):
        fitted.quantize(network, weight_bits=bits)


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_fit_works_where_gradients_are_switched_off(network, without):
    expected = make(iterations=3).fit(model=network).distilled_
    with without():
        got = make(iterations=3).fit(model=network).distilled_
        assert not torch.is_grad_enabled()
    assert torch.equal(got, expected)


def test_a_layer_whose_weight_is_used_without_a_call_has_a_sensitivity():
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.attention(x, x, x)[0].mean(1))

    torch.manual_seed(0)
    omega = sensitivity(Attending().eval(), torch.randn(6, 5, 8), (2, 8))
    assert (omega[:, 0] > 1e-6).all()  # the projection of the output is never called as a layer


def test_no_batch_norm_is_a_clear_error():
    plain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"must have BatchNorm.*give a few real pictures \(`pictures` or `target`\)"):
        make().fit(model=plain)
    x = np.random.default_rng(0).normal(size=(4, *SHAPE)).astype(np.float32)
    make().fit(model=plain, target=Domain(x=x, kind="image"))  # a user's pictures need none


def test_the_input_shape_has_to_be_given_where_the_network_tells_none(network):
    with pytest.raises(ValueError, match="shape"):
        ZeroQ().fit(model=network)


def test_a_killed_distillation_resumes_to_identical_bits(network, tmp_path):
    whole = make(iterations=120).fit(model=network).distilled_
    calls = itertools.count()

    class KilledError(Exception):
        pass

    def forward_pre(module, inputs):
        if next(calls) == 80:
            raise KilledError

    with unseen.runtime(folder=tmp_path):
        handle = nn.modules.module.register_module_forward_pre_hook(
            lambda m, i: forward_pre(m, i) if isinstance(m, nn.Sequential) else None
        )
        with pytest.raises(KilledError):
            make(iterations=120).fit(model=network)
        handle.remove()
        again = make(iterations=120).fit(model=network).distilled_
    assert torch.equal(whole, again)


# -- sensitivity and allocation ----------------------------------------------------------------------------


def test_sensitivity_is_not_negative_is_zero_at_32_bits_and_falls_with_bits_on_average(network):
    x = noise(16, SHAPE)
    omega = sensitivity(network, x, (2, 4, 8, FLOAT))
    assert omega.shape == (5, 4)
    assert (omega >= 0).all()
    assert (omega[:, 3] == 0).all()
    assert (np.diff(omega.mean(axis=0)) <= 0).all()


def test_sensitivity_is_kl_with_the_float_network_first(network):
    x = noise(8, SHAPE)
    low = quantize(network, {"3": 2}, FLOAT, x)
    with torch.no_grad():
        p, q = network(x).double().softmax(1), low(x).double().softmax(1)
    by_hand = (p * (p.log() - q.log())).sum(1).mean()
    assert sensitivity(network, x, (2,))[1, 0] == pytest.approx(float(by_hand), rel=1e-4)
    assert float(exact_kl(p.log(), q.log()).mean()) == pytest.approx(float(by_hand), rel=1e-6)


def test_sensitivity_does_not_depend_on_how_many_samples_are_read_at_a_time(network):
    x = noise(10, SHAPE)
    assert np.allclose(sensitivity(network, x, (2, 4)), sensitivity(network, x, (2, 4), size=3), rtol=1e-4)


def test_any_output_function_can_be_watched(network):
    omega = sensitivity(network, noise(4, SHAPE), (2,), output=lambda net, x: net[:3](x).mean((2, 3)))
    assert omega[0] > 0
    assert (omega[1:] == 0).all()  # layers behind what is watched


def test_the_pick_is_the_best_of_all_configurations_within_the_budget(network):
    method = mixed(bits=(2, 4, 8), average_bits=3.0).fit(model=network)
    omega, sizes = method.sensitivity_, method.sizes_
    budget = 3.0 * sizes.sum()
    best = min(
        sum(omega[i, c] for i, c in enumerate(choice))
        for choice in itertools.product(range(3), repeat=len(sizes))
        if sum(sizes[i] * method.bits[c] for i, c in enumerate(choice)) <= budget
    )
    chosen = [method.bits.index(k) for k in method.bits_.values()]
    assert omega[np.arange(len(sizes)), chosen].sum() == pytest.approx(best)


def test_sizes_count_weights_only(network):
    method = mixed().fit(model=network)
    weights = sum(layer.weight.numel() for layer in quantizable(network).values())
    assert method.frontier_["megabytes"][0] == pytest.approx(2 * weights / 8 / 2**20)
    used = sum(method.sizes_ * np.array(list(method.bits_.values())))
    assert method.megabytes_ == pytest.approx(used / MEGABYTE)


def test_choose_takes_the_largest_size_within_a_budget_and_names_one_that_is_too_small(network):
    method = mixed().fit(model=network)
    assert set(method.choose(average_bits=2).values()) == {2}
    assert method.choose(average_bits=100) == method.choose(average_bits=8)
    table = method.frontier_
    middle = len(table["megabytes"]) // 2
    picked = method.choose(budget_mb=float(table["megabytes"][middle]))
    assert list(picked.values()) == table["bits"][middle].tolist()
    with pytest.raises(ValueError, match="too small"):
        method.choose(average_bits=1.9)
    with pytest.raises(ValueError, match="too small"):
        mixed(average_bits=1.0).fit(model=network)
    with pytest.raises(ValueError, match="too small"):  # before anything is distilled: it has no BatchNorm
        mixed(average_bits=1.0).fit(model=nn.Conv2d(1, 2, 3))
    with pytest.raises(ValueError, match="budget"):
        method.choose()
    with pytest.raises(ValueError, match="mixed"):
        make(iterations=1).fit(model=network).choose(average_bits=4)


def test_other_allocations_stay_within_the_budget_and_are_worse_in_sensitivity(network):
    omega = np.array([[8.0, 4.0, 0.0], [0.8, 0.4, 0.0], [0.08, 0.04, 0.0], [80.0, 40.0, 0.0]])
    sizes, bits = np.array([30, 40, 50, 60]), (2, 4, 8)
    budget = 5.0 * sizes.sum()
    table = pareto(omega, sizes, bits)
    best = table.costs[table.within(budget)]

    def total(chosen):
        return omega[np.arange(4), [bits.index(k) for k in chosen]].sum()

    assert allocate_uniform(sizes, bits, budget).tolist() == [4, 4, 4, 4]
    worst = allocate_worst(omega, sizes, bits, budget)
    every = [total(c) for c in itertools.product(bits, repeat=4) if 0.9 * budget <= np.dot(c, sizes)]
    assert total(worst) == max(every)
    for seed in range(5):
        torch.manual_seed(seed)
        chosen = allocate_random(sizes, bits, budget)
        assert 0.8 * budget <= chosen @ sizes <= budget
        assert best <= total(chosen) <= total(worst)
    for allocate in (allocate_uniform, allocate_random):
        with pytest.raises(ValueError, match="too small"):
            allocate(sizes, bits, 1.9 * sizes.sum())


@pytest.mark.parametrize("allocation", ["pareto", "uniform", "random", "reverse"])
def test_every_allocation_gives_each_layer_one_of_the_bits(network, allocation):
    method = mixed(allocation=allocation).fit(model=network)
    assert set(method.bits_) == set(method.layers_)
    assert set(method.bits_.values()) <= {2, 4, 8}


# -- the quantized network ---------------------------------------------------------------------------------


def test_32_bits_give_outputs_identical_to_float(network):
    method = make(weight_bits=32, activation_bits=32, iterations=1).fit(model=network)
    x = torch.randn(8, *SHAPE)
    with torch.no_grad():
        assert torch.equal(method.decision_function(x), network(x))


def test_more_bits_come_closer_to_float(network):
    x = torch.randn(64, *SHAPE)
    with torch.no_grad():
        expected = network(x)
    errors = [
        float((make(weight_bits=k, activation_bits=k).fit(model=network).decision_function(x) - expected).abs().mean())
        for k in (2, 4, 8)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_layers_are_addressed_by_name_and_excluded_layers_stay_float(network):
    method = make(exclude=("0", "14"), iterations=2).fit(model=network)
    inner = method.network().network
    assert set(method.bits_) == {"3", "6", "9"}
    assert torch.equal(inner.get_submodule("14").weight, network.get_submodule("14").weight)
    other = method.quantize(network, weight_bits={"6": 3}, activation_bits=FLOAT)
    assert other.weight_bits == {"6": 3}
    assert torch.equal(other.network.get_submodule("3").weight, network.get_submodule("3").weight)
    assert set(method.quantize(network, weight_bits=4).weight_bits.values()) == {4}


def test_pictures_of_the_user_set_the_ranges_and_are_not_kept(network):
    x = np.random.default_rng(0).normal(size=(12, *SHAPE)).astype(np.float32)
    method = make().fit(model=network, target=Domain(x=x, kind="image"))
    with torch.no_grad():
        reached = float(network[:3](torch.as_tensor(x)).max())
    assert float(method.network().activations[0].high) == pytest.approx(reached, rel=0.05)
    assert not any(isinstance(value, torch.Tensor) for value in method.fitted.values())
    with pytest.raises(ValueError, match="calibration"):
        method.quantize(network, weight_bits=4)


def test_noise_can_take_the_place_of_distilled_data(network):
    method = make(data="gaussian").fit(model=network)
    assert "distilled_" not in method.fitted


def test_saved_and_loaded_it_gives_the_same_bits(network, tmp_path):
    method = mixed().fit(model=network)
    method.save(tmp_path / "m")
    again = ZeroQ.load(tmp_path / "m")
    x = torch.randn(9, *SHAPE)
    assert torch.equal(again.decision_function(x), method.decision_function(x))
    assert again.choose(average_bits=3) == method.choose(average_bits=3)
    anew = [m.quantize(network, weight_bits=4)(x) for m in (again, method)]  # on what was distilled
    assert torch.equal(*anew)


@pytest.mark.parametrize(
    "settings",
    [{"weight_bits": 17}, {"bits": (2, 0)}, {"shape": (3, 8)}, {"learning_rate": 0.0}, {"init": "zeros"}],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises((ValueError, TypeError)):
        ZeroQ(**settings)


def test_repeated_bits_unknown_layers_and_a_budget_of_uniform_precision_are_refused(network):
    with pytest.raises(ValueError, match="bits"):
        make(bits=(4, 4)).fit(model=network)
    with pytest.raises(ValueError, match="exclude"):
        make(exclude=("conv9",)).fit(model=network)
    with pytest.raises(ValueError, match="mixed"):
        make(budget_mb=1.0).fit(model=network)


# -- real architectures ------------------------------------------------------------------------------------


def test_a_timm_network_is_quantized_saved_and_loaded(tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=7).eval()
    method = ZeroQ(shape=(3, 32, 32), batch_size=4, iterations=2).fit(model=network)
    assert len(method.bits_) == 50
    assert len(method.network().activations) == 33
    method.save(tmp_path / "m")
    x = torch.randn(3, 3, 32, 32)
    assert torch.equal(ZeroQ.load(tmp_path / "m").decision_function(x), method.decision_function(x))


def detector() -> RetinaNet:
    """RetinaNet on ResNet-18 whose frozen BatchNorm layers remember something."""
    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=5)
    anchors = AnchorGenerator(((16,),) * 5, ((1.0,),) * 5)
    network = RetinaNet(backbone, 4, min_size=32, max_size=32, anchor_generator=anchors).eval()
    for bn in network.modules():
        if isinstance(bn, FrozenBatchNorm2d):
            bn.running_mean.normal_(0, 0.2)
            bn.running_var.uniform_(0.5, 1.5)
    return network


def test_retinanet_with_frozen_batch_norm_is_distilled_and_quantized_and_still_finds_boxes():
    network = detector()
    state = copy.deepcopy(network.state_dict())
    method = ZeroQ(shape=(3, 32, 32), batch_size=2, iterations=4, learning_rate=0.1).fit(model=network)
    assert sum(isinstance(m, FrozenBatchNorm2d) for m in network.modules()) == 20
    assert method.losses_[-1] < method.losses_[0]
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    with torch.no_grad():
        found = method.network()([torch.rand(3, 32, 32), torch.rand(3, 32, 32)])
    assert len(found) == 2
    assert set(found[0]) == {"boxes", "scores", "labels"}
    with pytest.raises(TypeError, match="boxes"):
        method.predict(torch.randn(1, 3, 32, 32))


@pytest.mark.slow
def test_sensitivity_of_retinanet_watches_its_classes():
    network = detector()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert retinanet_logits(network, x).shape[2:] == (4, 2)
    omega = sensitivity(network, x, (4, 8))
    boxes = ["regression" in name for name in quantizable(network)]
    assert (omega[boxes] == 0).all()
    assert (omega[~np.array(boxes)][:, 0] > 0).all()
    assert omega[:, 0].sum() > omega[:, 1].sum()


# -- a sweep -----------------------------------------------------------------------------------------------

SWEEP = (
    "densenet121", "efficientnet_b0", "googlenet", "mnasnet0_5", "mobilenet_v3_small", "regnet_x_400mf", "resnet18",
    "shufflenet_v2_x0_5",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEP)
def test_classifiers_of_torchvision_at_8_bits_stay_near_themselves(name):
    torch.manual_seed(0)
    network = classifier(f"torchvision:{name}?pretrained=0&size=64").logits()
    for module in network.modules():
        if hasattr(module, "momentum"):
            module.momentum = None  # BatchNorm then remembers the mean of all it has seen
            module.reset_running_stats()
    with torch.no_grad():
        for x in torch.randn(3, 24, 3, 64, 64):
            network.train()(x)
    network.eval()
    method = ZeroQ(shape=(3, 64, 64), batch_size=8, iterations=5, learning_rate=0.01).fit(model=network)
    assert method.losses_[-1] < method.losses_[0]
    x = torch.randn(8, 3, 64, 64)
    with torch.no_grad():
        exact = network(x)
    low = outputs(method.quantize(network, weight_bits=2), x)
    far, near = (
        float(nn.functional.cosine_similarity(got, exact).mean()) for got in (low, method.decision_function(x))
    )
    assert near > 0.9  # random weights amplify what rounding changes more than trained ones
    assert near > far
