"""Accuracy over samples and over classes."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

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


def wilson_interval(share: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share of `n` samples that are right or not [1]; never of no width.

    It holds about as often as it says for few samples and for shares near 0 or 1, too [2], where what is drawn from the
    samples again is far too narrow: of 8 that are all right every draw is 1.

    Parameters
    ----------
    share : float in [0, 1]
        How many are right. A mean over seeds varies less than one of them: the interval is then rather too wide.
    n : int, >= 1

    References
    ----------
    [1] Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927.
    [2] Brown, Cai, DasGupta, "Interval Estimation for a Binomial Proportion", Statistical Science 2001.
    """
    if n < 1 or not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], of at least one sample; got {share} of {n}")
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
