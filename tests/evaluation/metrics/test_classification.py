"""The interval of an accuracy holds as often as it says, for few samples and near 1 too."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from unseen.evaluation.metrics.classification import wilson_interval


@pytest.mark.parametrize(("right", "n"), [(8, 8), (0, 5), (57, 58), (13, 20), (1, 1), (5000, 10_000)])
def test_it_is_wilsons(right: int, n: int) -> None:
    expected = binomtest(right, n).proportion_ci(method="wilson")
    assert wilson_interval(right / n, n) == pytest.approx((expected.low, expected.high))


def test_where_all_are_right_it_is_no_point() -> None:
    low, high = wilson_interval(1.0, 8)
    assert low == pytest.approx(0.676, abs=0.001)
    assert high == 1


@pytest.mark.parametrize(("n", "accuracy"), [(8, 0.9), (20, 0.95), (58, 0.97), (200, 0.98)])
def test_it_holds_the_accuracy_about_as_often_as_it_says(n: int, accuracy: float) -> None:
    """From samples drawn again, at 1,000 draws, it held in .55, .64, .79 and .94 of these."""
    shares = np.random.default_rng(0).binomial(n, accuracy, 4000) / n
    intervals = {share: wilson_interval(float(share), n) for share in np.unique(shares)}
    held = np.mean([intervals[share][0] <= accuracy <= intervals[share][1] for share in shares])
    assert held > 0.9  # 95 % on the mean over accuracies; of a single one the steps of n are off by up to 4 points


def test_a_share_of_nothing_is_refused() -> None:
    for share, n in ((0.5, 0), (1.5, 8), (float("nan"), 8)):
        with pytest.raises(ValueError, match=r"share must lie in \[0, 1\], of at least one sample"):
            wilson_interval(share, n)
