"""Temperatures of probabilities: softer or sharper, and the one that fits labelled samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_LOWEST = -100.0  # a log-probability of minus infinity counts as this, beside the largest of its row


def soften(p: Float[Tensor, "n c"], temperature: float) -> Float[Tensor, "n c"]:
    """Probabilities p^(1/T), renormalised: softer for T > 1, sharper for T < 1; a zero stays a zero.

    Equal to softmax(logits / T) where p = softmax(logits).
    """
    return p if temperature == 1 else torch.softmax(torch.log(p) / temperature, dim=1)


def fit_temperature(logits: Any, y: Any) -> float:
    """The temperature T that makes softmax(logits / T) most likely for the labels [1].

    Parameters
    ----------
    logits : array or tensor (n, c)
        Logits, or log-probabilities (minus infinity allowed), of samples that the model was not trained on.
    y : int array or tensor (n,)
        Their labels: columns of `logits`.

    Returns
    -------
    float
        In [0.001, 1000]; above 1 if the model is overconfident.

    Raises
    ------
    ValueError
        If shapes do not fit, a label is no column, or a logit is NaN or plus infinity.

    References
    ----------
    [1] Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    z, y = np.asarray(logits, dtype=np.float64), np.asarray(y)
    if z.ndim != 2 or y.shape != z.shape[:1] or not len(y):
        raise ValueError(f"logits must be of shape (n, c) and y of shape (n,), n >= 1; got {z.shape} and {y.shape}")
    if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= z.shape[1]:
        raise ValueError(f"y must hold integers in [0, {z.shape[1]}); got {y.min()}..{y.max()} of {y.dtype}")
    if np.isnan(z).any() or np.isposinf(z).any() or np.isneginf(z).all(axis=1).any():
        raise ValueError("logits must hold no NaN and no plus infinity, and a finite value in each row")
    z = np.maximum(z - z.max(axis=1, keepdims=True), _LOWEST)

    def negative_log_likelihood(log_beta: float) -> float:
        scaled = math.exp(log_beta) * z
        return float((logsumexp(scaled, axis=1) - scaled[np.arange(len(y)), y]).mean())

    best = minimize_scalar(
        negative_log_likelihood,
        bounds=(math.log(1e-3), math.log(1e3)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(-best.x)
