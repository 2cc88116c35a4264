"""Class shares of the target from how a classifier confuses classes: black box shift estimation (BBSE)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from unseen.data.typing import FloatArray, IntArray


def bbse(p_source: FloatArray, y: IntArray, p_target: FloatArray) -> FloatArray:
    """Estimate the class shares of the target under label shift: p(x | y) is the same on both sides [1].

    The shares q solve C q = m, where column y of C is the mean prediction of held-out source samples of class y, and m
    the mean prediction on the target. Probabilities stand in for hard predictions, which has the same limit and less
    noise; the solution is the least-squares one among shares that are not negative.

    Parameters
    ----------
    p_source, p_target : array (n, c) and (m, c)
        Probabilities of a classifier that was not trained on these samples.
    y : int array (n,)
        Classes of the source samples. A class without samples gets no share.

    Returns
    -------
    array (c,)
        Shares that sum to 1.

    References
    ----------
    [1] Lipton, Wang, Smola, "Detecting and Correcting for Label Shift with Black Box Predictors", ICML 2018, eq. 4.
    """
    c = p_source.shape[1]
    present = np.unique(y)
    columns = np.stack([p_source[y == label].mean(axis=0) for label in present], axis=1)
    solution, _ = nnls(columns, p_target.mean(axis=0))
    shares = np.zeros(c)
    shares[present] = solution / solution.sum() if solution.sum() > 0 else 1 / len(present)
    return shares
