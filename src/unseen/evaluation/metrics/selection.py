"""How well a score without a target chooses: its correlation with accuracy, and what the choice costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import pearsonr, spearmanr

from unseen.validation import middle_of_the_best


@dataclasses.dataclass(frozen=True)
class Correlation:
    """Spearman's and Pearson's correlation, each with a bootstrap interval (low, high) over configurations."""

    spearman: float
    pearson: float
    spearman_interval: tuple[float, float]
    pearson_interval: tuple[float, float]


def correlation(
    values: Sequence[float], truth: Sequence[float], *, draws: int = 500, level: float = 0.95
) -> Correlation:
    """Correlation of a score with the true accuracy over configurations; 0 where one of them is constant.

    Raises
    ------
    ValueError
        If lengths differ, or there are fewer than 3.
    """
    a, b = np.asarray(values, dtype=float), np.asarray(truth, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 3:
        raise ValueError(f"values and truth must be of one length, at least 3; got {a.shape} and {b.shape}")
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(a), size=len(a)) for _ in range(draws)]
    coefficients, intervals = [], []
    for rule in (spearmanr, pearsonr):
        coefficients.append(_of(rule, a, b))
        tails = np.quantile([_of(rule, a[i], b[i]) for i in drawn], [(1 - level) / 2, (1 + level) / 2])
        intervals.append((float(tails[0]), float(tails[1])))
    return Correlation(coefficients[0], coefficients[1], intervals[0], intervals[1])


def rank_correlation(values: ArrayLike, truth: ArrayLike) -> float:
    """Spearman's correlation alone; 0 where one of both is constant and so tells nothing."""
    return _of(spearmanr, np.asarray(values, dtype=float), np.asarray(truth, dtype=float))


def _of(rule: Any, a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("values and truth must be finite; they hold NaN or infinity")
    return float(rule(a, b).statistic) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0


def selection_regret(values: Sequence[float], truth: Sequence[float], keys: Sequence[Any] | None = None) -> float:
    """The accuracy of the best configuration minus that of the one with the largest value, in [0, 1].

    Ties as in `unseen.validation.middle_of_the_best`.
    """
    if len(values) != len(truth):
        raise ValueError(f"values and truth must be of one length; got {len(values)} and {len(truth)}")
    return float(max(truth) - truth[middle_of_the_best(values, keys)])


def selection_table(
    criteria: dict[str, Sequence[float]], truth: Sequence[float], keys: Sequence[Any] | None = None
) -> pd.DataFrame:
    """A row for each criterion: correlations with intervals, the accuracy of its choice, and its regret."""
    rows = []
    for name, values in criteria.items():
        correlations = correlation(values, truth)
        rows.append(
            {
                "criterion": name,
                **dataclasses.asdict(correlations),
                "accuracy": float(truth[middle_of_the_best(values, keys)]),
                "regret": selection_regret(values, truth, keys),
            }
        )
    return pd.DataFrame(rows)
