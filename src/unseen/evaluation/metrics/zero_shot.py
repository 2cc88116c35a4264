"""Metrics of zero-shot recognition: mean per-class top-1, and S, U and H of the generalized setting."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unseen.data.typing import FloatArray, IntArray
from unseen.evaluation.metrics.classification import mean_class_accuracy


def mean_class_top1(truth: IntArray, prediction: IntArray) -> float:
    """The mean top-1 accuracy of the classes that occur in `truth`, in [0, 1] (Xian et al. 2019, eq. 6).

    Raises
    ------
    ValueError
        If there is no sample, or the two are not vectors of one length.
    """
    if truth.ndim != 1 or truth.shape != prediction.shape or len(truth) == 0:
        raise ValueError(
            f"truth and prediction must be vectors of one length; got {truth.shape} and {prediction.shape}"
        )
    return mean_class_accuracy(truth, prediction)


def harmonic_mean(seen: float, unseen: float) -> float:
    """H = 2 S U / (S + U); 0 if both are 0."""
    total = seen + unseen
    return 2 * seen * unseen / total if total > 0 else 0.0


def generalized_scores(truth: IntArray, prediction: IntArray, seen: IntArray) -> dict[str, float]:
    """S, U and H: mean per-class top-1 on samples of seen classes, on the others, and their harmonic mean.

    Parameters
    ----------
    truth, prediction : arrays of class indices, (n,)
        Samples of seen and of unseen classes, predicted among all of them.
    seen : array of class indices

    Returns
    -------
    dict
        With the keys ``s``, ``u`` and ``h``, each in [0, 1].

    Raises
    ------
    ValueError
        If there is no sample of a seen class or none of another.
    """
    known = np.isin(truth, seen)
    if known.all() or not known.any():
        raise ValueError(
            f"truth must hold samples of seen and of unseen classes; {known.sum()} of {len(truth)} are seen"
        )
    s = mean_class_top1(truth[known], prediction[known])
    u = mean_class_top1(truth[~known], prediction[~known])
    return {"s": s, "u": u, "h": harmonic_mean(s, u)}


def base_to_new_scores(truth: IntArray, scores: FloatArray, seen: IntArray) -> dict[str, float]:
    """Accuracy of seen (base) classes told among themselves, of the others (new) among themselves, and their mean H.

    As learners of prompts are graded: neither side competes with the other's names, unlike in `generalized_scores`.
    Among classes of one score each is as good a guess as the others: what has no score for a side is at chance on it.

    Parameters
    ----------
    truth : array of class indices, (n,)
    scores : array (n, n_classes)
        Larger is better.
    seen : array of class indices

    Returns
    -------
    dict
        With the keys ``base``, ``new`` and ``h``, each in [0, 1]; top-1 over samples, as the benchmark has it.

    Raises
    ------
    ValueError
        If there is no sample of a seen class or none of another, or the shapes do not fit.
    """
    if truth.ndim != 1 or scores.ndim != 2 or len(truth) != len(scores):
        raise ValueError(f"truth and scores must be of shape (n,) and (n, c); got {truth.shape} and {scores.shape}")
    among = np.isin(np.arange(scores.shape[1]), seen)
    known = among[truth]
    if known.all() or not known.any():
        raise ValueError(
            f"truth must hold samples of seen and of unseen classes; {known.sum()} of {len(truth)} are seen"
        )
    base, new = (
        accuracy_among(truth[known], scores[known], among),
        accuracy_among(truth[~known], scores[~known], ~among),
    )
    return {"base": base, "new": new, "h": harmonic_mean(base, new)}


def accuracy_among(truth: IntArray, scores: FloatArray, asked: NDArray[np.bool_]) -> float:
    """Top-1 accuracy if some classes alone are asked about; of classes of the largest score each is as good a guess.

    Parameters
    ----------
    truth : array of class indices, (n,)
        Of classes that are asked about.
    scores : array (n, n_classes)
        Larger is better.
    asked : array of bool, (n_classes,)
    """
    among = scores[:, asked]
    best = among == among.max(axis=1, keepdims=True)
    hit = best[np.arange(len(best)), (np.cumsum(asked) - 1)[truth]]
    return float((hit / best.sum(axis=1)).mean())
