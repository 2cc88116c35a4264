"""Accuracy without labels: two published estimators, and an interval from how far off they were where labels exist."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from unseen.nn.information import entropy


def average_thresholded_confidence(
    check: Float[Tensor, "k c"], right: Bool[np.ndarray, " k"], target: Float[Tensor, "n c"]
) -> float:
    """The share of target samples that are surer than a threshold learnt on the source, in [0, 1].

    Sure means a small entropy. The threshold is where the share of source samples above it is their accuracy.

    Parameters
    ----------
    check, right : Tensor of shape (k, c), bool array (k,)
        Probabilities of held-out source samples, and whether their prediction is right.
    target : Tensor of shape (n, c)
        Probabilities of target samples, at the same temperature.

    Source: Garg, Balakrishnan, Lipton, Neyshabur, Sedghi, "Leveraging Unlabeled Data to Predict Out-of-Distribution
    Performance", ICLR 2022, equations 1 and 2, with negative entropy as score.

    Raises
    ------
    ValueError
        If lengths differ, or there are no samples.
    """
    right = np.asarray(right, dtype=bool)
    if len(check) != len(right) or not len(check) or not len(target):
        raise ValueError(
            f"check and right must be of one length, at least 1, and target hold samples; "
            f"got {len(check)}, {len(right)} and {len(target)}"
        )
    known = np.sort(-entropy(check).numpy())
    wrong = int((~right).sum())
    if wrong == len(known):
        return 0.0
    return float(np.mean(-entropy(target).numpy() >= known[wrong]))


def accuracy_interval(estimate: float, samples: int, error: float) -> tuple[float, float]:
    """Where an accuracy lies that was estimated without labels: an interval in [0, 1].

    A bootstrap would only tell how much the estimate varies, not how far it is off, which is far more. So the half
    width is `error`, which is what the share asked for of measured errors stays below (split conformal prediction),
    with the sampling error of an accuracy on `samples` samples added in squares (of Laplace's estimate of it, since
    that of 0 or 1 itself would be none).

    Parameters
    ----------
    estimate : float in [0, 1]
    samples : int, >= 1
        Of the target.
    error : float, >= 0
        A quantile of |estimate - accuracy| over cases with labels.

    Source: Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005, section 4.1; it is exact only for
    cases that are exchangeable with those measured.
    """
    if not 0 <= estimate <= 1:
        raise ValueError(f"estimate must be in [0, 1]; got {estimate}")
    if samples < 1 or error < 0:
        raise ValueError(f"samples must be at least 1 and error at least 0; got {samples} and {error}")
    q = (estimate * samples + 1) / (samples + 2)  # an estimate of 0 or 1 on three samples is not sure to be right
    half = math.sqrt(error**2 + 1.645**2 * q * (1 - q) / samples)
    return max(0.0, estimate - half), min(1.0, estimate + half)
