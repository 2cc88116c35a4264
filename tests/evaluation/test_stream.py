"""`Stream`: every task once, every exam after each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.evaluation.drive import Stream
from unseen.evaluation.exam import Exam
from unseen.methods.base import Card, Method

DRIVE = Stream(lambda truth, found: {"accuracy": float((truth == found).mean())})


class Recent(Method):
    """Says of every sample what the last task's first sample was, and counts tasks and questions."""

    card = Card(slug="recent", title="Recent", venue="", summary="The last label.")

    def partial_fit(self, *, source: Domain) -> Self:
        """Remember the label, or break off."""
        if source.x[0, 0] == 99:
            self.label_ = 7
            raise ArithmeticError("in the middle")
        self.label_, self.tasks_ = int(source.labels[0]), vars(self).get("tasks_", 0) + 1
        return self

    def predict(self, x: Any, classes: ClassSpace | None = None) -> Any:
        """The label, if the classes are named."""
        assert classes is not None
        return np.full(len(x), self.label_)


def task(label: int, first: float = 0.0) -> Domain:
    x = np.zeros((4, 2), dtype=np.float32)
    x[0, 0] = first
    return Domain(x=x, y=np.array([label, 1 - label, 0, 1]), classes=ClassSpace(names=("a", "b")), name=f"t{label}")


def exams(folder: Path) -> list[Exam]:
    made = [Domain(x=np.full((4, 2), i), y=np.array([0, 0, 0, 1])) for i in range(3)]
    return [Exam(d, ClassSpace(names=("a", "b")), folder / "exams.json") for d in made]


def test_each_task_is_learnt_once_and_every_exam_is_asked_after_each(tmp_path: Path) -> None:
    method, every = Recent(), exams(tmp_path)
    stages = DRIVE(method, [{"source": task(0)}, {"source": task(1)}], every)
    assert method.tasks_ == 2
    assert stages.matrix.tolist() == [[0.75] * 3, [0.25] * 3]
    assert len(stages.seconds) == 2
    assert [exam.openings for exam in every] == [2, 2, 2]


def test_a_row_does_not_change_if_later_tasks_do(tmp_path: Path) -> None:
    one = DRIVE(Recent(), [{"source": task(0)}, {"source": task(1)}], exams(tmp_path))
    other = DRIVE(Recent(), [{"source": task(0)}, {"source": task(0, 5.0)}], exams(tmp_path))
    assert one.matrix[0].tolist() == other.matrix[0].tolist()


def test_a_task_that_breaks_off_leaves_the_method_as_it_was(tmp_path: Path) -> None:
    method = Recent().partial_fit(source=task(0))
    with pytest.raises(ArithmeticError):
        DRIVE(method, [{"source": task(1, 99.0)}], exams(tmp_path))
    assert (method.label_, method.tasks_) == (0, 1)


def test_a_next_task_of_another_width_is_refused() -> None:
    method = Recent().partial_fit(source=task(0))
    wide = task(1).replace(x=np.zeros((4, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="source must have 2 features, as the tasks before; got 3"):
        method.partial_fit(source=wide)
    assert method.fitted["n_features_in_"] == 2


def test_a_method_without_a_next_task_is_refused(tmp_path: Path) -> None:
    class Plain(Method):
        card = Card(slug="plain", title="Plain", venue="", summary="Nothing.")

    with pytest.raises(TypeError, match="a method with partial_fit; Plain has none"):
        DRIVE(Plain(), [], exams(tmp_path))
