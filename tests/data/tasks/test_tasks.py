"""The tasks: what labels may be, which of them say something, and that equal ones alone have equal digests."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, concatenate
from unseen.data.tasks import task_names, task_of
from unseen.data.tasks.base import Ragged, objects
from unseen.evaluation.exam import Exam

CLASSES = ClassSpace(names=("road", "tree", "sky"))
RAGGED = ("mask", "boxes", "keypoints", "spans", "matches", "ranking", "picture", "series")
NUMBERS = st.floats(-1e6, 1e6)
GAPS = NUMBERS | st.just(np.nan)
HASH = "8bae3909ca9d85d0a86a6099869a9d5274973ae0cd03a0e9b4ddf760b872d487"
"""Of the exam of three vectors below, as ledgers of the first version have it."""


def domain(y: Any, task: str, **more: Any) -> Domain:
    return Domain(x=np.arange(len(y) * 2.0).reshape(-1, 2), y=y, task=task, **more)


def same(a: Any, b: Any) -> bool:
    """Whether two labels are the same label."""
    if a is None or b is None:
        return a is b
    return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f")


def table(*columns: st.SearchStrategy[Any]) -> st.SearchStrategy[np.ndarray]:
    rows = st.lists(st.tuples(*columns), max_size=4)
    return rows.map(lambda rows: np.array(rows, dtype=float).reshape(-1, len(columns)))


def boxes() -> st.SearchStrategy[np.ndarray]:
    corners = table(NUMBERS, NUMBERS, st.floats(0, 50), st.floats(0, 50), st.integers(-1, 2))
    return corners.map(lambda rows: np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4], rows[:, 4:]]))


def spans() -> st.SearchStrategy[np.ndarray]:
    lengths = table(st.integers(0, 99), st.integers(1, 9), st.integers(-1, 2))
    return lengths.map(lambda rows: (rows + np.stack([rows[:, 0] * 0, rows[:, 0], rows[:, 0] * 0], axis=1)).astype(int))


def ranking() -> st.SearchStrategy[np.ndarray]:
    grades = st.dictionaries(st.integers(0, 50), st.integers(0, 3), max_size=4)
    return grades.map(lambda pairs: np.array(list(pairs.items()), dtype=int).reshape(-1, 2))


def floats(dims: int, **more: Any) -> st.SearchStrategy[np.ndarray]:
    shapes = arrays.array_shapes(min_dims=dims, max_dims=dims, max_side=3)
    return arrays.arrays(np.float64, shapes, elements=GAPS, **more)


LABELS: dict[str, st.SearchStrategy[Any]] = {
    "class": st.integers(-1, 2),
    "value": NUMBERS.map(lambda number: number + 0.0),
    "mask": arrays.arrays(
        np.int64, arrays.array_shapes(min_dims=2, max_dims=2, max_side=3), elements=st.integers(-1, 2)
    ),
    "boxes": boxes(),
    "keypoints": arrays.arrays(np.float64, st.tuples(st.integers(1, 3), st.just(2)), elements=GAPS),
    "spans": spans(),
    "matches": table(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    "ranking": ranking(),
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
    "picture": floats(2) | floats(3),
    "series": floats(1) | floats(2),
}
TABLES = ("boxes", "spans", "matches", "ranking")


def test_there_is_a_strategy_for_every_task() -> None:
    assert set(LABELS) == set(task_names())
    assert {name for name in LABELS if isinstance(task_of(name), Ragged)} == set(RAGGED)


@pytest.mark.parametrize("name", task_names())
def test_examples_are_labels_unlike_each_other(name: str) -> None:
    task = task_of(name)
    y = task.check(task.example(5, seed=1), CLASSES)
    assert task.name == name
    assert task.labeled(y).all()
    assert len({task.digest(label) for label in y}) == (3 if name == "class" else 5)
    assert not task.labeled(task.check(task.hidden(3))).any()
    assert len(task.hidden(3)) == 3


@pytest.mark.parametrize("name", task_names())
@given(data=st.data())
def test_equal_labels_and_only_they_have_equal_digests(name: str, data: st.DataObject) -> None:
    task = task_of(name)
    first, second = data.draw(LABELS[name]), data.draw(LABELS[name])
    kept = [task.check(objects([label]) if name in RAGGED else [label], CLASSES)[0] for label in (first, second)]
    rows = [np.array(sorted(label.tolist())).reshape(label.shape) for label in kept] if name in TABLES else kept
    assert (task.digest(kept[0]) == task.digest(kept[1])) == same(*rows)
    assert task.digest(kept[0]) == task.digest(task.check([first], CLASSES)[0])


@pytest.mark.parametrize("name", TABLES)
@given(data=st.data())
def test_the_order_of_rows_says_nothing(name: str, data: st.DataObject) -> None:
    rows = data.draw(LABELS[name])
    mixed = rows[data.draw(st.permutations(range(len(rows))))]
    assert domain([rows], name).fingerprint(labels=True) == domain([mixed], name).fingerprint(labels=True)


@pytest.mark.parametrize("name", ["keypoints", "mask", "picture", "series"])
def test_the_order_of_points_pixels_and_steps_says_something(name: str) -> None:
    task = task_of(name)
    label = task.check(task.example(1))[0]
    assert task.digest(label) != task.digest(label[::-1])


def test_the_two_sides_of_a_match_are_not_alike() -> None:
    task = task_of("matches")
    assert task.digest(np.array([[1.0, 2, 3, 4]])) != task.digest(np.array([[3.0, 4, 1, 2]]))


@pytest.mark.parametrize("name", task_names())
@given(data=st.data())
def test_taken_apart_and_joined_labels_are_the_same(name: str, data: st.DataObject) -> None:
    y = data.draw(st.lists(LABELS[name], min_size=2, max_size=5))
    whole = domain(y, name)
    order = np.array(data.draw(st.permutations(range(len(y)))))
    cut = data.draw(st.integers(1, len(y) - 1))
    joined = concatenate([whole.take(order[:cut]), whole.take(order[cut:])])
    assert joined.task == name
    assert all(same(a, whole.y[i]) for a, i in zip(joined.y, order))
    assert joined.labeled.tolist() == whole.labeled[order].tolist()
    assert joined.fingerprint(labels=True) == whole.fingerprint(labels=True)


@pytest.mark.parametrize("name", task_names())
def test_what_is_not_labelled_is_joined_as_not_known(name: str) -> None:
    labelled = domain(task_of(name).example(3), name)
    both = concatenate([labelled, labelled.unlabeled(), labelled])
    assert both.labeled.tolist() == [True] * 3 + [False] * 3 + [True] * 3
    assert labelled.unlabeled().y is None
    with pytest.raises(ValueError, match="3 of 9 samples have no label"):
        both.labels  # noqa: B018


def test_vectors_of_values_are_joined_with_none() -> None:
    labelled = domain(np.ones((2, 3)), "value")
    both = concatenate([labelled.unlabeled(), labelled])
    assert both.y.shape == (4, 3)
    assert both.labeled.tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("name", "label", "match"),
    [
        ("mask", np.zeros((2, 2)), "sample 0 must be integers of shape .*: it holds float64"),
        ("mask", np.zeros(2, int), r"it is of shape \(2,\)"),
        ("mask", np.full((2, 2), 255), "below their number, 3; got 255"),
        ("mask", np.full((2, 2), -2), "must be -1 .* got -2"),
        ("boxes", np.zeros((1, 4)), r"it is of shape \(1, 4\)"),
        ("boxes", [[3, 0, 1, 4, 0]], "a box ends before it begins"),
        ("boxes", [[0, 0, 1, 1, 3]], "below their number, 3; got 3"),
        ("boxes", [[0, 0, 1, 1, 0.5]], "no integers"),
        ("boxes", [[0, 0, np.nan, 1, 0]], "NaN or infinity"),
        ("keypoints", np.zeros((2, 4)), r"it is of shape \(2, 4\)"),
        ("keypoints", [[0, np.inf]], "infinity"),
        ("spans", [[2, 2, 0]], "end after that; got .2, 2."),
        ("spans", [[0.5, 2, 0]], "no integers"),
        ("matches", [[0, 0, 1]], r"it is of shape \(1, 3\)"),
        ("ranking", [[1, 1], [1, 0]], "document 1 is judged 2 times"),
        ("ranking", [[-1, 1]], "must not be negative"),
        ("picture", np.zeros(3), r"it is of shape \(3,\)"),
        ("series", np.array(["a"]), "it holds <U1"),
    ],
)
def test_a_label_that_cannot_be_is_named(name: str, label: Any, match: str) -> None:
    with pytest.raises((TypeError, ValueError), match=match):
        domain([label], name, classes=CLASSES)


def test_a_text_or_a_value_that_is_none_is_named() -> None:
    with pytest.raises(TypeError, match=r"vector of texts .*int: 3"):
        domain(["a", 3], "text")
    with pytest.raises(TypeError, match="must be numbers for task='value'; got <U1"):
        domain(["a", "b"], "value")


def test_what_says_nothing_is_no_label() -> None:
    nothing = {
        "class": [-1],
        "value": [np.nan],
        "mask": [np.full((2, 3), -1)],
        "keypoints": [np.full((4, 2), np.nan)],
        "ranking": [[[3, 0]]],
        "text": [""],
        "picture": [np.full((2, 2), np.nan)],
        "series": [np.full(3, np.nan)],
    }
    for name, y in nothing.items():
        assert not domain(y, name).labeled.any(), name
        with pytest.raises(ValueError, match="nothing to examine"):
            Exam(domain(y, name), CLASSES)
    for name in ("boxes", "spans", "matches"):  # that there is none in it is known
        assert domain([[]], name).labeled.all(), name
        assert not domain([None], name).labeled.any(), name


# -- exams -------------------------------------------------------------------------------------------------


def test_different_masks_are_different_exams_however_large() -> None:
    mask = np.zeros((1, 64, 64), int)
    other = mask.copy()
    other[0, 30, 30] = 1
    assert Exam(domain(mask, "mask"), CLASSES).hash != Exam(domain(other, "mask"), CLASSES).hash
    assert Exam(domain(mask, "mask"), CLASSES).hash == Exam(domain(list(mask.astype(np.uint8)), "mask"), CLASSES).hash
    assert domain(torch.as_tensor(mask), "mask").y[0].shape == (64, 64)


def test_the_hash_of_an_exam_of_classes_is_what_ledgers_count_by() -> None:
    """Computed as in the first version of `Domain`: SHA-256 of the sorted lines `content:label`."""
    x = np.array([[0.5, 1.0], [2.0, 3.0], [4.0, 5.0]], dtype=np.float32)
    lines = [f"{hashlib.sha256(b'<f4(2,)' + row.tobytes()).hexdigest()}:{label}" for row, label in zip(x, (1, -1, 0))]
    by_hand = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    exam = Exam(Domain(x=x, y=np.array([1, -1, 0]), classes=CLASSES), CLASSES)
    assert exam.hash == by_hand == HASH


def test_nobody_changes_the_truth_that_was_opened(tmp_path: Any) -> None:
    exam = Exam(domain(np.ones((1, 2, 2), int), "mask"), CLASSES, ledger=tmp_path / "exams.json")
    exam.open()[0][:] = 0
    assert exam.open()[0].tolist() == [[1, 1], [1, 1]]
    assert exam.openings == 2


def test_masks_teach_where_they_fit_their_pictures_and_hold_two_classes() -> None:
    mask, pictures = task_of("mask"), np.zeros((2, 3, 4, 6))
    both = mask.check([np.array([[0, 1, 1, -1, 0, 0]] * 4)] * 2)
    mask.check_learnable(both, pictures)
    with pytest.raises(ValueError, match="picture 0 is 6x4, its mask 6x3"):
        mask.check_learnable(mask.check([np.zeros((3, 6), int)] * 2), pictures)
    with pytest.raises(ValueError, match="all known pixels are of class 2"):
        mask.check_learnable(mask.check([np.full((4, 6), 2)] * 2), pictures)


def test_values_teach_where_two_of_them_differ() -> None:
    value = task_of("value")
    value.check_learnable(np.array([1.0, 2.0]), None)
    with pytest.raises(ValueError, match=r"two different values; all are 0\.5"):
        value.check_learnable(np.array([0.5, 0.5]), None)
    with pytest.raises(ValueError, match="one finite number for each sample"):
        value.check_learnable(np.array([np.inf, 1.0]), None)
