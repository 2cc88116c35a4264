"""Filtered ranks, against a naive loop and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.evaluation.metrics.ranking import filtered_ranks, known_tails, ranking_scores


def test_ranks_by_hand_with_filter_candidates_and_ties() -> None:
    scores = np.array([[0.9, 0.5, 0.7, 0.5]])
    truth = np.array([1])
    assert filtered_ranks(scores, truth).tolist() == [3.5]  # two above, one equal
    assert filtered_ranks(scores, truth, np.array([[True, True, False, False]])).tolist() == [2.5]
    assert filtered_ranks(scores, truth, within=np.array([False, True, True, False])).tolist() == [2]
    assert filtered_ranks(np.zeros((1, 9)), truth).tolist() == [5]  # a constant score ranks in the middle


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_ranks_are_those_of_a_naive_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, truth = rng.integers(4, size=(5, 7)).astype(float), rng.integers(7, size=5)
    known, within = rng.random((5, 7)) < 0.3, rng.random((5, 7)) < 0.7
    within[np.arange(5), truth] = True
    for row, found in enumerate(filtered_ranks(scores, truth, known, within)):
        others = [t for t in range(7) if t != truth[row] and within[row, t] and not known[row, t]]
        own = scores[row, truth[row]]
        above, equal = sum(scores[row, t] > own for t in others), sum(scores[row, t] == own for t in others)
        assert found == 1 + above + equal / 2


def test_mean_reciprocal_rank_and_hits_by_hand() -> None:
    assert ranking_scores(np.array([1.0, 2, 20])) == {
        "mrr": pytest.approx((1 + 0.5 + 0.05) / 3), "hits@1": 1 / 3, "hits@5": 2 / 3, "hits@10": 2 / 3,
    }  # fmt: skip


def test_known_tails_are_those_of_the_triples() -> None:
    triples = np.array([[0, 0, 1], [0, 0, 2], [1, 0, 2], [0, 1, 3]])
    found = known_tails(np.array([[0, 0], [2, 0], [0, 1]]), triples, 4)
    assert found.tolist() == [[False, True, True, False], [False] * 4, [False, False, False, True]]


def test_bad_input_is_named() -> None:
    scores, truth = np.zeros((2, 3)), np.array([0, 1])
    for arguments, told in (
        ((scores, np.array([0])), r"truth \(n,\)"),
        ((scores * np.nan, truth), "scores must be numbers"),
        ((scores, np.array([0, 3])), r"truth must lie in \[0, 3\)"),
        ((scores, truth, None, np.array([True, False, True])), "within must hold the true tails; 1 of them"),
    ):
        with pytest.raises(ValueError, match=told):
            filtered_ranks(*arguments)
    with pytest.raises(ValueError, match="at least one rank"):
        ranking_scores(np.array([]))
