"""Zero-shot metrics by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unseen.evaluation.metrics.zero_shot import generalized_scores, harmonic_mean, mean_class_top1


def test_every_class_counts_the_same_however_many_samples_it_has() -> None:
    truth = np.array([0, 0, 0, 0, 7])
    prediction = np.array([0, 0, 0, 2, 3])
    assert mean_class_top1(truth, prediction) == pytest.approx((0.75 + 0) / 2)


def test_s_u_and_h_by_hand() -> None:
    truth = np.array([0, 0, 1, 1, 2, 2, 3])
    prediction = np.array([0, 2, 1, 1, 2, 0, 3])
    scores = generalized_scores(truth, prediction, np.array([0, 1]))
    assert scores == pytest.approx({"s": 0.75, "u": 0.75, "h": 0.75})
    assert generalized_scores(truth, np.zeros(7, int), np.array([0, 1]))["h"] == 0


@given(st.floats(0, 1), st.floats(0, 1))
def test_harmonic_mean_lies_below_the_mean_and_is_symmetric(s: float, u: float) -> None:
    h = harmonic_mean(s, u)
    assert h == pytest.approx(harmonic_mean(u, s))
    assert 0 <= h <= (s + u) / 2 + 1e-12
    assert h <= 2 * min(s, u) + 1e-12


@given(st.integers(0, 10**6))
def test_permuting_class_ids_and_samples_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, prediction = rng.integers(0, 6, 40), rng.integers(0, 6, 40)
    truth[:2] = 0, 5
    ids, order = rng.permutation(6), rng.permutation(40)
    seen = np.arange(3)
    again = generalized_scores(ids[truth][order], ids[prediction][order], ids[seen])
    assert again == pytest.approx(generalized_scores(truth, prediction, seen))


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="one length"):
        mean_class_top1(np.arange(3), np.arange(4))
    with pytest.raises(ValueError, match="seen and of unseen"):
        generalized_scores(np.zeros(3, int), np.zeros(3, int), np.array([0]))
