"""Bias-corrected temperature scaling: probabilities whose mean per class is right, as label-shift estimators need."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from unseen.data.typing import FloatArray, IntArray

_PULL = 1e-3
"""Weight of the squared biases, which are free up to a constant and loose for rare classes."""


def bias_corrected(
    log_p: FloatArray, y: IntArray, others: FloatArray, largest: float = 10.0
) -> tuple[FloatArray, FloatArray]:
    """Fit softmax(s log p + b) on labelled held-out samples; calibrated probabilities of these and of `others` [1].

    Parameters
    ----------
    log_p, others : array (n, c) and (m, c)
        Log-probabilities.
    y : int array (n,)
        Labels of `log_p`.
    largest : float
        Bound of s, the inverse temperature, from above; 1 / `largest` bounds it from below.

    References
    ----------
    [1] Alexandari, Kundaje, Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label
        Shift Adaptation", ICML 2020, section 2.2 (BCTS).
    """
    n, c = log_p.shape
    truth = np.zeros((n, c))
    truth[np.arange(n), y] = 1

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        scale, bias = parameters[0], parameters[1:]
        log_q = log_softmax(scale * log_p + bias, axis=1)
        excess = (np.exp(log_q) - truth) / n
        value = -(truth * log_q).sum() / n + _PULL * (bias**2).sum()
        return float(value), np.r_[(excess * log_p).sum(), excess.sum(axis=0) + 2 * _PULL * bias]

    bounds = [(1 / largest, largest)] + [(-10.0, 10.0)] * c
    fitted = minimize(loss, np.r_[1.0, np.zeros(c)], jac=True, bounds=bounds, method="L-BFGS-B").x
    return tuple(np.exp(log_softmax(fitted[0] * z + fitted[1:], axis=1)) for z in (log_p, others))
