"""How well will a class do, given how often it was seen: the line, with intervals that other concepts vouch for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unseen.data.typing import FloatArray, IntArray
from unseen.methods.curation.concept_frequency.fit import checked, fit_log_linear, least_squares, log_counts
from unseen.validation.rehearsal import parts, told_by_others

FOLDS = 10
GROUPS = 3
"""Most groups of counts that have intervals of their own."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """A line and how far single concepts lie from it: what predicts, and can be kept without the concepts.

    Attributes
    ----------
    slope, intercept : float
        Score = intercept + slope ln(max(count, 1)).
    bounds : tuple of k - 1 float
        ln(count) at which the groups of intervals meet.
    errors : tuple of k sorted tuples of float
        Score minus what others predicted of it, in each group.
    low, high : float
        What a score can be, such as 0 and 100.
    n : int
        Concepts behind it.
    """

    slope: float
    intercept: float
    bounds: tuple[float, ...]
    errors: tuple[tuple[float, ...], ...]
    low: float
    high: float
    n: int

    def predict(self, counts: NDArray, level: float = 0.9) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Score of classes by their counts, with an interval for a single class: three arrays (n,).

        An interval lies between order statistics of the errors in the group of the count, so that it covers a class
        which is exchangeable with the group's concepts with probability `level`, as split conformal intervals do [1].
        Where the group has too few concepts for the level, the interval reaches to what a score can be. The middle is
        inside its interval, which is widened to it where all errors of the group are on one side.

        Raises
        ------
        ValueError
            If `level` is not in (0, 1).

        References
        ----------
        [1] Lei et al., "Distribution-Free Predictive Inference for Regression", JASA 2018, section 2.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie in (0, 1); got {level}")
        return self._at(log_counts(counts), level)

    def _at(self, x: FloatArray, level: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        middle = self.intercept + self.slope * x
        group = np.searchsorted(np.asarray(self.bounds), x, side="left")
        steps = np.array([_steps(errors, level) for errors in self.errors])
        least, most = (np.clip(middle + steps[group, k], self.low, self.high) for k in (0, 1))
        middle = np.clip(middle, self.low, self.high)
        return middle, np.minimum(least, middle), np.maximum(most, middle)

    def predict_within(
        self, least: NDArray, counts: NDArray, most: NDArray, level: float = 0.9
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """As `predict`, where a count is only known to lie in [least, most]: the union of the intervals of all counts.

        A line is monotone and intervals change at the bounds of groups only, so that the ends and bounds say it all.
        """
        middle, low, high = self.predict(counts, level)
        a, b = log_counts(least), log_counts(most)
        at = [a, b]
        for bound in self.bounds:
            inside = (a <= bound) & (bound < b)
            at += [np.where(inside, bound, a), np.where(inside, np.nextafter(bound, np.inf), a)]
        for x in at:
            _, lower, upper = self._at(x, level)
            low, high = np.minimum(low, lower), np.maximum(high, upper)
        return middle, low, high


def concepts_needed(level: float) -> int:
    """Fewest concepts with a score with which an interval of this level has ends: 19 for .9."""
    return math.ceil(2 / (1 - level) - 1e-9) - 1


def highest_level(n: int) -> float:
    """The highest level, in steps of 5 %, of which n concepts give intervals with ends; 0 if there is none."""
    return max((k / 20 for k in range(1, 20) if concepts_needed(k / 20) <= n), default=0.0)


def count_interval(counts: NDArray, level: float = 0.9) -> tuple[FloatArray, FloatArray]:
    """Where the expected number of hits lies, given that so many were found: exact for Poisson counts [2], (n,) each.

    Of 0 hits the lower end is 0, the upper end about 3 at a level of 0.9.

    References
    ----------
    [2] Garwood, "Fiducial Limits for the Poisson Distribution", Biometrika 1936.
    """
    from scipy.stats import chi2

    hits, tail = np.asarray(counts, dtype=np.float64), (1 - level) / 2
    low = np.where(hits > 0, chi2.ppf(tail, 2 * np.maximum(hits, 0.5)) / 2, 0.0)
    return low, chi2.ppf(1 - tail, 2 * hits + 2) / 2


def _steps(errors: Sequence[float], level: float) -> tuple[float, float]:
    """Lower and upper end of an interval about a prediction; infinite where there are too few errors."""
    n = len(errors)
    rank = math.floor((n + 1) * (1 - level) / 2 + 1e-9)
    return (errors[rank - 1], errors[n - rank]) if rank else (-math.inf, math.inf)


def learn_curve(
    counts: NDArray, scores: NDArray, *, low: float = 0.0, high: float = 100.0, level: float = 0.9, seed: int = 0
) -> Curve:
    """A line through concepts whose score is known, and the errors of lines that did not see the concept.

    Parameters
    ----------
    counts, scores : arrays (n,)
        At least 5 concepts, of one model.
    low, high : float
        What a score can be.
    level : float in (0, 1)
        Groups of counts are made so large that each carries intervals of this level.
    seed : int
        Of the folds.

    Raises
    ------
    ValueError
        As `fit_log_linear`, or if scores lie outside `low` and `high`.
    """
    fit_log_linear(counts, scores)  # whose checks say what is wrong
    counts, scores = checked(counts, scores)
    if len(counts) < 5:
        raise ValueError(f"a prediction needs at least 5 concepts with a score; got {len(counts)}")
    if scores.min() < low - 1e-9 or scores.max() > high + 1e-9:
        raise ValueError(f"scores must lie in [{low:g}, {high:g}]; got {scores.min():g} to {scores.max():g}")
    x = log_counts(counts)
    slope, intercept = least_squares(x, scores)

    def missed(rest: IntArray, part: IntArray) -> FloatArray:
        line = least_squares(x[rest], scores[rest]) if np.ptp(x[rest]) else (0.0, float(scores[rest].mean()))
        return scores[part] - line[1] - line[0] * x[part]

    errors = told_by_others(len(x), parts(len(x), min(FOLDS, len(x)), seed), missed)
    bounds = _bounds(x, math.ceil(2 / (1 - level) - 1e-9))
    group = np.searchsorted(bounds, x, side="left")
    kept = tuple(tuple(np.sort(errors[group == k]).round(6).tolist()) for k in range(len(bounds) + 1))
    return Curve(slope, intercept, tuple(bounds.tolist()), kept, low, high, len(x))


def _bounds(x: FloatArray, least: int) -> FloatArray:
    """Quantiles of ln(count) that part concepts into at most `GROUPS` groups of at least `least`."""
    for groups in range(GROUPS, 1, -1):
        bounds = np.unique(np.quantile(x, np.arange(1, groups) / groups, method="inverted_cdf"))
        sizes = np.bincount(np.searchsorted(bounds, x, side="left"), minlength=len(bounds) + 1)
        if sizes.min() >= least:
            return bounds
    return np.zeros(0)
