"""DFQ: each of its steps leaves the function of the network as it was, until it is quantized."""

from __future__ import annotations

import copy
import operator

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from unseen.methods.baselines._graph import is_homogeneous, trace
from unseen.methods.baselines.dfq import (
    DFQ,
    Moments,
    absorb,
    equalize,
    fold_batch_norms,
    folded_moments,
    mean_output,
    neighbours,
    propagate,
    through,
)
from unseen.nn.build import builder
from unseen.nn.quantizers import count_activations, quantizable


@builder("test-dfq-net")
def net(activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), activation()),
        *(nn.Conv2d(6, 6, 3, groups=6), nn.BatchNorm2d(6), activation()),
        *(nn.Conv2d(6, 8, 1), nn.BatchNorm2d(8), activation()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3, bias=False)),
    )


class Residual(nn.Module):
    """A sum before a functional activation, and a BatchNorm that no layer comes before."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.bn_a = nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4)
        self.b, self.bn_b = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.last, self.fc = nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.bn_a(self.a(x))
        x = F.relu(a + self.bn_b(self.b(torch.relu(a))))
        return self.fc(F.silu(self.last(x)).mean((2, 3)))


def trained(network: nn.Module) -> nn.Module:
    """Batch norm with statistics and weights of its own."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.2, 2.0)
            nn.init.normal_(module.bias)
    for _ in range(10):
        network.train()(torch.randn(32, 2, 9, 9))
    return network.eval().requires_grad_(False)


X = torch.randn(16, 2, 9, 9, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("make", [net, Residual])
def test_folding_leaves_outputs_as_they_were(make):
    network = trained(make())
    before = copy.deepcopy(network.state_dict())
    folded = fold_batch_norms(network)
    assert torch.allclose(folded(X), network(X), atol=1e-5)
    kept = [name for name, m in folded.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert kept == (["last"] if make is Residual else [])
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_the_moments_of_a_folded_layer_are_those_of_its_output_in_training():
    network = trained(net())
    mean, std = folded_moments(network)["0"]
    assert torch.equal(mean, network[1].bias)
    assert torch.equal(std, network[1].weight.abs())


def test_equalization_leaves_outputs_as_they_were_and_gives_both_layers_one_range():
    network = trained(net())
    folded, remembered = fold_batch_norms(network), folded_moments(network)
    graph = trace(folded)
    pairs = list(neighbours(graph, folded))
    assert [pair.first_name for pair in pairs] == ["0", "3"]  # the pool ends the chain
    for _ in range(50):
        for pair in pairs:
            equalize(pair, remembered)
    assert torch.allclose(folded(X), network(X), atol=1e-5)
    first, second, third = (folded[i].weight for i in (0, 3, 6))
    ranges = [first.abs().flatten(1).amax(1), second.abs().flatten(1).amax(1), third.abs().amax((0, 2, 3))]
    assert torch.allclose(ranges[0], ranges[1], rtol=1e-3)
    assert torch.allclose(ranges[1], ranges[2], rtol=1e-3)
    assert torch.allclose(remembered["0"].mean / remembered["0"].std, network[1].bias / network[1].weight, atol=1e-5)


def test_absorbing_a_bias_that_never_falls_below_zero_leaves_outputs_as_they_were():
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, 1)).requires_grad_(False)
    network[0].bias.fill_(50.0)
    remembered = {"0": Moments(torch.full((3,), 50.0), torch.full((3,), 2.0))}
    expected = network(X)
    (pair,) = neighbours(trace(network), network)
    absorb(pair, remembered)
    assert torch.allclose(network[0].bias, torch.full((3,), 6.0))
    assert torch.allclose(network(X), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("function", "holds"),
    [
        (nn.ReLU(), True),
        (nn.LeakyReLU(), True),
        (nn.Identity(), True),
        (nn.ReLU6(), False),
        (nn.SiLU(), False),
    ],
)
def test_only_homogeneous_functions_let_a_scale_through(function, holds):
    assert is_homogeneous(function) is holds


def test_relu6_is_replaced_on_request_only():
    network = trained(net(nn.ReLU6))
    assert not list(neighbours(trace(fold_batch_norms(network)), fold_batch_norms(network)))
    folded = fold_batch_norms(network, replace_relu6=True)
    assert len(list(neighbours(trace(folded), folded))) == 2


def test_by_default_relu6_stays_and_a_network_that_reaches_6_survives():
    network = trained(net(nn.ReLU6))
    for i in (1, 4, 7):
        network[i].weight.mul_(6)  # one value in ten would pass 6
    near, far = (
        (DFQ(**settings).fit(model=network).decision_function(X) - network(X)).abs().mean() / network(X).std()
        for settings in ({}, DFQ.card.presets["paper"])
    )
    assert near < 0.1 < far


