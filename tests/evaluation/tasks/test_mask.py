"""Grades of masks: against torchmetrics, by hand, and with one opening of the exam."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.tasks.base import objects
from unseen.evaluation.drive import Once
from unseen.evaluation.exam import Exam
from unseen.evaluation.tasks import grades_of
from unseen.evaluation.tasks.mask import boundary_f, confusion
from unseen.methods.base import Card, Method
from unseen.methods.verbs import gives

GRADES = grades_of("mask")
CLASSES = ClassSpace(names=("sky", "road", "car", "bus"))


def masks(n: int, seed: int, classes: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return objects(rng.integers(0, classes, (7 + i, 9)) for i in range(n))


def test_miou_and_accuracy_are_those_of_torchmetrics() -> None:
    from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

    truth, said = masks(5, 0), masks(5, 1)
    for mask in truth:
        mask[0, :4] = -1
    figures = GRADES.grade(truth, said, CLASSES)
    flat = [torch.as_tensor(np.concatenate([m.ravel() for m in part])) for part in (said, truth)]
    per_class = MulticlassJaccardIndex(4, average="none", ignore_index=-1)(*flat)
    for name, value in zip(CLASSES.names, per_class.tolist()):
        assert figures[f"IoU, {name}"] == pytest.approx(value, abs=1e-6)
    macro = MulticlassJaccardIndex(4, average="macro", ignore_index=-1)(*flat)
    assert figures["mIoU"] == pytest.approx(float(macro), abs=1e-6)
    right = MulticlassAccuracy(4, average="micro", ignore_index=-1)(*flat)
    assert figures["pixel accuracy"] == pytest.approx(float(right), abs=1e-6)


def test_classes_that_are_neither_there_nor_said_do_not_count() -> None:
    truth, said = objects([np.array([[0, 0, 1, 1]])]), objects([np.array([[0, 0, 1, 2]])])
    figures = GRADES.grade(truth, said, CLASSES)
    assert figures["mIoU"] == pytest.approx((1 + 0.5 + 0) / 3)  # sky, road, car; no bus
    assert "IoU, bus" not in figures


def test_pixels_of_which_nothing_is_known_do_not_count_and_a_refused_pixel_is_wrong() -> None:
    truth, said = objects([np.array([[0, 0, -1, 1]])]), objects([np.array([[0, -1, 3, 1]])])
    figures = GRADES.grade(truth, said, CLASSES)
    assert figures["pixel accuracy"] == pytest.approx(2 / 3)
    assert figures["IoU, sky"] == pytest.approx(0.5)
    assert confusion(truth[0], said[0], 4).sum() == 3


def test_each_sample_has_a_figure_and_unknown_ones_none() -> None:
    truth = objects([np.zeros((2, 2), int), None, np.ones((2, 2), int)])
    each = GRADES.each(truth, objects([np.zeros((2, 2), int)] * 3), CLASSES)
    assert each[[0, 2]].tolist() == [1, 0]
    assert np.isnan(each[1])


def test_a_right_mask_has_all_borders_and_a_moved_one_loses_them() -> None:
    truth = np.zeros((40, 40), int)
    truth[10:30, 10:30] = 1
    assert boundary_f(truth, truth) == 1
    near, far = np.roll(truth, 1, axis=1), np.roll(truth, 6, axis=1)
    assert boundary_f(truth, near) == pytest.approx(1, abs=0.06)  # within a pixel
    assert boundary_f(truth, far) < 0.7
    assert np.isnan(boundary_f(np.zeros((5, 5), int), np.zeros((5, 5), int)))


def test_what_is_not_known_makes_no_border() -> None:
    full = np.zeros((40, 40), int)
    full[10:30, 10:30] = 1
    gap = full.copy()
    gap[10:30, 10] = -1  # one side of the square is not known
    assert boundary_f(gap, full) == 1
    ring = full.copy()
    ring[9:11, 9:31] = ring[29:31, 9:31] = ring[9:31, 9:11] = ring[9:31, 29:31] = -1
    assert np.isnan(boundary_f(ring, full))


@pytest.mark.parametrize(
    ("truth", "said", "match"),
    [
        (masks(2, 0), masks(1, 0), "a prediction for each of 2"),
        (objects([np.zeros((2, 2), int)]), objects([np.zeros((2, 3), int)]), r"as large as its truth, \(2, 2\)"),
        (objects([None]), objects([np.zeros((2, 2), int)]), "nothing is known of any sample"),
        (objects([np.full((2, 2), 9)]), objects([np.zeros((2, 2), int)]), "below the number of classes, 4; got 9"),
    ],
)
def test_what_cannot_be_graded_is_named(truth: Any, said: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        GRADES.grade(truth, said, CLASSES)


class Grey(Method):
    """Pixels above a threshold."""

    card = Card(slug="grey", title="Grey", venue="", summary="Grey.", modalities={"image"}, task="mask")

    def fit(self, *, target: Domain) -> Grey:
        """Measure the mean of the target."""
        self.level_ = float(np.mean(target.x))
        return self

    @gives("masks", reads="pictures")
    def predict(self, x: Any) -> np.ndarray:
        """Pixels that are brighter than the mean."""
        return objects((picture.mean(dim=0) > self.level_).long().numpy() for picture in x)


def test_one_fit_one_question_one_opening(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.random((4, 3, 8, 8)).astype(np.float32)
    two = ClassSpace(names=("dark", "bright"))
    truth = objects((picture.mean(axis=0) > x.mean()).astype(int) for picture in x)
    target = Domain(x=x, y=truth, kind="image", task="mask", classes=two)
    exam = Exam(target, two, ledger=tmp_path / "ledger.json")
    outcome = Once(functools.partial(GRADES.grade, classes=two))(Grey(), {"target": exam.samples}, exam)
    assert outcome.metrics["mIoU"] == 1
    assert exam.openings == 1
