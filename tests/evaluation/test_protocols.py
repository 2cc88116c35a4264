"""Protocols on targets that lack one kind of the samples that their metric is made of."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unseen.data.classes import ClassSpace
from unseen.evaluation import protocols

CLASSES = ClassSpace(names=("a", "b", "c", "d"), seen=np.array([0, 1]), attributes=np.eye(4, dtype="float32"))
SCORES = np.array([[0.1, 0.4, 0.9, 0], [0.6, 0.5, 0, 0.9], [0.2, 0.7, 0, 0]])


@pytest.mark.parametrize(
    ("name", "truth", "defined"),
    [
        ("open", [1, 0, 0], {"known_accuracy": 0.25}),
        ("open", [2, 3, 2], {"unknown_accuracy": 0.0}),
        ("gzsl", [1, 0, 0], {"s": 0.25}),
        ("gzsl", [2, 3, 2], {"u": 1 / 4}),
        ("base-to-new", [1, 0, 0], {"base": 2 / 3}),
        ("base-to-new", [2, 3, 2], {"new": 2.5 / 3}),  # two classes of one score are half a guess
        ("zsl", [1, 0, 0], {}),
    ],
)
def test_what_is_not_defined_is_nan_and_the_rest_is_graded(
    name: str, truth: list[int], defined: dict[str, float]
) -> None:
    prediction = np.array([2, 0, 1])
    figures = protocols.get(name).grade(np.array(truth), prediction, CLASSES, SCORES)
    assert {key: value for key, value in figures.items() if not math.isnan(value)} == pytest.approx(defined)
    assert math.isnan(figures[protocols.get(name).headline])


@pytest.mark.parametrize("name", protocols.names())
@pytest.mark.parametrize("truth", [np.zeros(0, dtype=np.int64), np.full(3, -1)])
def test_where_nothing_is_to_be_graded_every_figure_is_nan(name: str, truth: np.ndarray) -> None:
    scores = np.zeros((len(truth), 4))
    figures = protocols.get(name).grade(truth, truth, CLASSES, scores)
    assert protocols.get(name).headline in figures
    assert all(math.isnan(value) for value in figures.values())


def test_what_indexes_no_class_is_refused_by_name() -> None:
    grade, three = protocols.get("closed").grade, np.array([0, 1, 2])
    with pytest.raises(TypeError, match="truth must be an array of whole numbers that index the classes; got a list"):
        grade([0, 1, 2], three, CLASSES)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"prediction must be an array of whole numbers .* got an array of <U1"):
        grade(three, np.array(["a", "b", "c"]), CLASSES)
    for wrong in (4, 99, -2):
        with pytest.raises(ValueError, match=f"prediction must lie in -1 to 3, of 4 classes; got {wrong}"):
            grade(three, np.array([0, wrong, 1]), CLASSES)
    assert grade(three, np.array([0, 1, -1]), CLASSES)["accuracy"] == pytest.approx(2 / 3)
