"""Estimates of accuracy: thresholds by hand, intervals by their parts."""

import math

import numpy as np
import pytest
import torch

from unseen.validation import accuracy_interval, average_thresholded_confidence, certainty


def _p(sure):
    sure = torch.as_tensor(sure, dtype=torch.float32)
    return torch.stack([sure, 1 - sure], dim=1)


def test_the_threshold_lets_through_as_many_source_samples_as_are_right():
    check, right = _p([0.95, 0.9, 0.8, 0.6, 0.55]), np.array([True, True, False, True, False])
    assert average_thresholded_confidence(check, right, check) == pytest.approx(0.6)
    assert average_thresholded_confidence(check, right, _p([0.99, 0.7, 0.85, 0.51])) == pytest.approx(0.5)


def test_where_all_are_wrong_the_estimate_is_zero_and_where_all_are_right_it_looks_at_the_least_sure():
    check = _p([0.9, 0.7])
    assert average_thresholded_confidence(check, np.array([False, False]), check) == 0
    assert average_thresholded_confidence(check, np.array([True, True]), _p([0.6, 0.8])) == 0.5


def test_on_samples_of_the_same_domain_the_estimate_is_right():
    rng = np.random.default_rng(0)
    sure = 0.5 + rng.random(8000) / 2
    right = rng.random(8000) < sure
    estimate = average_thresholded_confidence(_p(sure[:4000]), right[:4000], _p(sure[4000:]))
    assert estimate == pytest.approx(right[4000:].mean(), abs=0.03)


def test_lengths_must_match():
    with pytest.raises(ValueError, match="one length"):
        average_thresholded_confidence(_p([0.9]), np.array([True, False]), _p([0.9]))


def test_the_interval_adds_sampling_to_the_measured_error_and_stays_in_bounds():
    low, high = accuracy_interval(0.5, 100, 0.1)
    assert (low + high) / 2 == pytest.approx(0.5)
    assert high - 0.5 == pytest.approx(math.sqrt(0.1**2 + 1.645**2 * 0.25 / 100))
    assert accuracy_interval(1.0, 3, 0.0)[0] == pytest.approx(1 - 1.645 * math.sqrt(0.8 * 0.2 / 3))  # not 1
    assert accuracy_interval(0.02, 10**9, 0.1)[0] == 0
    assert accuracy_interval(0.99, 10**9, 0.1)[1] == 1
    with pytest.raises(ValueError, match="estimate must be"):
        accuracy_interval(1.2, 10, 0.1)
    with pytest.raises(ValueError, match="samples must be"):
        accuracy_interval(0.5, 0, 0.1)


def test_certainty_is_minus_the_mean_entropy():
    assert certainty(torch.eye(3)) == pytest.approx(0, abs=1e-3)
    assert certainty(torch.full((4, 5), 0.2)) == pytest.approx(-math.log(5), abs=1e-3)
    with pytest.raises(ValueError, match="at least one sample"):
        certainty(torch.ones(0, 2))
