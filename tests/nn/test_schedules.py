"""Learning rate schedules."""

from __future__ import annotations

import pytest
import torch

from unseen.nn.schedules import warm_cosine, warm_then_cosine


def rates(total: int, warm: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = warm_cosine(optimizer, total, warm, start=0.02)
    found = []
    for _ in range(total + 1):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return found


def test_a_line_up_then_half_a_cosine_to_zero() -> None:
    found = rates(12, 4)
    assert found[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert found[8] == pytest.approx(0.05)
    assert found[12] == pytest.approx(0, abs=1e-12)


def test_without_warming_it_begins_at_its_rate() -> None:
    assert rates(10, 0)[0] == pytest.approx(0.1)


def test_rates_of_a_thousand_steps_with_a_warm_up_of_a_hundred() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    schedule = warm_then_cosine(optimizer, 1000, 100)
    factor = schedule.lr_lambdas[0]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(2 * 0.01)
    found = [factor(i) for i in (0, 49, 99, 100, 325, 550, 1000)]
    assert found == pytest.approx([0.01, 0.5, 1, 1, 0.853553, 0.5, 0], abs=1e-6)
