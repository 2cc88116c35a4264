"""Tuning a matcher: as many steps as were asked for, batches that end."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("cv2", reason="matching needs OpenCV")

from unseen.methods.matching.tuning import EPOCH, Batch, filled, tune


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (EPOCH, 1), (EPOCH + 1, 2), (2 * EPOCH + 1, 3)])
def test_as_many_steps_are_taken_as_were_asked_for(steps: int, epochs: int) -> None:
    weight = torch.nn.Linear(1, 1)
    weight.matching_loss = lambda *parts: weight(parts[0]).ravel()  # type: ignore[assignment]
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)

    def batches(rng: np.random.Generator) -> Iterator[Batch]:
        while True:
            yield Batch(torch.ones(2, 1), *(torch.ones(2, 1),) * 3, ("here", "there"))

    run = tune(weight, optimizer, schedule, batches, name="t", steps=steps, clip=1.0)
    assert (run.step, len(run.history)) == (steps, epochs)
    assert schedule.last_epoch == steps
    assert all({"loss here", "loss there"} <= set(epoch) for epoch in run.history)


def test_what_has_too_few_points_is_drawn_anew_and_not_without_an_end() -> None:
    sizes = iter([1, 9, 2, 8, 7])
    found = filled(2, lambda: ("a", "b", np.zeros((next(sizes), 4))), 5, "none")
    assert [len(cut[2]) for cut in found] == [9, 8]
    drawn = SimpleNamespace(times=0)

    def poor() -> tuple:
        drawn.times += 1
        return "a", "b", np.zeros((4, 4))

    with pytest.raises(ValueError, match="none has five"):
        filled(2, poor, 5, "none has five")
    assert drawn.times == 100
    assert filled(0, poor, 5, "none") == []
