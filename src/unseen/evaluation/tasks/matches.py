"""How matches are graded: how many are right, and how well they tell the homography."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.homographies import apply, corners, through
from unseen.data.typing import FloatArray
from unseen.evaluation.tasks.base import Grades
from unseen.nn.two_view import THRESHOLD, two_view

ACCURACY_AT = (1, 3, 5)
"""Pixels within which a match is right."""
AUC_AT = (3, 5, 10)
"""Pixels up to which corner errors count."""
FLAT = 0.5
"""Pixels by which truth may miss a homography that it is taken to follow."""
NEAR = 6.0
"""Pixels from known points within which truth that is no homography judges a match."""


def corner_error(truth: NDArray[Any], estimated: NDArray[Any] | None, width: float, height: float) -> float:
    """Mean distance of the four corners as two homographies place them, in pixels; infinite where none was found."""
    if estimated is None:
        return float("inf")
    there = corners(width, height)
    distance = np.linalg.norm(apply(truth, there) - apply(estimated, there), axis=1)
    return float(distance.mean()) if np.isfinite(distance).all() else float("inf")


def error_auc(errors: Sequence[float] | NDArray[Any], thresholds: Sequence[float] = AUC_AT) -> list[float]:
    """Area under the share of errors below t, for t from 0 to each threshold, as a share of the threshold.

    By trapezoids between the sorted errors, as pose and homography benchmarks have it; an infinite error is a failure.
    """
    ordered = np.sort(np.asarray(errors, dtype=np.float64))
    if not len(ordered):
        raise ValueError("errors must hold at least one; it is empty")
    recall = np.arange(1, len(ordered) + 1) / len(ordered)
    ordered, recall = np.r_[0.0, ordered], np.r_[0.0, recall]
    areas = []
    for threshold in thresholds:
        last = int(np.searchsorted(ordered, threshold))
        x, y = np.r_[ordered[:last], threshold], np.r_[recall[:last], recall[last - 1]]
        areas.append(float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / threshold))
    return areas


class _Matches(Grades):
    """Matching accuracy at 1, 3 and 5 px, AUC of the corner error at 3, 5 and 10 px, and how many matches there are.

    The truth of a pair are rows of points of the first picture, its four corners among them, and where they lie in the
    second (`unseen.data.homographies.correspondences`). Truth that follows no homography, such as that of a scene with
    depth, grades the accuracy of matches near its points, and no corner error.
    """

    task = "matches"
    headline = "auc@5"
    meaning = "area under the share of pairs whose corners are off by less than t, for t up to 5 pixels"

    def grade(self, truth: NDArray[Any], prediction: NDArray[Any], classes: ClassSpace | None) -> dict[str, float]:
        """All figures: accuracies are means over pairs (0 of a pair without a match)."""
        each = [self._pair(*both) for both in _known(truth, prediction)]
        if not each:
            raise ValueError("truth must be known of at least one pair; it is known of none")
        table = {f"accuracy@{t}": float(np.mean([pair[0][k] for pair in each])) for k, t in enumerate(ACCURACY_AT)}
        errors = [error for _, error, _ in each if error is not None]
        for t, area in zip(AUC_AT, error_auc(errors) if errors else [float("nan")] * len(AUC_AT)):
            table[f"auc@{t}"] = area
        return table | {"matches": float(np.mean([n for _, _, n in each]))}

    def each(self, truth: NDArray[Any], prediction: NDArray[Any], classes: ClassSpace | None) -> FloatArray:
        """What each pair adds to ``auc@5``; the accuracy at 3 px where truth is no homography."""
        if len(truth) != len(prediction):
            raise ValueError(f"truth and prediction must be of equal length; got {len(truth)} and {len(prediction)}")
        out = np.full(len(truth), np.nan)
        for i, (rows, matches) in enumerate(zip(truth, prediction)):
            if rows is not None and len(rows):
                accuracy, error, _ = self._pair(rows, matches)
                out[i] = accuracy[1] if error is None else error_auc([error], (5,))[0]
        return out

    def _pair(self, rows: NDArray[Any], matches: NDArray[Any]) -> tuple[list[float], float | None, int]:
        """Accuracies, the corner error (None where truth is no homography) and the number of matches of a pair."""
        rows, matches = np.asarray(rows, dtype=np.float64), np.asarray(matches, dtype=np.float64).reshape(-1, 4)
        matrix = homography_of(rows)
        distance = np.linalg.norm(placed(rows, matrix, matches[:, :2]) - matches[:, 2:], axis=1)
        judged = ~np.isnan(distance)
        accuracy = [float((distance[judged] < t).mean()) if judged.any() else 0.0 for t in ACCURACY_AT]
        if matrix is None:
            return accuracy, None, len(matches)
        width, height = np.ptp(rows[:, :2], axis=0) + 1
        view = two_view(matches - np.tile(rows[:, :2].min(axis=0), 2), "homography", THRESHOLD)
        shift = np.eye(3)
        shift[:2, 2] = -rows[:, :2].min(axis=0)
        return accuracy, corner_error(shift @ matrix @ np.linalg.inv(shift), view.matrix, width, height), len(matches)


def homography_of(rows: NDArray[np.float64]) -> Float[np.ndarray, "3 3"] | None:
    """The homography that truth follows to within `FLAT` pixels; None if it follows none."""
    if len(rows) < 4:
        return None
    matrix = through(rows[:, :2], rows[:, 2:])
    off = np.linalg.norm(apply(matrix, rows[:, :2]) - rows[:, 2:], axis=1)
    return matrix if np.isfinite(off).all() and np.median(off) < FLAT else None


def placed(
    rows: NDArray[np.float64], matrix: NDArray[Any] | None, points: NDArray[np.float64]
) -> Float[np.ndarray, "n 2"]:
    """Where truth says that points of the first picture lie in the second; NaN where it does not say.

    Without a homography a point moves as the nearest known one, if that is near.
    """
    if matrix is not None:
        return apply(matrix, points)
    from scipy.spatial import cKDTree

    distance, nearest = cKDTree(rows[:, :2]).query(points) if len(points) else (np.zeros(0), np.zeros(0, dtype=int))
    return np.where((distance < NEAR)[:, None], points + rows[nearest, 2:] - rows[nearest, :2], np.nan)


def right(truth: NDArray[Any], matches: NDArray[Any], within: float = 3.0) -> Bool[np.ndarray, "m"]:
    """Which matches of a pair are right, to within so many pixels; those that truth says nothing of are not."""
    rows, matches = np.asarray(truth, dtype=np.float64), np.asarray(matches, dtype=np.float64).reshape(-1, 4)
    distance = np.linalg.norm(placed(rows, homography_of(rows), matches[:, :2]) - matches[:, 2:], axis=1)
    return np.nan_to_num(distance, nan=np.inf) < within


def _known(truth: NDArray[Any], prediction: NDArray[Any]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    if len(truth) != len(prediction):
        raise ValueError(f"truth and prediction must be of equal length; got {len(truth)} and {len(prediction)}")
    return [(rows, matches) for rows, matches in zip(truth, prediction) if rows is not None and len(rows)]


GRADES = _Matches()
