"""The sweep of a bias against every bias by itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.evaluation.metrics.bias_sweep import bias_sweep


def _naive(scores, truth, seen, bias):
    """Accuracies of samples of seen and unseen classes at one bias."""
    among = np.isin(np.arange(scores.shape[1]), seen)
    prediction = (scores + np.where(among, 0, bias)).argmax(axis=1)
    known = np.isin(truth, seen)
    right = prediction == truth
    return right[known].mean(), right[~known].mean()


@given(st.integers(0, 1000))
def test_a_sweep_is_what_every_bias_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, truth, seen = rng.normal(size=(20, 5)), np.arange(20) % 5, np.array([0, 3])
    sweep = bias_sweep(scores, truth, seen)
    for bias, s, u in zip(sweep.bias, sweep.seen, sweep.unseen):
        naive = _naive(scores, truth, seen, -1e9 if np.isinf(bias) else bias + 1e-9)
        assert (s, u) == pytest.approx(naive)
    assert np.all(np.diff(sweep.unseen) >= 0)
    assert np.all(np.diff(sweep.seen) <= 0)


@settings(deadline=None)  # the first call imports scikit-learn
@given(st.integers(0, 1000), st.floats(-3, 3))
def test_a_constant_on_all_scores_changes_no_area_which_lies_between_0_and_1(seed: int, constant: float) -> None:
    rng = np.random.default_rng(seed)
    scores, truth, seen = rng.normal(size=(12, 4)), np.arange(12) % 4, np.array([1, 2])
    figures = bias_sweep(scores, truth, seen).figures
    moved = bias_sweep(scores + constant, truth, seen).figures
    assert figures == pytest.approx(moved)
    assert 0 <= figures["auc"] <= 1
    assert bias_sweep(scores, truth, seen).seen[-1] == 0


def test_a_sweep_per_class_weighs_classes_alike() -> None:
    scores = np.eye(4)[[0, 0, 0, 1, 2, 3]] * 2.0
    scores[1, 0], scores[1, 1] = 0.0, 2.0
    truth = np.array([0, 0, 0, 1, 2, 3])
    figures = bias_sweep(scores, truth, np.array([0, 1]), per_class=True).figures
    assert figures["s"] == pytest.approx((2 / 3 + 1) / 2)
    assert figures["u"] == 1
