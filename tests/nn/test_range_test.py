"""The learning rate range test."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from unseen.nn.range_test import range_test, steepest_rate


def test_the_steepest_fall_before_the_minimum_is_chosen() -> None:
    rates = torch.logspace(-5, 0, 6)
    losses = torch.tensor([10.0, 10.0, 10.0, 1.0, 0.9, 50.0])
    assert steepest_rate(rates, losses, smooth=0.0) == rates[3]


def test_the_first_steps_can_be_skipped() -> None:
    rates, losses = torch.logspace(-5, 0, 6), torch.tensor([50.0, 10.0, 9.5, 9.0, 1.0, 50.0])
    assert steepest_rate(rates, losses, smooth=0.0) == rates[1]
    assert steepest_rate(rates, losses, smooth=0.0, skip=1) == rates[4]
    assert steepest_rate(rates[:2], losses[:2], smooth=0.0, skip=5) == rates[1]


def test_groups_have_rates_that_rise_alike() -> None:
    network, seen = nn.Linear(3, 1), []

    def groups(trial: nn.Module, rate: float) -> list[dict[str, Any]]:
        seen.append(rate)
        weight, bias = trial.parameters()
        return [{"params": [weight]}, {"params": [bias], "lr": 20 * rate}]

    x = torch.randn(16, 3)
    rate = range_test(
        network, lambda net, batch: net(batch).square().mean(), lambda run: [x], name="r", groups=groups, skip=5
    )
    assert 1e-5 < rate <= 1e-1
    assert seen == [1e-5]


def test_a_rate_is_found_between_the_ends_and_the_network_stays() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 3)
    network = nn.Linear(3, 1)
    before = [p.clone() for p in network.parameters()]
    rate = range_test(
        network, lambda net, batch: (net(batch) - batch.sum(1, keepdim=True)).square().mean(), lambda run: [x], name="r"
    )
    assert 1e-5 < rate <= 1e-1
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters()))
