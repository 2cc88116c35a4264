"""Statistics of BatchNorm layers, and the loss that compares others with them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from unseen.nn.bn_statistics import batch_norms, bn_inputs, bns_loss, moment_loss, moments

Z = torch.tensor(
    [
        [[[0.0, 0.1], [0.2, 0.3]], [[0.4, 0.5], [0.6, 0.7]]],
        [[[0.8, 0.9], [1.0, 1.1]], [[1.2, 1.3], [1.4, 1.5]]],
    ]
)
MEAN, STD = torch.tensor([0.5, 1.0]), torch.tensor([0.04, 0.09]).sqrt()


def test_closed_form_of_one_layer_per_sample():
    m, s = moments(Z)
    assert torch.allclose((MEAN - m).square().sum() / 2, torch.tensor(0.325), atol=1e-6)
    assert torch.allclose((STD - s).square().sum() / 2, torch.tensor(0.034233), atol=1e-6)
    assert torch.allclose(moment_loss(Z, MEAN, STD), torch.tensor(0.325 + 0.034233), atol=2e-6)


def test_closed_form_of_one_layer_per_batch_differs():
    m, s = moments(Z, "batch")
    assert m.shape == (1, 2)
    assert torch.allclose((MEAN - m).square().sum() / 2, torch.tensor(0.0025), atol=1e-6)
    assert torch.allclose((STD - s).square().sum() / 2, torch.tensor(0.0401), atol=1e-4)


def test_one_position_falls_back_to_the_batch_and_gives_no_nan():
    z = torch.tensor([[1.0], [3.0]])
    m, s = moments(z)
    assert m.tolist() == [[2.0]]
    assert torch.allclose(s, torch.tensor([[2.0]]).sqrt(), atol=1e-5)
    m, s = moments(z[:1, :, None, None])
    assert torch.isfinite(m).all()
    assert torch.isfinite(s).all()


def test_frozen_batch_norm_counts_and_instance_norm_does_not():
    network = nn.Sequential(
        FrozenBatchNorm2d(2),
        nn.BatchNorm1d(2),
        nn.InstanceNorm2d(2, track_running_stats=True),
        nn.LayerNorm(2),
    )
    assert list(batch_norms(network)) == ["0", "1"]
    assert not batch_norms(nn.BatchNorm2d(2, track_running_stats=False))


def test_hooks_are_gone_even_after_an_error():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).eval()
    with bn_inputs(network) as seen:
        network(torch.ones(2, 1, 3, 3))
    assert len(seen) == 1
    with pytest.raises(RuntimeError), bn_inputs(network):
        network(torch.ones(2, 5, 3, 3))
    assert not network[1]._forward_pre_hooks


def test_the_input_of_each_batch_norm_is_read_and_not_its_neighbours_in_definition_order():
    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.plain = nn.Conv2d(1, 3, 1)  # a convolution without BatchNorm, defined first
            self.conv, self.bn = nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.bn(self.conv(self.plain(x)))

    network, x = Crossed().eval(), torch.randn(2, 1, 4, 4)
    with bn_inputs(network) as seen:
        network(x)
    (layer, z), *rest = seen
    assert layer is network.bn
    assert not rest
    assert torch.equal(z, network.conv(network.plain(x)))
    assert torch.isclose(bns_loss(seen), moment_loss(z, torch.zeros(2), torch.ones(2)), atol=1e-5)


def test_a_network_without_batch_norm_is_refused():
    with pytest.raises(ValueError, match="BatchNorm"), bn_inputs(nn.Linear(2, 2)):
        pass
