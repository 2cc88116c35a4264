"""Node-wise statistics, against definitions written down once more."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from unseen.nn.zero_cost import PROXIES, nodewise_statistics, parametric_layers


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3, bias=False),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5, bias=False),
    )  # fmt: skip


def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(12, 1, 6, 6), torch.randint(0, 5, (12,))


def gradients(net: nn.Module) -> dict[str, Tensor]:
    x, y = batch()
    net = copy.deepcopy(net).train()
    layers = parametric_layers(net)
    weights = [layer.weight for layer in layers.values()]
    return dict(zip(layers, torch.autograd.grad(F.cross_entropy(net(x), y), weights)))  # type: ignore[arg-type]


def test_nodes_are_convolutions_and_linear_maps_in_order() -> None:
    assert list(parametric_layers(network())) == ["0", "3", "7"]


def test_sums_over_nodes_are_the_usual_global_proxies() -> None:
    net, g = network(), gradients(network())
    found = nodewise_statistics(net, *batch(), proxies=("grad_norm", "snip", "plain", "l2_norm"))
    weights = {name: layer.weight.detach() for name, layer in parametric_layers(net).items()}
    everything = torch.cat([one.flatten() for one in g.values()])
    w = torch.cat([one.flatten() for one in weights.values()])
    assert found["snip"].sum().item() == pytest.approx((everything * w).abs().sum().item(), rel=1e-5)
    assert found["grad_norm"].square().sum().item() == pytest.approx(everything.square().sum().item(), rel=1e-5)
    assert found["plain"].sum().item() == pytest.approx((everything * w).sum().item(), rel=1e-3, abs=1e-6)
    assert found["l2_norm"].square().sum().item() == pytest.approx(w.square().sum().item(), rel=1e-5)


def test_snip_is_the_gradient_of_a_mask_of_ones() -> None:
    net, (x, y) = network(), batch()
    mask = torch.ones_like(net[3].weight, requires_grad=True)
    changed = copy.deepcopy(net).train()
    z = F.conv2d(changed[:3](x), changed[3].weight * mask)
    (grad,) = torch.autograd.grad(F.cross_entropy(changed[4:](z), y), mask)
    found = nodewise_statistics(net, x, y, ("snip",))["snip"][1]
    assert found.item() == pytest.approx(grad.abs().sum().item(), rel=1e-5)


def test_fisher_is_half_the_squared_gradient_of_a_gate_on_each_channel_and_sample() -> None:
    net, (x, y) = network(), batch()
    changed = copy.deepcopy(net).train()
    z = changed[:4](x)
    gates = torch.ones(len(x), z.shape[1], requires_grad=True)
    (grad,) = torch.autograd.grad(F.cross_entropy(changed[4:](z * gates[:, :, None, None]), y), gates)
    found = nodewise_statistics(net, x, y, ("fisher",))["fisher"][1]
    assert found.item() == pytest.approx(grad.square().mean(dim=0).sum().item() / 2, rel=1e-5)


def test_grasp_is_minus_the_hessian_times_gradient_times_weight() -> None:
    torch.manual_seed(2)
    net, x, y = nn.Sequential(nn.Linear(3, 2, bias=False)).double(), torch.randn(8, 3).double(), torch.arange(8) % 2
    w = net[0].weight.detach()
    loss = lambda flat: F.cross_entropy(x @ flat.view(2, 3).T, y)
    hessian = torch.autograd.functional.hessian(loss, w.flatten())
    gradient = torch.autograd.functional.jacobian(loss, w.flatten())
    found = nodewise_statistics(net, x, y, ("grasp",))["grasp"]
    assert found[0].item() == pytest.approx((-(hessian @ gradient) * w.flatten()).sum().item(), rel=1e-4)


def test_synflow_is_the_path_sum_of_absolute_weights() -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False))
    total = (net[2].weight.abs() @ net[0].weight.abs()).sum().item()
    found = nodewise_statistics(net, torch.randn(5, 3), torch.zeros(5, dtype=torch.long), ("synflow",))["synflow"]
    assert found.tolist() == pytest.approx([total, total], rel=1e-6)  # each layer cuts all paths


def chain(layers: int, width: int = 3) -> nn.Sequential:
    """A deep network of plain linear maps, whose weights are 20 in the mean."""
    torch.manual_seed(4)
    maps = [nn.Linear(width, width, bias=False) for _ in range(layers)]
    for one in maps:
        nn.init.normal_(one.weight, 20.0, 5.0)
    return nn.Sequential(*(part for one in maps for part in (one, nn.ReLU())))


def test_synflow_beyond_single_precision_is_the_path_sum_in_logarithms() -> None:
    """60 layers: some 1e107. The naive sum over paths is in logarithms, where nothing exceeds anything."""
    net, y = chain(60), torch.zeros(2, dtype=torch.long)
    log_flow = np.zeros(3)  # of an input of ones
    for layer in parametric_layers(net).values():
        logs = layer.weight.detach().double().abs().log().numpy()  # type: ignore[operator,union-attr]
        log_flow = np.logaddexp.reduce(logs + log_flow, axis=1)
    expected = np.logaddexp.reduce(log_flow)
    found = nodewise_statistics(net, torch.randn(2, 3), y, ("synflow",))["synflow"]
    assert expected > np.log(np.finfo(np.float32).max)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.log(), np.full(60, expected), rtol=1e-12)  # each layer cuts all paths


def test_synflow_of_an_untrained_resnet_is_finite_and_not_zero_at_every_node() -> None:
    torch.manual_seed(0)
    net, y = torchvision.models.resnet50(weights=None), torch.zeros(2, dtype=torch.long)
    found = nodewise_statistics(net, torch.randn(2, 3, 32, 32), y, ("synflow",))["synflow"]
    assert len(found) == 54
    assert torch.isfinite(found).all()
    assert (found > np.finfo(np.float32).max).all()
    wider = copy.deepcopy(net)
    with torch.no_grad():
        wider.layer2[0].conv1.weight.mul_(1 + 1e-6)
    other = nodewise_statistics(wider, torch.randn(2, 3, 32, 32), y, ("synflow",))["synflow"]
    assert other.sum() > found.sum()  # networks that hardly differ are told apart


def test_a_statistic_that_is_not_finite_is_told_with_its_node() -> None:
    net, y = chain(400), torch.zeros(2, dtype=torch.long)
    with pytest.raises(
        ValueError, match="synflow is not finite at 400 of 400 nodes, such as '0': it exceeds what doub"
    ):
        nodewise_statistics(net, torch.randn(2, 3), y, ("synflow",))
    assert torch.isfinite(nodewise_statistics(net, torch.randn(2, 3), y, ("l2_norm",))["l2_norm"]).all()
    with pytest.raises(ValueError, match="snip is not finite at 3 of 3 nodes"):
        nodewise_statistics(network(), torch.full((12, 1, 6, 6), torch.nan), batch()[1], ("l2_norm", "snip"))


def test_synflow_does_not_see_the_data() -> None:
    x, y = batch()
    one = nodewise_statistics(network(), x, y, ("synflow",))["synflow"]
    other = nodewise_statistics(network(), 100 * torch.randn_like(x), y.flip(0), ("synflow",))["synflow"]
    assert torch.equal(one, other)


@settings(deadline=None, max_examples=15)
@given(st.floats(0.1, 10), st.sampled_from(["0", "3", "7"]))
def test_scaling_one_layer_scales_the_synflow_of_every_node(factor: float, layer: str) -> None:
    net, (x, y) = network(), batch()
    before = nodewise_statistics(net, x, y, ("synflow",))["synflow"]
    with torch.no_grad():
        net.get_submodule(layer).weight.mul_(factor)  # type: ignore[operator,union-attr]
    after = nodewise_statistics(net, x, y, ("synflow",))["synflow"]
    np.testing.assert_allclose(after, factor * before, rtol=1e-4)


def test_the_network_stays_as_it_was_to_the_bit() -> None:
    net = network().eval()
    net[0].weight.requires_grad_(False)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    nodewise_statistics(net, *batch(), proxies=PROXIES)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert not net.training
    assert not net[0].weight.requires_grad
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


def test_means_are_sums_over_the_size_of_a_node() -> None:
    net = network()
    sizes = torch.tensor([float(layer.weight.numel()) for layer in parametric_layers(net).values()])
    for proxy in ("snip", "synflow"):
        sums = nodewise_statistics(net, *batch(), proxies=(proxy,))[proxy]
        means = nodewise_statistics(net, *batch(), proxies=(proxy,), reduce="mean")[proxy]
        np.testing.assert_allclose(means * sizes, sums, rtol=1e-4)


def test_absent_nodes_are_zero_at_their_slot() -> None:
    slots = ("0", "absent", "3", "7", "last")
    found = nodewise_statistics(network(), *batch(), nodes=slots)
    plain = nodewise_statistics(network(), *batch())
    for proxy, values in found.items():
        assert values[[1, 4]].tolist() == [0, 0]
        assert torch.equal(values[[0, 2, 3]], plain[proxy])


def test_bad_requests_are_named() -> None:
    with pytest.raises(ValueError, match="magic"):
        nodewise_statistics(network(), *batch(), proxies=("magic",))
    with pytest.raises(ValueError, match="nodes 3, 7, which nodes does not name"):
        nodewise_statistics(network(), *batch(), nodes=("0",))
    with pytest.raises(ValueError, match="no Conv or Linear"):
        nodewise_statistics(nn.Flatten(), *batch())
    with pytest.raises(ValueError, match="reduce"):
        nodewise_statistics(network(), *batch(), reduce="max")
