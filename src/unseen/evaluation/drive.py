"""A protocol drives, a method never asks: the order in which a method is fitted, asked and graded.

Only here truth and method meet. `Once` is the plain case: one fit, one question, one opening of the exam.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from unseen.evaluation.exam import Exam
from unseen.methods.base import Method

Grade = Callable[[Any, Any], Mapping[str, float]]
"""From the truth and what the method said of it to figures."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of one method on one exam: what it said, (n, ...), the figures, and the seconds of the fit."""

    prediction: Any
    metrics: Mapping[str, float]
    seconds: float


@dataclasses.dataclass(frozen=True)
class Once:
    """One fit, then one question about all samples of the exam.

    Parameters
    ----------
    grade : callable (truth, prediction) -> {metric: value}
    verb : str
        What the method is asked.
    """

    grade: Grade
    verb: str = "predict"

    def __call__(self, method: Method, given: Mapping[str, Any], exam: Exam) -> Outcome:
        """Fit `method` on `given`, ask it about the samples of the exam, open the exam once, grade.

        Parameters
        ----------
        method : Method
            Unfitted; it is fitted in place.
        given : mapping of words of `fit` to inputs
        exam : Exam
        """
        started = time.perf_counter()
        method.fit(**given)
        seconds = time.perf_counter() - started
        prediction = getattr(method, self.verb)(exam.samples)
        return Outcome(prediction, self.grade(exam.open(), prediction), seconds)
