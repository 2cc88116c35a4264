"""A protocol drives, a method never asks: fit, predict, and grade, in this order."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from unseen.data.typing import IntArray
from unseen.evaluation.exam import Exam
from unseen.evaluation.protocols.base import Protocol
from unseen.methods.base import Method
from unseen.nn.information import normalized_entropy


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of one method on one exam: predictions (n,), metrics, and the seconds of the fit."""

    prediction: IntArray
    metrics: Mapping[str, float]
    seconds: float


def run(protocol: Protocol, method: Method, given: Mapping[str, Any], exam: Exam) -> Outcome:
    """Fit `method` on `given`, predict the samples of the exam, open it once, grade.

    Parameters
    ----------
    protocol : Protocol
    method : Method
        Unfitted; it is fitted in place.
    given : mapping of words of `fit` to inputs
    exam : Exam
    """
    started = time.perf_counter()
    method.fit(**given)
    seconds = time.perf_counter() - started
    prediction = method.predict(exam.samples)
    return Outcome(prediction, protocol.grade(exam.open(), prediction, exam.classes), seconds)


def entropy_threshold(p: Tensor, accept: float = 0.95, least: float = 0.5) -> float:
    """The normalized entropy above which a sample is called unknown: a rule that needs no target label.

    The larger of `least` (half-way to uniform) and what the share `accept` of held-out known samples stays below: on
    samples of its own domain alone a model is too sure for a threshold that another domain could meet.
    """
    return max(least, float(np.quantile(normalized_entropy(p).numpy(), accept)))
