"""The protocols by name: which metrics, and which one heads the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.label_metrics import CompleteMetric
from unseen.data.typing import FloatArray, IntArray
from unseen.evaluation.metrics.bias_sweep import bias_sweep
from unseen.evaluation.metrics.classification import accuracy, mean_class_accuracy
from unseen.evaluation.metrics.open_set import open_set_scores
from unseen.evaluation.metrics.taxonomy import hierarchical_precision, hit_at, hops
from unseen.evaluation.metrics.zero_shot import accuracy_among, base_to_new_scores, generalized_scores, mean_class_top1
from unseen.methods.base import UNKNOWN

Rule = Callable[[IntArray, IntArray, ClassSpace, FloatArray | None], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A way to grade predictions.

    Attributes
    ----------
    name, headline : str
        `headline` is the metric by which tables are sorted.
    told : str
        What it means, in a sentence.
    rule : callable (truth, prediction, classes, scores) -> {metric: value}
        Labels index `classes`; a class outside `classes.seen` is one that the model does not know. There may be no
        scores (None).
    rejects : bool
        Whether samples of unknown classes must be recognized as such.
    """

    name: str
    headline: str
    told: str
    rule: Rule
    rejects: bool = False

    def grade(
        self, truth: IntArray, prediction: IntArray, classes: ClassSpace, scores: FloatArray | None = None
    ) -> dict[str, float]:
        """Grade predictions; samples whose truth is -1 (no label) do not count.

        A figure is NaN where no sample is of the classes that it is about.

        Parameters
        ----------
        truth, prediction : array (n,)
            Indices of `classes`; `UNKNOWN` (-1) in `prediction` says that a sample is of no known class.
        classes : ClassSpace
        scores : array (n, n_classes), optional
            Of every class, larger is better: for metrics of ranks, and of the bias between seen and unseen classes.

        Raises
        ------
        TypeError
            If labels are no arrays of whole numbers.
        ValueError
            If the lengths differ, or a prediction is of none of the classes.
        """
        for name, labels in (("truth", truth), ("prediction", prediction)):
            if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
                got = f"an array of {labels.dtype}" if isinstance(labels, np.ndarray) else f"a {type(labels).__name__}"
                raise TypeError(f"{name} must be an array of whole numbers that index the classes; got {got}")
        if len(prediction) != len(truth):
            raise ValueError(f"prediction must have {len(truth)} entries, one per sample; got {len(prediction)}")
        if scores is not None and scores.shape != (len(truth), len(classes)):
            raise ValueError(f"scores must be of shape ({len(truth)}, {len(classes)}); got {scores.shape}")
        if len(prediction) and not UNKNOWN <= prediction.min() <= prediction.max() < len(classes):
            odd = prediction[(prediction < UNKNOWN) | (prediction >= len(classes))][0]
            raise ValueError(
                f"prediction must lie in {UNKNOWN} to {len(classes) - 1}, of {len(classes)} classes; got {odd}"
            )
        has = truth >= 0
        if not has.any():
            each = np.arange(len(classes))
            figures = self.rule(each, each, classes, None if scores is None else np.eye(len(classes)))
            return dict.fromkeys(figures, np.nan)
        return dict(self.rule(truth[has], prediction[has], classes, None if scores is None else scores[has]))


RANKED = 5
"""Classes that metrics of ranks look at."""


def _closed(truth: IntArray, prediction: IntArray, classes: ClassSpace, scores: FloatArray | None) -> dict[str, float]:
    return {
        "accuracy": accuracy(truth, prediction),
        "class_accuracy": mean_class_accuracy(truth, prediction),
    }


def _open(truth: IntArray, prediction: IntArray, classes: ClassSpace, scores: FloatArray | None) -> dict[str, float]:
    known = np.isin(truth, classes.seen)
    return dict(open_set_scores(np.where(known, truth, UNKNOWN), prediction))


def _zsl(truth: IntArray, prediction: IntArray, classes: ClassSpace, scores: FloatArray | None) -> dict[str, float]:
    new = np.isin(truth, classes.unseen)
    truth, prediction = truth[new], prediction[new]
    if not new.any():
        return {"class_accuracy": np.nan}
    figures = {"class_accuracy": mean_class_top1(truth, prediction)}
    if scores is not None:
        among = np.where(np.isin(np.arange(len(classes)), classes.unseen), scores[new], -np.inf)
        figures |= _ranked(truth, among, min(RANKED, len(classes.unseen)), classes)
    return figures | _far(truth, prediction, classes)


def _gzsl(truth: IntArray, prediction: IntArray, classes: ClassSpace, scores: FloatArray | None) -> dict[str, float]:
    known = np.isin(truth, classes.seen)
    if known.all() or not known.any():
        side = mean_class_top1(truth, prediction)
        return {"s": side if known.any() else np.nan, "u": np.nan if known.any() else side, "h": np.nan}
    figures = dict(generalized_scores(truth, prediction, classes.seen))
    if scores is not None:
        figures["auc"] = bias_sweep(scores, truth, classes.seen, per_class=True).figures["auc"]
        figures |= _ranked(truth, scores, min(RANKED, len(classes)), classes)
    return figures | _far(truth, prediction, classes)


def _base_to_new(
    truth: IntArray, prediction: IntArray, classes: ClassSpace, scores: FloatArray | None
) -> dict[str, float]:
    if scores is None:
        raise ValueError("scores must be given: base-to-new tells each side's classes among themselves")
    among = np.isin(np.arange(len(classes)), classes.seen)
    known = among[truth]
    if known.all() or not known.any():
        side = accuracy_among(truth, scores, among == known.any())
        return {"base": side if known.any() else np.nan, "new": np.nan if known.any() else side, "h": np.nan}
    return base_to_new_scores(truth, scores, classes.seen)


def _ranked(truth: IntArray, scores: FloatArray, k: int, classes: ClassSpace) -> dict[str, float]:
    """Whether the right class is among the first k, and what share of these is near it, over samples."""
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    figures = {f"hit@{k}": hit_at(truth, ranked, k)}
    if not isinstance(classes.metric, CompleteMetric):
        figures[f"hp@{k}"] = hierarchical_precision(truth, ranked, classes.metric)
    return figures


def _far(truth: IntArray, prediction: IntArray, classes: ClassSpace) -> dict[str, float]:
    """Mean distance from the right class to the predicted one, where classes have a distance."""
    if isinstance(classes.metric, CompleteMetric):
        return {}
    return {"distance": float(hops(truth, prediction, classes.metric).mean())}


_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("closed", "accuracy", "The target has exactly the classes of the source.", _closed),
        Protocol("partial", "accuracy", "The target has some of the classes of the source.", _closed),
        Protocol("open", "h_score", "The target has all classes of the source and others.", _open, rejects=True),
        Protocol("open-partial", "h_score", "Each side has classes that the other lacks.", _open, rejects=True),
        Protocol("zsl", "class_accuracy", "All target samples are of classes without labelled samples.", _zsl),
        Protocol("gzsl", "h", "Target samples are of classes with and without labelled samples.", _gzsl),
        Protocol(
            "base-to-new",
            "h",
            "Samples of classes with labelled samples are told among those, samples of the others among the others.",
            _base_to_new,
        ),
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
