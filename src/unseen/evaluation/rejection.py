"""What is said of samples some of which are of no known class: a class, whether it is accepted, how known it seems."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.samplers import tensor
from unseen.methods.base import UNKNOWN
from unseen.methods.baselines.prototypes import Prototypes

OPEN = ("auroc", "open_accuracy", "unknown_accuracy")
"""Figures beside the accuracy: how often a known sample seems more known than an unknown one; the share of all samples
that are named right or rejected right; the share of unknown ones that are rejected."""

A_HUNDREDTH = 0.01
"""Of the range of scores: a threshold is no more certain than that."""


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """Of every sample the nearest class, (n,), whether it is accepted, and how known the sample seems."""

    classes: NDArray[np.int64]
    accepted: NDArray[np.bool_]
    scores: NDArray[np.float64]

    def above(self, threshold: float) -> Answers:
        """The same, accepting what seems at least so known."""
        return dataclasses.replace(self, accepted=self.scores >= threshold)

    def near(self, threshold: float) -> float:
        """Which share of the samples changes sides if a threshold moves by `A_HUNDREDTH` of the range of scores."""
        low, high = np.quantile(self.scores, (0.01, 0.99))
        reach = A_HUNDREDTH * (high - low)
        return float((np.abs(self.scores - threshold) <= reach).mean())

    def figures(self, right: NDArray[np.bool_]) -> dict[str, float]:
        """The figures `OPEN`; the first samples are known ones, of which `right` says whether their class is right."""
        n = len(right)
        rejected = ~self.accepted[n:]
        both = np.concatenate([right & self.accepted[:n], rejected])
        area = auroc(self.scores[:n], self.scores[n:])
        return dict(zip(OPEN, (area, float(both.mean()), float(rejected.mean()))))


def answers_of(method: Any, query: Domain, *, support: Domain | None = None, scored: bool = True) -> Answers:
    """What a method says of samples: how known one seems is minus its `uncertainty`, else its largest probability.

    Of `Prototypes` it is `likeness` to its `support`, where that is given, else the largest of its cosines:
    probabilities, which compare classes, are large, too, for a sample that is far from all of them.

    Raises
    ------
    TypeError
        If it gives no indices of classes, or a score is asked for, and the method gives neither.
    """
    if not hasattr(method, "predict"):
        raise TypeError(f"fit must return something with predict; got {type(method).__name__}")
    predicted = np.asarray(method.predict(query))
    if predicted.shape != (len(query),) or predicted.dtype.kind not in "iu":
        raise TypeError(
            f"predict of a {type(method).__name__} must give {len(query)} whole numbers, one a sample, that count the "
            f"classes of the episode from 0; got {predicted.dtype} of shape {predicted.shape}"
        )
    accepted = predicted != UNKNOWN
    if not accepted.all():
        predicted = np.where(accepted, predicted, np.asarray(method.decision_function(query)).argmax(axis=1))
    if not scored:
        return Answers(predicted, accepted, np.ones(len(predicted)))
    if hasattr(method, "uncertainty"):
        return Answers(predicted, accepted, -np.asarray(method.uncertainty(query), dtype=np.float64))
    if isinstance(method, Prototypes) and support is not None:
        return Answers(predicted, accepted, likeness(support, query))
    if isinstance(method, Prototypes):
        ask: Any = method.decision_function
        return Answers(predicted, accepted, np.asarray(ask(query), dtype=np.float64).max(axis=1))
    if not hasattr(method, "predict_proba"):
        raise TypeError(f"unknown classes need uncertainty or predict_proba; {type(method).__name__} has neither")
    return Answers(predicted, accepted, np.asarray(method.predict_proba(query), dtype=np.float64).max(axis=1))


def likeness(support: Domain, query: Domain) -> NDArray[np.float64]:
    """The largest cosine of each sample with the mean direction of a labelled class, (n,).

    Features are taken as they are. `Prototypes` subtracts the mean of its handful first, which tells the classes from
    each other; but a sample of none of them need not lie on the other side of that mean, and once it is subtracted
    points anywhere.
    """
    x, asked = (tensor(domain).double() for domain in (support, query))
    y = torch.as_tensor(np.unique(support.labels, return_inverse=True)[1])
    sums = torch.zeros(int(y.max()) + 1, x.shape[1], dtype=x.dtype).index_add_(0, y, F.normalize(x, dim=1))
    return (F.normalize(asked, dim=1) @ F.normalize(sums, dim=1).T).amax(dim=1).numpy()


def auroc(known: NDArray[Any], unknown: NDArray[Any]) -> float:
    """How often a known sample scores higher than an unknown one, ties counting half: the area under the ROC curve."""
    gap = np.asarray(known, dtype=np.float64)[:, None] - np.asarray(unknown, dtype=np.float64)
    return float(((gap > 0) + 0.5 * (gap == 0)).mean())


def best_threshold(answers: Sequence[Answers], right: Sequence[NDArray[np.bool_]], weight: float = 1.0) -> float:
    """How known a sample must seem, so that most samples are named or rejected right; half-way between two scores.

    Of the samples of each of `answers` the first are known ones, see `Answers.figures`. An unknown one counts as much
    as `weight` known ones: where fewer of them are at hand than there will be.
    """
    scores = np.concatenate([answer.scores for answer in answers])
    gain = np.concatenate(
        [
            np.append(good.astype(np.float64), np.full(len(answer.scores) - len(good), -weight))
            for answer, good in zip(answers, right)
        ]
    )
    order = np.argsort(scores, kind="stable")
    scores, accepting = scores[order], np.append(gain[order][::-1].cumsum()[::-1], 0.0)  # all from a place on
    accepting[1:-1][scores[1:] == scores[:-1]] = -np.inf  # equal scores are accepted together
    place = int(accepting.argmax())
    if place in (0, len(scores)):
        return -np.inf if place == 0 else np.inf
    return float((scores[place - 1] + scores[place]) / 2)
