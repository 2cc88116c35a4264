"""One number for how different two samples of features are: the maximum mean discrepancy (MMD)."""

from __future__ import annotations

import numpy as np

from unseen.data.typing import FloatArray

_FOR_WIDTH = 500


def mmd(a: FloatArray, b: FloatArray) -> float:
    """Squared MMD with a Gaussian kernel, the unbiased estimate: about 0 for equal distributions, 2 at most [1].

    The width of the kernel is the median distance between rows of both (of an evenly spaced part). The figure changes
    neither under rotation, nor under a shift or a scale that is common to both, nor with the order of rows.

    Parameters
    ----------
    a, b : array (n, d) and (m, d)
        At least two rows each.

    References
    ----------
    [1] Gretton et al., "A Kernel Two-Sample Test", JMLR 2012, eq. 3.
    """
    if min(len(a), len(b)) < 2 or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"a and b must have at least 2 rows and one width; got shapes {a.shape} and {b.shape}")
    centre = np.concatenate([a, b]).mean(axis=0)
    a, b = (a - centre).astype(np.float64), (b - centre).astype(np.float64)
    within_a, within_b, across = _squares(a, a), _squares(b, b), _squares(a, b)
    joint = np.concatenate([_evenly(a), _evenly(b)])
    apart = _squares(joint, joint)[np.triu_indices(len(joint), 1)]
    width = float(np.median(apart))
    if width <= 0:
        return 0.0 if not across.any() else 2.0
    n, m = len(a), len(b)
    same_a = (np.exp(-within_a / width).sum() - n) / (n * (n - 1))
    same_b = (np.exp(-within_b / width).sum() - m) / (m * (m - 1))
    return float(same_a + same_b - 2 * np.exp(-across / width).mean())


def _evenly(x: FloatArray) -> FloatArray:
    order = (x**2).sum(axis=1).argsort()  # a part that depends neither on the order of rows nor on a rotation
    return x[order[np.linspace(0, len(x) - 1, min(len(x), _FOR_WIDTH)).astype(int)]]


def _squares(a: FloatArray, b: FloatArray) -> FloatArray:
    """Squared distances between rows, (n, m)."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    if a is b:
        np.fill_diagonal(squares, 0.0)
    return np.maximum(squares, 0.0)
