"""Deep embedded validation: source validation in which samples count as they look like the target (ICML 2019)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

_LARGEST = 2000
"""Samples of each domain that the ratio is learnt from; of more, every k-th is used."""


def density_ratio(
    source: Float[Tensor, "n d"], target: Float[Tensor, "m d"], at: Float[Tensor, "k d"]
) -> Float[np.ndarray, " k"]:
    """How many times denser the target is than the source, at each row of `at`: (k,), >= 0.

    A logistic regression tells the domains apart; its odds, times n / m, are the ratio.

    Source: Bickel, Bruckner, Scheffer, "Discriminative Learning for Differing Training and Test Distributions",
    ICML 2007; as in You et al. 2019, equation 9.

    Raises
    ------
    ValueError
        If one of the domains has no samples.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for name, part in (("source", source), ("target", target)):
        if not len(part):
            raise ValueError(f"{name} must hold at least one sample; got none")
    parts = [part[:: -(-len(part) // _LARGEST)].numpy() for part in (source, target)]
    x = np.concatenate(parts)
    of_target = np.repeat([0, 1], [len(part) for part in parts])
    judge = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200)).fit(x, of_target)
    log_odds = np.clip(judge.decision_function(at.numpy()), -20, 20)
    ratio: NDArray[np.float64] = np.exp(log_odds) * len(parts[0]) / len(parts[1])
    return ratio


def embedded_validation(right: Bool[np.ndarray, " k"], ratio: Float[np.ndarray, " k"]) -> float:
    """Accuracy on the target as estimated from labelled source samples, with a control variate; larger is better.

    It estimates an accuracy, but where the domains hardly overlap it may leave [0, 1].

    Parameters
    ----------
    right : bool array (k,)
        Whether held-out source samples are predicted right.
    ratio : array (k,)
        `density_ratio` at these samples.

    Source: You, Wang, Long, Jordan, "Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation",
    ICML 2019, algorithm 1: the risk is mean(w l) + eta mean(w) - eta with eta = -Cov(w l, w) / Var(w).

    Raises
    ------
    ValueError
        If lengths differ, there is no sample, or a ratio is negative or not finite.
    """
    right, ratio = np.asarray(right), np.asarray(ratio, dtype=float)
    if right.shape != ratio.shape or not len(right):
        raise ValueError(f"right and ratio must have one length, at least 1; got {right.shape} and {ratio.shape}")
    if not np.isfinite(ratio).all() or (ratio < 0).any():
        raise ValueError("ratio must be finite and >= 0")
    loss = ratio * ~right.astype(bool)
    variance = ratio.var()
    eta = -np.mean((loss - loss.mean()) * (ratio - ratio.mean())) / variance if variance > 0 else 0.0
    return float(1 - (loss.mean() + eta * ratio.mean() - eta))
