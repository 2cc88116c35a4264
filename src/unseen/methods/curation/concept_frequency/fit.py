"""The log-linear fit of performance against frequency: the paper's binned correlation and what it leaves out."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from unseen.data.typing import FloatArray, IntArray

EDGES = 12
"""Edges of the official code."""


@dataclasses.dataclass(frozen=True, eq=False)
class LogLinearFit:
    """Score = intercept + slope ln(max(count, 1)), and how well it describes what was seen.

    Attributes
    ----------
    r, p : float
        Pearson correlation of the bins' right edges and mean scores, first bins and last left out, with its p-value:
        the figure of the paper. NaN with fewer than three such bins.
    raw_r, raw_p : float
        The same over single concepts, which is much lower.
    slope, intercept : float
        Of least squares over single concepts, per unit of ln(count).
    edges, means, ns : arrays (n_edges,)
        Right edge of every bin in ln(count), mean score and number of concepts in it; NaN and 0 where it is empty.
    drop_first : int
        First bins that r leaves out.
    linear_r, linear_raw_r : float
        r and raw_r against the count itself, not its logarithm.
    aic_log, aic_linear : float
        Akaike's criterion of both least squares fits over single concepts; smaller is better.
    residual : float
        Standard deviation of single concepts about the fit.
    n : int
        Concepts.
    """

    r: float
    p: float
    raw_r: float
    raw_p: float
    slope: float
    intercept: float
    edges: FloatArray
    means: FloatArray
    ns: IntArray
    drop_first: int
    linear_r: float
    linear_raw_r: float
    aic_log: float
    aic_linear: float
    residual: float
    n: int

    @property
    def slope_per_decade(self) -> float:
        """What ten times the data buys, in units of the score."""
        return self.slope * math.log(10)

    @property
    def stars(self) -> str:
        """``**`` where the binned correlation is significant at 0.05, as the paper marks it."""
        return "**" if self.p < 0.05 else ""

    def predict(self, counts: Float[np.ndarray, "n"] | IntArray) -> FloatArray:
        """Scores of the fitted line at these counts, (n,)."""
        return self.intercept + self.slope * log_counts(counts)

    def data_needed(self, score: float) -> float:
        """The count at which the line reaches a score; infinite if it does not rise (spec step 15)."""
        if self.slope <= 0:
            return math.inf
        power = (score - self.intercept) / self.slope
        return math.exp(power) if power < 700 else math.inf


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Bootstrap intervals over concepts, (low, high) each."""

    r: tuple[float, float]
    raw_r: tuple[float, float]
    slope: tuple[float, float]
    level: float

    @property
    def slope_per_decade(self) -> tuple[float, float]:
        """Of what ten times the data buys."""
        return self.slope[0] * math.log(10), self.slope[1] * math.log(10)


def log_counts(counts: NDArray) -> FloatArray:
    """ln(max(count, 1)): counts of 0 and 1 are both at 0."""
    return np.log(np.maximum(np.asarray(counts, dtype=np.float64), 1.0))


def fit_log_linear(counts: NDArray, scores: NDArray, n_edges: int = EDGES, drop_first: int = 1) -> LogLinearFit:
    """Fit scores of concepts to the logarithm of their counts, with the paper's bins [1].

    x = ln(max(count, 1)); `n_edges` edges lie evenly from min x to max x; a concept falls into the bin whose right edge
    is the first that is not below its x, so that bin 0 holds the least count alone. r correlates right edges with mean
    scores from bin `drop_first` to the last but one. Empty bins, at which the official code stops, are left out.

    Parameters
    ----------
    counts : array (n,), >= 0
        Of concepts; a name that two data sets share is two points.
    scores : array (n,)
        Accuracy, recall, CLIP score, ... of one model, in any unit.
    n_edges : int, >= 4
    drop_first : int, >= 0
        The official code takes 2 for LAION-400M, else 1.

    Raises
    ------
    ValueError
        If shapes differ, a number is not finite, a count negative, fewer than three concepts, or all counts are alike.

    References
    ----------
    [1] Udandarao et al., NeurIPS 2024, figure 2, and the official code.
    """
    counts, scores = checked(counts, scores)
    if n_edges < 4 or not 0 <= drop_first < n_edges - 2:
        raise ValueError(f"n_edges must be at least 4 and leave bins after drop_first; got {n_edges} and {drop_first}")
    x = log_counts(counts)
    if np.ptp(x) == 0:
        raise ValueError(f"counts must differ for a slope; all {len(x)} are {counts.min():g} to {counts.max():g}")
    edges, means, ns = binned(x, scores, n_edges)
    r, p = _inner(edges, means, drop_first)
    slope, intercept = least_squares(x, scores)
    errors = scores - intercept - slope * x
    linear = np.asarray(counts, dtype=np.float64)
    steep, start = least_squares(linear, scores)
    raw_r, raw_p = pearson(x, scores)
    return LogLinearFit(
        r=r,
        p=p,
        raw_r=raw_r,
        raw_p=raw_p,
        slope=slope,
        intercept=intercept,
        edges=edges,
        means=means,
        ns=ns,
        drop_first=drop_first,
        linear_r=_inner(np.exp(edges), means, drop_first)[0],
        linear_raw_r=pearson(linear, scores)[0],
        aic_log=_aic(errors),
        aic_linear=_aic(scores - start - steep * linear),
        residual=float(np.std(errors, ddof=2)) if len(x) > 2 else 0.0,
        n=len(x),
    )


