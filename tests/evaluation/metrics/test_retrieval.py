"""Recall among the first k, both ways."""

import numpy as np
import pytest

from unseen.evaluation.metrics.retrieval import both_ways, recall_at

SCORES = np.array([[0.9, 0.1, 0.2], [0.8, 0.7, 0.1], [0.3, 0.2, 0.1]])


def test_counted_by_hand():
    assert recall_at(SCORES, ks=(1, 2, 3)) == pytest.approx({1: 1 / 3, 2: 2 / 3, 3: 1})
    told = both_ways(SCORES, ks=(1, 3))
    assert told == pytest.approx({"there@1": 1 / 3, "there@3": 1, "back@1": 2 / 3, "back@3": 1, "mean": 0.75})


def test_any_of_several_right_answers_counts():
    relevant = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 0]], dtype=bool)
    assert recall_at(SCORES, relevant, ks=(1, 2)) == pytest.approx({1: 2 / 3, 2: 1})


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
