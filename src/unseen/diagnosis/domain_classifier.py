"""Can the two domains be told apart? The area under the curve of a classifier that tries."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve
from scipy.stats import rankdata

from unseen.data.typing import FloatArray, IntArray
from unseen.validation.rehearsal import folds_of_groups


class DomainAUC(NamedTuple):
    """Mean area under the curve over folds, in [0, 1], and its standard error over folds."""

    auc: float
    error: float


def domain_auc(a: FloatArray, b: FloatArray, *, folds: int = 5, penalty: float = 0.1, seed: int = 0) -> DomainAUC:
    """Cross-validated AUC of a linear classifier that tells rows of `a` from rows of `b` [1, 2].

    0.5: no linear classifier finds a difference; 1: every sample betrays its domain. Equal rows share a fold, so that
    a sample that stands on both sides is never its own teacher.

    Parameters
    ----------
    a, b : array (n, d) and (m, d)
        Features, at least `folds` rows each.
    folds : int, >= 2
    penalty : float, > 0
        Of the ridge regression on standardized features, as a share of their variance.
    seed : int
        Of the folds.

    Raises
    ------
    ValueError
        If widths differ, or a side has fewer rows than folds.

    References
    ----------
    [1] Lopez-Paz & Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017.
    [2] Ben-David et al., "Analysis of Representations for Domain Adaptation", NeurIPS 2006: the proxy A-distance.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"a and b must be tables of one width; got shapes {a.shape} and {b.shape}")
    if min(len(a), len(b)) < folds:
        raise ValueError(f"a and b must have at least {folds} rows, one per fold; got {len(a)} and {len(b)}")
    x = np.concatenate([a, b]).astype(np.float32)
    side = np.repeat([0, 1], [len(a), len(b)])
    fold = folds_of_groups(np.unique([row.tobytes() for row in x], return_inverse=True)[1], folds, seed)
    z = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-6)
    gram = z @ z.T if len(z) < z.shape[1] else z.T @ z
    areas = []
    for k in range(folds):
        out = fold == k
        if len(np.unique(side[out])) < 2 or len(np.unique(side[~out])) < 2:
            continue
        areas.append(auc(_score(z, gram, side, out, penalty), side[out]))
    if not areas:  # a handful of distinct rows, all in one fold
        return DomainAUC(0.5, 0.0)
    return DomainAUC(float(np.mean(areas)), float(np.std(areas, ddof=1) / len(areas) ** 0.5) if len(areas) > 1 else 0.0)


def auc(score: FloatArray, positive: IntArray) -> float:
    """Chance that a positive scores above a negative, ties counting half: area under the ROC curve."""
    ranks = rankdata(score)
    n = int(positive.sum())
    return float((ranks[positive == 1].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))


def _score(z: FloatArray, gram: FloatArray, side: IntArray, out: NDArray[np.bool_], penalty: float) -> FloatArray:
    """Score the rows `out` by a ridge regression of the side on the other rows; `gram` is over rows or over columns."""
    y = (side - side[~out].mean()).astype(np.float32)
    ridge = np.float32(penalty * (~out).sum())
    over_rows = len(z) < z.shape[1]
    rest = gram[np.ix_(~out, ~out)] if over_rows else gram - z[out].T @ z[out]
    rest[np.diag_indices_from(rest)] += ridge
    if over_rows:
        return gram[np.ix_(out, ~out)] @ solve(rest, y[~out], assume_a="pos", overwrite_a=True)
    return z[out] @ solve(rest, z[~out].T @ y[~out], assume_a="pos", overwrite_a=True)
