"""Accuracy over samples and over classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.typing import IntArray


def accuracy(truth: IntArray, prediction: IntArray) -> float:
    """Share of samples predicted right, in [0, 1]."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(truth, prediction))


def per_class_accuracy(truth: IntArray, prediction: IntArray) -> dict[int, float]:
    """Share of samples predicted right, for every class that occurs in `truth`."""
    from sklearn.metrics import recall_score

    classes = np.unique(truth)
    recalls = recall_score(truth, prediction, labels=classes, average=None, zero_division=0)
    return dict(zip(classes.tolist(), recalls.tolist()))


def mean_class_accuracy(truth: IntArray, prediction: IntArray) -> float:
    """Mean over the classes in `truth` of the share predicted right, in [0, 1] (balanced accuracy)."""
    return float(np.mean(list(per_class_accuracy(truth, prediction).values())))


def chance(truth: IntArray, n_classes: int) -> float:
    """Accuracy of a uniform guess among `n_classes`; a sample of another class cannot be guessed."""
    return float(np.mean(truth < n_classes) / n_classes)


def bootstrap_interval(right: NDArray[Any], level: float = 0.95, draws: int = 1000) -> tuple[float, float]:
    """Interval of a mean by resampling the samples.

    Parameters
    ----------
    right : array (n,)
        Whether each sample is right, or the share of seeds in which it is.
    """
    n = len(right)
    picks = np.random.default_rng(0).integers(n, size=(draws, n))
    low, high = np.quantile(np.asarray(right, dtype=float)[picks].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
