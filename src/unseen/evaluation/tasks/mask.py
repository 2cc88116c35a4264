"""Segmentation: the overlap of what is said with what is there, class by class, and along the borders."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.tasks import task_of
from unseen.data.tasks.mask import UNKNOWN
from unseen.data.typing import FloatArray
from unseen.evaluation.tasks.base import Grades

BORDER = 0.0075
"""Share of the diagonal within which a border counts as met (Csurka et al., BMVC 2013), at least a pixel."""


class _Mask(Grades):
    task = "mask"
    headline = "mIoU"
    meaning = "the share of intersection in union of the pixels of a class, the mean over classes that are present"

    def grade(self, truth: NDArray[Any], prediction: NDArray[Any], classes: ClassSpace | None) -> dict[str, float]:
        counts = _counted(truth, prediction, _number(truth, prediction, classes))
        iou, present = overlaps(counts)
        figures = {
            "mIoU": float(iou[present].mean()),
            "pixel accuracy": float(np.trace(counts) / counts.sum()),
            "boundary F": _mean_boundary(truth, prediction),
        }
        names = [str(i) for i in range(len(iou))] if classes is None else classes.names
        return figures | {f"IoU, {names[i]}": float(iou[i]) for i in np.flatnonzero(present)}

    def each(self, truth: NDArray[Any], prediction: NDArray[Any], classes: ClassSpace | None) -> FloatArray:
        _check(truth, prediction)
        n = _number(truth, prediction, classes)
        values = np.full(len(truth), np.nan)
        for i in np.flatnonzero(task_of("mask").labeled(truth)):
            iou, present = overlaps(confusion(truth[i], prediction[i], n))
            values[i] = iou[present].mean()
        return values


def confusion(truth: NDArray[Any], prediction: NDArray[Any], n: int) -> NDArray[np.int64]:
    """How many pixels of a class (rows) are held for a class (columns), (n, n + 1); unknown pixels do not count.

    The last column is for pixels of which nothing is said (-1): they are wrong.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"a mask must be as large as its truth, {truth.shape}; got {prediction.shape}")
    known = truth != UNKNOWN
    columns = np.where(prediction[known] == UNKNOWN, n, prediction[known]).astype(np.int64)
    pairs = truth[known].astype(np.int64) * (n + 1) + columns
    return np.bincount(pairs, minlength=n * (n + 1)).reshape(n, n + 1)


def overlaps(counts: NDArray[np.int64]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Intersection over union of each class, and which classes are present: in the truth, or in what is said."""
    hit = counts[:, : len(counts)].diagonal()
    union = counts.sum(axis=1) + counts[:, : len(counts)].sum(axis=0) - hit
    return hit / np.maximum(union, 1), union > 0


def boundary_f(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """F measure of the borders of the classes of a mask, the mean over those with a border on either side; NaN if none.

    Pixels of which nothing is known have no border, and none is counted there nor beside them.
    """
    from scipy.ndimage import binary_dilation

    known = truth != UNKNOWN
    judged = ~binary_dilation(~known)
    reach = max(1, round(BORDER * float(np.hypot(*truth.shape))))
    disk = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= reach
    scores = []
    for label in np.setdiff1d(np.union1d(truth[known], prediction[known]), [UNKNOWN]):
        edges = [_edge(mask == label) & judged for mask in (truth, prediction)]
        near = [binary_dilation(edge, disk) for edge in edges]
        if not (edges[0].any() or edges[1].any()):
            continue
        recall = (edges[0] & near[1]).sum() / max(edges[0].sum(), 1)
        precision = (edges[1] & near[0]).sum() / max(edges[1].sum(), 1)
        scores.append(2 * precision * recall / max(precision + recall, 1e-12))
    return float(np.mean(scores)) if scores else float("nan")


def _edge(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a region that touch another one; the frame of the picture is no border."""
    from scipy.ndimage import binary_erosion

    return inside & ~binary_erosion(inside, border_value=1)


def _mean_boundary(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    places = np.flatnonzero(task_of("mask").labeled(truth))
    values = np.array([boundary_f(truth[i], np.asarray(prediction[i])) for i in places])
    return float(np.nanmean(values)) if (~np.isnan(values)).any() else 1.0


def _counted(truth: NDArray[Any], prediction: NDArray[Any], n: int) -> NDArray[np.int64]:
    _check(truth, prediction)
    places = np.flatnonzero(task_of("mask").labeled(truth))
    if not len(places):
        raise ValueError("truth must know a class of some pixel; nothing is known of any sample")
    total = np.zeros((n, n + 1), dtype=np.int64)
    for i in places:
        total += confusion(np.asarray(truth[i]), np.asarray(prediction[i]), n)
    return total


def _check(truth: NDArray[Any], prediction: NDArray[Any]) -> None:
    if len(truth) != len(prediction):
        raise ValueError(f"there must be a prediction for each of {len(truth)} samples; got {len(prediction)}")


def _number(truth: NDArray[Any], prediction: NDArray[Any], classes: ClassSpace | None) -> int:
    """How many classes there are: those of the space, or as many as occur."""
    most = (
        max((int(np.max(mask)) for masks in (truth, prediction) for mask in masks if mask is not None), default=0) + 1
    )
    if classes is None:
        return max(most, 1)
    if most > len(classes):
        raise ValueError(f"masks must hold indices below the number of classes, {len(classes)}; got {most - 1}")
    return len(classes)


GRADES = _Mask()
