"""Results that are kept for the time of a job."""

from __future__ import annotations

import torch
from torch import Tensor

from unseen.nn.remembered import Memory, remembered, remembering

CALLS: list[int] = []


@remembered
def total(x: Tensor, factor: float = 1.0) -> float:
    CALLS.append(1)
    return factor * float(x.sum())


@remembered
def longest(x: Tensor, factor: float = 1.0) -> float:
    CALLS.append(1)
    return factor * float(x.max())


def calls(*factors: float) -> int:
    """How many of these calls are computed."""
    CALLS.clear()
    for factor in factors:
        assert total(torch.ones(3), factor) == 3 * factor
    return len(CALLS)


def test_outside_of_a_job_every_call_is_computed() -> None:
    assert calls(1, 1, 1) == 3


def test_arguments_of_the_same_content_are_computed_once_however_they_are_given() -> None:
    CALLS.clear()
    with remembering(Memory()):
        found = [total(torch.ones(3)), total(torch.ones(3), 1.0), total(factor=1.0, x=torch.ones(1, 3)[0])]
    assert found == [3.0] * 3
    assert len(CALLS) == 1


def test_other_content_another_type_or_another_function_is_computed_anew() -> None:
    CALLS.clear()
    with remembering(Memory()):
        assert total(torch.ones(3)) == 3
        assert total(torch.tensor([1.0, 1.0, 1.0 + 1e-6])) != 3
        assert total(torch.ones(3).double()) == 3
        assert total(torch.ones(3), 2.0) == 6
        assert longest(torch.ones(3)) == 1
    assert len(CALLS) == 5


def test_the_oldest_result_is_forgotten() -> None:
    memory = Memory(size=2)
    with remembering(memory):
        assert calls(1, 2, 1, 3, 1) == 3
        assert calls(2) == 1
    assert len(memory.results) == 2


def test_a_memory_serves_a_later_block_and_no_other() -> None:
    memory = Memory()
    with remembering(memory):
        assert calls(1) == 1
    with remembering(memory):
        assert calls(1) == 0
    with remembering(Memory()):
        assert calls(1) == 1
