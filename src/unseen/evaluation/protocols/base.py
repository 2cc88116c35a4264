"""The protocols by name: which metrics, and which one heads the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.typing import IntArray
from unseen.evaluation.metrics.classification import accuracy, mean_class_accuracy
from unseen.evaluation.metrics.open_set import open_set_scores
from unseen.evaluation.metrics.zero_shot import generalized_scores, mean_class_top1
from unseen.methods.base import UNKNOWN

Rule = Callable[[IntArray, IntArray, ClassSpace], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A way to grade predictions.

    Attributes
    ----------
    name, headline : str
        `headline` is the metric by which tables are sorted.
    told : str
        What it means, in a sentence.
    rule : callable (truth, prediction, classes) -> {metric: value}
        Labels index `classes`; a class outside `classes.seen` is one that the model does not know.
    rejects : bool
        Whether samples of unknown classes must be recognized as such.
    """

    name: str
    headline: str
    told: str
    rule: Rule
    rejects: bool = False

    def grade(self, truth: IntArray, prediction: IntArray, classes: ClassSpace) -> dict[str, float]:
        """Grade predictions; samples whose truth is -1 (no label) do not count.

        Parameters
        ----------
        truth, prediction : array (n,)
            Indices of `classes`; `UNKNOWN` (-1) in `prediction` says that a sample is of no known class.
        classes : ClassSpace

        Raises
        ------
        ValueError
            If the lengths differ.
        """
        if len(prediction) != len(truth):
            raise ValueError(f"prediction must have {len(truth)} entries, one per sample; got {len(prediction)}")
        has = truth >= 0
        return dict(self.rule(truth[has], prediction[has], classes))


def _closed(truth: IntArray, prediction: IntArray, classes: ClassSpace) -> dict[str, float]:
    return {
        "accuracy": accuracy(truth, prediction),
        "class_accuracy": mean_class_accuracy(truth, prediction),
    }


def _open(truth: IntArray, prediction: IntArray, classes: ClassSpace) -> dict[str, float]:
    known = np.isin(truth, classes.seen)
    return dict(open_set_scores(np.where(known, truth, UNKNOWN), prediction))


def _zsl(truth: IntArray, prediction: IntArray, classes: ClassSpace) -> dict[str, float]:
    unseen = np.isin(truth, classes.unseen)
    return {"class_accuracy": mean_class_top1(truth[unseen], prediction[unseen])}


def _gzsl(truth: IntArray, prediction: IntArray, classes: ClassSpace) -> dict[str, float]:
    return dict(generalized_scores(truth, prediction, classes.seen))


_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("closed", "accuracy", "The target has exactly the classes of the source.", _closed),
        Protocol("partial", "accuracy", "The target has some of the classes of the source.", _closed),
        Protocol("open", "h_score", "The target has all classes of the source and others.", _open, rejects=True),
        Protocol("open-partial", "h_score", "Each side has classes that the other lacks.", _open, rejects=True),
        Protocol("zsl", "class_accuracy", "All target samples are of classes without labelled samples.", _zsl),
        Protocol("gzsl", "h", "Target samples are of classes with and without labelled samples.", _gzsl),
    )
}


def names() -> tuple[str, ...]:
    """The names of all classification protocols."""
    return tuple(_PROTOCOLS)


def get(name: str) -> Protocol:
    """The protocol called `name`."""
    if name not in _PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(_PROTOCOLS)}; got {name!r}")
    return _PROTOCOLS[name]


def auto(truth: IntArray, classes: ClassSpace, described: bool) -> Protocol:
    """The protocol that fits the classes which occur in `truth`; equal classes are never assumed.

    Parameters
    ----------
    truth : array (n,)
    classes : ClassSpace
    described : bool
        Whether the user described classes beyond those of the source, so that they can be predicted by name.
    """
    present = set(np.unique(truth[truth >= 0]).tolist())
    seen = set(classes.seen.tolist())
    new, missing = present - seen, seen - present
    if new and described:
        return get("gzsl" if present & seen else "zsl")
    if new:
        return get("open-partial" if missing else "open")
    return get("partial" if missing else "closed")
