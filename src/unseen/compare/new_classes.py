"""A page for each class that was never seen: what it is near to, what sets it apart, what was taken for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from unseen.compare.inputs import Inputs
from unseen.compare.validators import Cell
from unseen.data.classes import ClassSpace
from unseen.data.label_metrics import CompleteMetric

NEAREST, APART, SUREST = 3, 5, 3
"""Seen classes, attributes and samples that are named for each."""
MOST = 200
"""Unseen classes beyond these are left out: no one reads so many."""


def new_classes(inputs: Inputs, cell: Cell) -> list[dict[str, Any]]:
    """What the chosen candidate's first fit says of each unseen class, in the order of the classes.

    Returns
    -------
    list of dict
        ``name``; ``nearest``, the seen classes that lie nearest by the distance of the class space, with the distance;
        ``apart``, the attributes in which it differs most from the mean of the seen classes, in deviations over all;
        ``predicted``, how many samples of the target were taken for it; and ``surest``, the ids of those that the model
        is surest of. No label of the target is read.
    """
    classes = inputs.classes
    if not len(classes.unseen) or not len(classes.seen):
        return []
    adapted = cell.get("adapted")
    ids = inputs.raw["target"].ids if "target" in inputs.raw else None
    rows = []
    for index in classes.unseen[:MOST]:
        taken = np.zeros(0, dtype=np.int64)
        if adapted is not None:
            taken = np.flatnonzero(adapted["prediction"] == index)
            taken = taken[np.argsort(-adapted["p"][taken, index].numpy(), kind="stable")]
        rows.append(
            {
                "name": classes.names[index],
                "nearest": _nearest(classes, int(index)),
                "apart": _apart(classes, int(index)),
                "predicted": len(taken),
                "surest": [] if ids is None else [str(ids[i]) for i in taken[:SUREST]],
            }
        )
    return rows


def _nearest(classes: ClassSpace, index: int) -> list[dict[str, Any]]:
    if isinstance(classes.metric, CompleteMetric):
        return []
    distance = classes.metric.rows(np.array([index]))[0][classes.seen]
    order = np.argsort(distance, kind="stable")[:NEAREST]
    return [{"name": classes.names[classes.seen[k]], "distance": float(f"{distance[k]:.4g}")} for k in order]


def _apart(classes: ClassSpace, index: int) -> list[dict[str, Any]]:
    if classes.attributes is None or classes.attribute_names is None:
        return []
    deviation = classes.attributes.std(axis=0)
    gap = classes.attributes[index] - classes.attributes[classes.seen].mean(axis=0)
    z = np.divide(gap, deviation, out=np.zeros_like(gap), where=deviation > 0)
    order = [k for k in np.argsort(-np.abs(z), kind="stable")[:APART] if z[k]]
    return [{"name": classes.attribute_names[k], "deviations": float(f"{z[k]:.3g}")} for k in order]
