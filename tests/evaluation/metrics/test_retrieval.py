"""Recall among the first k, both ways."""

from typing import Any

import numpy as np
import pytest

from unseen.evaluation.metrics.retrieval import both_ways, both_ways_by_chance, recall_at, structure_correlation

SCORES = np.array([[0.9, 0.1, 0.2], [0.8, 0.7, 0.1], [0.3, 0.2, 0.1]])


def test_counted_by_hand():
    assert recall_at(SCORES, ks=(1, 2, 3)) == pytest.approx({1: 1 / 3, 2: 2 / 3, 3: 1})
    told = both_ways(SCORES, ks=(1, 3))
    assert told == pytest.approx({"there@1": 1 / 3, "there@3": 1, "back@1": 2 / 3, "back@3": 1, "mean": 0.75})


def test_any_of_several_right_answers_counts():
    relevant = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 0]], dtype=bool)
    assert recall_at(SCORES, relevant, ks=(1, 2)) == pytest.approx({1: 2 / 3, 2: 1})


def test_chance_is_the_mean_of_all_orders():
    rng = np.random.default_rng(0)
    relevant = np.array([[0, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 1]], dtype=bool)
    drawn = [both_ways(rng.random((3, 4)), relevant, ks=(1, 2, 10)) for _ in range(3000)]
    told = both_ways_by_chance(relevant, ks=(1, 2, 10))
    assert told == pytest.approx({key: np.mean([one[key] for one in drawn]) for key in told}, abs=0.02)
    assert both_ways_by_chance(5, ks=(1, 5)) == pytest.approx(
        {"there@1": 0.2, "there@5": 1, "back@1": 0.2, "back@5": 1, "mean": 0.6}
    )


def test_a_model_that_says_the_same_of_all_finds_nothing():
    assert recall_at(np.zeros((4, 4)), ks=(1, 3, 4)) == {1: 0, 3: 0, 4: 1}


@pytest.mark.parametrize(
    ("scores", "relevant", "message"),
    [
        (np.zeros(3), None, "scores must be a table"),
        (np.zeros((2, 3)), None, "relevant must be given"),
        (np.zeros((2, 3)), np.ones((3, 2), dtype=bool), "of the shape of scores"),
        (np.full((2, 2), np.nan), None, "finite"),
        (np.zeros((2, 2)), np.array([[True, True], [False, False]]), "row 1 has none"),
    ],
)
def test_bad_input_is_named(scores, relevant, message):
    with pytest.raises(ValueError, match=message):
        recall_at(scores, relevant)


def test_the_structure_of_a_rotated_space_is_the_same_and_that_of_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    p = rng.normal(size=(40, 6))
    turned = 3 * p @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    assert structure_correlation(p, turned) == pytest.approx(1)
    assert abs(structure_correlation(p, rng.normal(size=(40, 9)))) < 0.15
    unit = p / np.linalg.norm(p, axis=1, keepdims=True)
    q = rng.normal(size=(40, 4))
    other = q / np.linalg.norm(q, axis=1, keepdims=True)
    by_hand = [[float(a[i] @ a[j]) for i in range(40) for j in range(i)] for a in (unit, other)]
    assert structure_correlation(p, q) == pytest.approx(np.corrcoef(*by_hand)[0, 1])


@pytest.mark.parametrize(
    ("p", "q", "match"),
    [
        (np.eye(3), np.eye(4), "the same samples"),
        (np.eye(2), np.eye(2), "at least three"),
        (np.eye(4), np.eye(4), "equally alike"),
        (np.array([[1.0, 0], [1, 1], [0, 0]]), np.eye(3), "not 0"),
    ],
)
def test_structure_that_cannot_be_compared_is_named(p: Any, q: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        structure_correlation(p, q)