def test_moments_behind_relu_are_those_of_the_clipped_normal():
    mean, std = torch.tensor([0.3, -1.0]), torch.tensor([1.5, 0.7])
    after, (low, high) = through(nn.ReLU(), Moments(mean, std), 6.0)
    normal = torch.distributions.Normal(0.0, 1.0)
    z = mean / std
    expected = std * normal.log_prob(z).exp() + mean * normal.cdf(z)
    square = (mean**2 + std**2) * normal.cdf(z) + mean * std * normal.log_prob(z).exp()
    assert torch.allclose(after.mean, expected, atol=1e-3)
    assert torch.allclose(after.std, (square - expected**2).sqrt(), atol=1e-3)
    assert float(low) == 0
    assert float(high) == pytest.approx(0.3 + 6 * 1.5, rel=1e-5)


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(4, 6, 3), nn.Conv2d(4, 8, 3, groups=2), nn.Conv2d(4, 4, 3, groups=4), nn.Linear(4, 5)]
)
def test_the_mean_output_is_what_the_layer_makes_of_constant_channels(layer):
    mean = torch.randn(4)
    x = mean if isinstance(layer, nn.Linear) else mean[None, :, None, None].expand(1, 4, 3, 3)
    expected = layer(x).flatten() - layer.bias
    assert torch.allclose(mean_output(layer.weight, mean, layer), expected, atol=1e-5)


def test_a_bias_is_corrected_by_the_mean_error_of_its_layer():
    network = trained(net())
    plain = DFQ(weight_bits=3, activation_bits=32, correction=False, absorption=False).fit(model=network)
    corrected = DFQ(weight_bits=3, activation_bits=32, absorption=False).fit(model=network)
    x = torch.randn(256, 2, 9, 9)
    errors = [(q.network()(x) - network(x)).mean(0).norm() for q in (plain, corrected)]
    assert errors[1] < errors[0]


@pytest.mark.parametrize(
    "make",
    [
        net,
        Residual,
        lambda: timm.create_model("resnet10t", pretrained=False, in_chans=2),
        lambda: timm.create_model("mobilenetv3_small_050", pretrained=False, in_chans=2),
        lambda: torchvision.models.resnet18(weights=None),
    ],
)
def test_every_activation_of_the_graph_is_one_that_is_computed(make):
    network = make().eval()
    folded = fold_batch_norms(network)
    _, ranges = propagate(trace(folded), folded, folded_moments(network), 6.0)
    x = torch.randn(1, next(iter(quantizable(network).values())).weight.shape[1], 64, 64)
    assert len(ranges) == count_activations(operator.call, folded, x)
    assert sum(found is not None for found in ranges) >= 0.6 * len(ranges)  # squeeze-and-excite has no BatchNorm


class Slopes(nn.Module):
    """PReLU as a module, with a slope for each channel, and as a function, whose slopes a graph does not hold."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.bn_a, self.act = nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.PReLU(6, init=0.1)
        self.b, self.bn_b, self.slope = nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6), nn.Parameter(torch.tensor([0.2]))
        self.c, self.bn_c, self.fc = nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.bn_a(self.a(x)))
        x = nn.functional.prelu(self.bn_b(self.b(x)), self.slope)
        return self.fc(nn.functional.selu(self.bn_c(self.c(x))).mean((2, 3)))


def test_learnt_slopes_keep_their_place_among_the_activations():
    network = trained(Slopes())
    folded, x = fold_batch_norms(network), torch.randn(8, 2, 9, 9)
    _, ranges = propagate(trace(folded), folded, folded_moments(network), 6.0)
    assert [found is not None for found in ranges] == [True, False, True]
    assert len(ranges) == count_activations(operator.call, folded, x)
    assert torch.allclose(DFQ().fit(model=network).network()(x), network(x), atol=0.2)


def test_a_sum_is_taken_as_independent():
    network = trained(Residual())
    folded, remembered = fold_batch_norms(network), folded_moments(network)
    means, ranges = propagate(trace(folded), folded, remembered, 6.0)
    (mean_a, std_a), (mean_b, std_b) = remembered["a"], remembered["b"]
    high = (mean_a + mean_b + 6 * torch.hypot(std_a, std_b)).max()
    assert float(ranges[1][1]) == pytest.approx(float(high), rel=1e-5)
    assert set(means) == {"b", "fc"}


def test_equalization_rescues_weights_of_very_different_ranges():
    network = trained(net())
    s = torch.logspace(-2, 2, 6)  # the same function, written badly
    network[1].weight.mul_(s)
    network[1].bias.mul_(s)
    network[3].weight.div_(s[:, None, None, None])
    x = torch.randn(64, 2, 9, 9)
    errors = [
        (made.fit(model=network).decision_function(x) - network(x)).abs().mean()
        for made in (DFQ(activation_bits=32, granularity="tensor", equalization=e) for e in (False, True))
    ]
    assert errors[1] < errors[0] / 3


@pytest.mark.parametrize("bits", [(8, 8), (6, 8), (32, 32)])
def test_it_stays_close_to_float(bits):
    network = trained(net())
    method = DFQ(weight_bits=bits[0], activation_bits=bits[1], absorption=bits[0] < 32).fit(model=network)
    error = (method.decision_function(X) - network(X)).abs().mean() / network(X).std()
    assert error < {8: 0.1, 6: 0.3, 32: 1e-4}[bits[0]]


def test_saved_and_loaded_it_gives_the_same_bits(tmp_path):
    network = trained(timm.create_model("resnet10t", pretrained=False, in_chans=2, num_classes=5))
    method = DFQ().fit(model=network)
    method.save(tmp_path / "m")
    assert torch.equal(DFQ.load(tmp_path / "m").decision_function(X), method.decision_function(X))


def test_networks_that_it_cannot_read_are_refused():
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.bn(self.conv(x)) if x.sum() > 0 else x

    with pytest.raises(ValueError, match="traceable"):
        DFQ().fit(model=Branch())
    with pytest.raises(ValueError, match="BatchNorm"):
        DFQ().fit(model=nn.Linear(2, 2))
