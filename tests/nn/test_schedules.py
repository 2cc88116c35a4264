"""Learning rate schedules."""

from __future__ import annotations

import pytest
import torch

from unseen.nn.schedules import warm_cosine


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
