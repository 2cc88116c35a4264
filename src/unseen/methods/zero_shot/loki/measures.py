"""What the paper measures: how far predictions lie from the truth, not only whether they hit it."""

import numpy as np

from unseen.data.label_metrics import LabelMetric
from unseen.data.typing import IntArray


def mean_squared_distance(metric: LabelMetric, truth: IntArray, predicted: IntArray) -> float:
    """Mean of d(y, y_hat)^2 over the samples."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape or truth.ndim != 1 or not len(truth):
        got = f"{truth.shape} and {predicted.shape}"
        raise ValueError(f"truth and predicted must be of equal shape (n,), n >= 1; got {got}")
    return float(np.mean(metric.between(truth, predicted) ** 2))


def relative_improvement(before: float, after: float) -> float:
    """(before - after) / before: 0.1 is ten per cent less; 0 where there was nothing to improve."""
    return (before - after) / before if before else 0.0


def unseen_accuracy(truth: IntArray, predicted: IntArray, seen: IntArray) -> float:
    """Share of right predictions among samples of classes that were never observed; NaN if there is none."""
    unseen = ~np.isin(truth, seen)
    return float((np.asarray(truth)[unseen] == np.asarray(predicted)[unseen]).mean()) if unseen.any() else float("nan")
