"""Open-set metrics against figures by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unseen.evaluation.metrics.open_set import h_score, open_set_scores


def test_no_unknown_recognized_gives_zero_whatever_the_known_accuracy() -> None:
    assert h_score(1.0, 0.0) == 0
    assert open_set_scores(np.array([0, 1, -1]), np.array([0, 1, 0]))["h_score"] == 0
    assert h_score(0.0, 0.0) == 0


def test_known_accuracy_is_the_mean_over_classes() -> None:
    truth = np.array([0, 0, 0, 1, -1, -1, -1, -1])
    scores = open_set_scores(truth, np.array([0, 0, -1, 0, -1, -1, -1, 1]))
    assert scores["known_accuracy"] == pytest.approx((2 / 3 + 0) / 2)
    assert scores["unknown_accuracy"] == pytest.approx(3 / 4)
    assert scores["h_score"] == pytest.approx(2 * (1 / 3) * 0.75 / (1 / 3 + 0.75 + 1e-5))


@given(st.floats(0, 1), st.floats(0, 1))
def test_h_score_lies_between_zero_and_the_mean(known: float, unknown: float) -> None:
    h = h_score(known, unknown)
    assert 0 <= h <= (known + unknown) / 2 + 1e-12
    assert h == pytest.approx(h_score(unknown, known))


def test_a_side_without_samples_has_no_score() -> None:
    scores = open_set_scores(np.array([0, 1]), np.array([0, -1]))
    assert scores["known_accuracy"] == 0.5
    assert np.isnan([scores["unknown_accuracy"], scores["h_score"]]).all()


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="same length"):
        open_set_scores(np.array([0, 1]), np.array([0]))
