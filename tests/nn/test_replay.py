"""A network run from a layer on: the same bits as the whole of it, whatever the code of the network does."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from unseen.nn.replay import from_each_layer


class Winding(nn.Module):
    """Shortcuts, in-place functions, views, a layer used twice, a course that depends on the input."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.shared = nn.Conv2d(8, 8, 3, padding=1)
        self.side = nn.Conv2d(8, 8, 1)
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem(x)
        first, second = y.chunk(2, dim=1)
        first.mul_(0.5)  # a view of y
        shortcut = self.side(y)
        y = self.shared(torch.relu_(y))
        if y.mean() > 0:
            y = y + second.repeat(1, 2, 1, 1)
        y += shortcut
        y = self.shared(y.relu_())
        return self.head(y.flatten(2).mean(dim=2))


def layers_of(network: nn.Module) -> dict[str, nn.Module]:
    return {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


@torch.no_grad()
@pytest.mark.parametrize("shift", [-3.0, 3.0])
def test_a_suffix_gives_the_bits_of_the_whole_network_with_the_changed_layer(shift):
    torch.manual_seed(0)
    network = Winding().eval()
    network.shared.bias += shift
    x, layers, seen = torch.randn(4, 3, 6, 6), layers_of(network), []
    reference = network(x)

    def visit(name, suffix):
        weight = layers[name].weight.data
        assert torch.equal(suffix(), reference)
        for scale in (0.5, 2.0):
            layers[name].weight.data = weight * scale
            assert torch.equal(suffix(), network(x))
            changed = shift > 0 and name != "unused"  # below 0 the shortcut's rectifier is dead
            assert not changed or not torch.equal(suffix(), reference)
        layers[name].weight.data = weight
        seen.append(name)

    from_each_layer(layers, lambda: network(x), visit)
    assert seen == ["stem", "side", "shared", "head", "unused"]  # once each, in the order of calls; one is never called
    assert torch.equal(network(x), reference)
    assert not any(module._forward_pre_hooks for module in network.modules())


@torch.no_grad()
def test_what_precedes_a_layer_is_not_computed_again():
    class Counter(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.calls += func is torch.ops.aten.convolution.default
            return func(*args, **(kwargs or {}))

    network = nn.Sequential(*(nn.Conv2d(2, 2, 3, padding=1) for _ in range(6)))
    x, layers, computed = torch.randn(2, 2, 8, 8), layers_of(network), []

    def visit(name, suffix):
        with Counter() as counter:
            suffix()
        computed.append(counter.calls)

    from_each_layer(layers, lambda: network(x), visit)
    assert computed == [6, 5, 4, 3, 2, 1]


@torch.no_grad()
def test_a_network_that_takes_another_way_the_second_time_is_computed_whole():
    class Alternating(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.calls = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            x = self.first(x)
            return self.second(x.tanh() if self.calls % 2 else x.sigmoid())

    network, found = Alternating().eval(), {}
    x = torch.randn(1, 1, 2, 2)
    from_each_layer({"second": network.second}, lambda: network(x), lambda name, suffix: found.update({name: suffix()}))
    network.calls = 2
    assert torch.equal(found["second"], network(x))


@torch.no_grad()
def test_an_error_of_the_network_leaves_no_hooks():
    network = nn.Sequential(nn.Conv2d(1, 1, 1))
    with pytest.raises(RuntimeError):
        from_each_layer({"0": network[0]}, lambda: network(torch.zeros(1, 3, 2, 2)), lambda name, suffix: None)
    assert not network[0]._forward_pre_hooks


def test_a_network_that_asks_for_a_shape_as_a_property_is_replayed():
    class Shaped(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.second(self.first(x).reshape(x.shape[0], -1))

    class Counter(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.calls += func is torch.ops.aten.addmm.default
            return func(*args, **(kwargs or {}))

    net, computed = Shaped(), []

    def visit(name, suffix):
        with Counter() as counter:
            suffix()
        computed.append(counter.calls)

    from_each_layer({"second": net.second}, lambda: net(torch.ones(3, 4)), visit)
    assert computed == [1]
