"""Class shares of the target by maximum likelihood: the EM algorithm of Saerens, and of MLLS."""

from __future__ import annotations

import numpy as np

from unseen.data.typing import FloatArray


def mlls(p_target: FloatArray, prior: FloatArray, *, iterations: int = 500, tolerance: float = 1e-6) -> FloatArray:
    """Estimate the class shares of the target under label shift: p(x | y) is the same on both sides [1].

    Each step reweights the probabilities by the ratio of new to old shares and takes their mean; the likelihood is
    concave in the shares, so that the start does not matter. It needs calibrated probabilities [2].

    Parameters
    ----------
    p_target : array (m, c)
        Calibrated probabilities of target samples, of a classifier trained on the source.
    prior : array (c,)
        Class shares of the source, as the classifier's mean calibrated probability on held-out source samples [2].
    iterations : int
        At most.
    tolerance : float
        The steps end when no share changes by more.

    Returns
    -------
    array (c,)
        Shares that sum to 1. A class that the source lacks keeps a share of 0.

    References
    ----------
    [1] Saerens, Latinne, Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori Probabilities",
        Neural Computation 2002, eq. 2.9.
    [2] Alexandari, Kundaje, Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label
        Shift Adaptation", ICML 2020.
    """
    if p_target.ndim != 2 or prior.shape != p_target.shape[1:] or not len(p_target):
        raise ValueError(f"prior must have a share per column of p_target; got {prior.shape} and {p_target.shape}")
    ratio = np.divide(p_target, prior, out=np.zeros_like(p_target), where=prior > 0)
    shares = prior / prior.sum()
    for _ in range(iterations):
        weighted = ratio * shares
        new = (weighted / np.maximum(weighted.sum(axis=1, keepdims=True), 1e-300)).mean(axis=0)
        new /= new.sum()
        done = np.abs(new - shares).max() < tolerance
        shares = new
        if done:
            break
    return shares
