"""Means of weights, lines between them, and how far they moved."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unseen.nn.weight_space import Anchor, UniformAverage, interpolated, weights_of


def one_weight(value: float) -> nn.Linear:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


def test_start_10_and_snapshots_1_to_4_average_to_5_5_4_333_4_and_4() -> None:
    network = one_weight(10)
    average, found = UniformAverage(network), []
    for value in (1, 2, 3, 4):
        nn.init.constant_(network.weight, value)
        average.merge(network)
        copy = one_weight(0)
        average.copy_to(copy)
        found.append(copy.weight.item())
    assert found == pytest.approx([5.5, 13 / 3, 4.0, 4.0])
    assert network.weight.item() == 4  # the mean never changes what trains


def test_a_mean_has_the_statistics_of_batch_norm_and_not_its_counts() -> None:
    network = nn.BatchNorm1d(2)
    average = UniformAverage(network)
    network.running_mean.fill_(2.0)
    network.num_batches_tracked.fill_(7)
    average.merge(network)
    copy = nn.BatchNorm1d(2)
    average.copy_to(copy)
    assert copy.running_mean.tolist() == [1.0, 1.0]
    assert int(copy.num_batches_tracked) == 0


@pytest.mark.parametrize("width", [3, 6])
def test_the_distance_from_an_anchor_is_a_sum_so_that_twice_the_width_doubles_it(width: int) -> None:
    network = nn.Linear(width, 5, bias=False)
    anchor = Anchor(network, ["weight"])
    assert float(anchor(network)) == 0
    with torch.no_grad():
        network.weight += 0.5
    assert float(anchor(network)) == pytest.approx(width * 5 * 0.25)


def test_the_line_between_weights_ends_bit_for_bit_in_both() -> None:
    a, b = ({"w": torch.randn(50), "n": torch.tensor(n)} for n in (1, 2))
    assert torch.equal(interpolated(a, b, 0.0)["w"], a["w"])
    assert torch.equal(interpolated(a, b, 1.0)["w"], b["w"])
    torch.testing.assert_close(interpolated(a, b, 0.8)["w"], 0.2 * a["w"] + 0.8 * b["w"])
    assert int(interpolated(a, b, 0.0)["n"]) == 2


def test_weights_are_copied() -> None:
    network = one_weight(1)
    kept = weights_of(network)
    nn.init.constant_(network.weight, 5)
    assert kept["weight"].item() == 1