def binned(x: FloatArray, scores: FloatArray, n_edges: int = EDGES) -> tuple[FloatArray, FloatArray, IntArray]:
    """Right edges, mean scores (NaN where there is none) and numbers of concepts of all bins, (n_edges,)."""
    edges = np.linspace(x.min(), x.max(), n_edges)
    edges[-1] = x.max()
    index = np.minimum(np.digitize(x, edges, right=True), n_edges - 1)
    ns = np.bincount(index, minlength=n_edges)
    with np.errstate(invalid="ignore"):
        return edges, np.bincount(index, scores, n_edges) / ns, ns.astype(np.int64)


def bootstrap(
    counts: NDArray, scores: NDArray, n_edges: int = EDGES, drop_first: int = 1, *,
    level: float = 0.95, draws: int = 1000, seed: int = 0,
) -> Intervals:  # fmt: skip
    """Intervals of a fit by drawing concepts anew.

    Parameters
    ----------
    counts, scores, n_edges, drop_first
        As for `fit_log_linear`.
    level : float in (0, 1)
    draws : int
    seed : int
    """
    counts, scores = checked(counts, scores)
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1); got {level}")
    rng, x = np.random.default_rng(seed), log_counts(counts)
    statistics = []
    for _ in range(draws):
        rows = rng.integers(len(x), size=len(x))
        if np.ptp(x[rows]) == 0:
            continue
        edges, means, _ = binned(x[rows], scores[rows], n_edges)
        binned_r = correlation(*_counted(edges, means, drop_first))
        statistics.append((binned_r, correlation(x[rows], scores[rows]), least_squares(x[rows], scores[rows])[0]))
    if not statistics:
        raise ValueError("counts must differ for a slope")
    table = np.array(statistics)
    tails = [(1 - level) / 2, (1 + level) / 2]
    known = [column[np.isfinite(column)] for column in table.T]
    pairs = [tuple(np.quantile(values, tails).tolist()) if len(values) else (math.nan, math.nan) for values in known]
    return Intervals(r=pairs[0], raw_r=pairs[1], slope=pairs[2], level=level)


def permutation_p(
    counts: NDArray, scores: NDArray, n_edges: int = EDGES, drop_first: int = 1, *, draws: int = 1000, seed: int = 0
) -> float:
    """How often shuffled scores correlate as well, binned, as the true ones: (1 + times) / (1 + draws).

    NaN where the true ones have too few bins for a correlation; shuffles without one are left out.
    """
    counts, scores = checked(counts, scores)
    rng, x = np.random.default_rng(seed), log_counts(counts)
    edges, means, _ = binned(x, scores, n_edges)
    observed = correlation(*_counted(edges, means, drop_first))
    if not math.isfinite(observed):
        return math.nan
    shuffled = (binned(x, rng.permutation(scores), n_edges)[1] for _ in range(draws))
    correlations = [
        r for permuted in shuffled if math.isfinite(r := correlation(*_counted(edges, permuted, drop_first)))
    ]
    return (1 + sum(r >= observed - 1e-12 for r in correlations)) / (1 + len(correlations))


def least_squares(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Slope and intercept."""
    centred = x - x.mean()
    slope = float(centred @ (y - y.mean()) / (centred @ centred))
    return slope, float(y.mean() - slope * x.mean())


def pearson(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Correlation and p-value; NaN for fewer than three points, or where one side is constant."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan, math.nan
    from scipy.stats import pearsonr

    result = pearsonr(x, y)
    return float(result.statistic), float(result.pvalue)


def correlation(x: FloatArray, y: FloatArray) -> float:
    """Pearson's r alone; NaN as `pearson` says."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    a, b = x - x.mean(), y - y.mean()
    return float(a @ b / math.sqrt(float(a @ a) * float(b @ b)))


def _counted(edges: FloatArray, means: FloatArray, drop_first: int) -> tuple[FloatArray, FloatArray]:
    """The bins that count and hold something."""
    edges, means = edges[drop_first:-1], means[drop_first:-1]
    some = np.isfinite(means)
    return edges[some], means[some]


def _inner(edges: FloatArray, means: FloatArray, drop_first: int) -> tuple[float, float]:
    """Correlation over the bins that count, with its p-value."""
    return pearson(*_counted(edges, means, drop_first))


def _aic(errors: FloatArray) -> float:
    """Of a line with normal errors: three parameters."""
    return float(len(errors) * math.log(max(float(errors @ errors) / len(errors), 1e-300)) + 6)


def checked(counts: NDArray, scores: NDArray) -> tuple[FloatArray, FloatArray]:
    """Both as finite floats of one length."""
    counts, scores = np.asarray(counts, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if counts.ndim != 1 or counts.shape != scores.shape:
        raise ValueError(f"counts and scores must be of one shape (n,); got {counts.shape} and {scores.shape}")
    if len(counts) < 3:
        raise ValueError(f"a fit needs at least 3 concepts with a score; got {len(counts)}")
    if not (np.isfinite(counts).all() and np.isfinite(scores).all()):
        raise ValueError("counts and scores must be finite; leave out concepts without a score")
    if counts.min() < 0:
        raise ValueError(f"counts must be at least 0; got {counts.min():g}")
    return counts, scores
