"""Split conformal intervals: ranks by hand, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.validation.conformal import conformal_widths, coverage, fewest


def test_the_width_is_the_ceiling_of_n_plus_1_times_the_level() -> None:
    errors = np.array([3.0, -1, 2, -4, 5, 6, -7, 8, 9])[:, None, None]  # ceil(10 x 0.9) = 9th
    assert conformal_widths(errors, 0.9)[0, 0] == 9
    assert conformal_widths(errors, 0.5)[0, 0] == 5


def test_missing_errors_do_not_count() -> None:
    errors = np.array([1.0, 2, 3, np.nan, np.nan])[:, None, None]
    assert conformal_widths(errors, 0.5)[0, 0] == 2


def test_too_few_errors_are_told() -> None:
    assert fewest(0.9) == 9
    with pytest.raises(ValueError, match="need the errors of 9 forecasts"):
        conformal_widths(np.ones((8, 1, 1)), 0.9)
    for level in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match="level must lie in"):
            conformal_widths(np.ones((8, 1, 1)), level)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_exchangeable_errors_are_covered_as_often_as_promised(level: float) -> None:
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(2000):
        errors = rng.standard_t(3, size=(20, 2, 1))
        widths = conformal_widths(errors[:19], level)
        inside.append(coverage(errors[19:], np.zeros((1, 2, 1)), widths))
    spread = 3 * np.sqrt(level * (1 - level) / 4000)
    assert level - spread <= np.mean(inside) <= level + 1 / 20 + spread


def test_coverage_skips_missing_truths() -> None:
    truth = np.array([0.0, np.nan, 5])[:, None, None]
    assert coverage(truth, np.zeros((3, 1, 1)), np.ones((1, 1))) == 0.5


def test_steps_with_too_few_errors_can_be_left_without_a_width() -> None:
    errors = np.ones((9, 2, 1))
    errors[0, 1] = np.nan
    widths = conformal_widths(errors, 0.9, lacking="nan")
    assert widths[0, 0] == 1
    assert np.isnan(widths[1, 0])
    assert np.isnan(conformal_widths(errors[:0], 0.9, lacking="nan")).all()
    assert coverage(np.zeros((3, 2, 1)), np.zeros((3, 2, 1)), widths) == 1
    assert np.isnan(coverage(np.zeros((3, 2, 1)), np.zeros((3, 2, 1)), np.full((2, 1), np.nan)))
