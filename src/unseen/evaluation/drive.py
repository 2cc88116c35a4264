"""A protocol drives, a method never asks: the order in which a method is fitted, asked and graded.

Only here truth and method meet. `Once` is the plain case: one fit, one question, one opening of the exam. `Pairs` asks
about pairs of samples.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from unseen.data.pairs import as_pairs
from unseen.data.tasks.base import objects
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


@dataclasses.dataclass(frozen=True)
class Pairs:
    """One fit, then one question for each pair of samples of the exam: pictures that are matched, for example.

    The exam's samples are pairs, as `unseen.data.pairs.as_domain` makes them of two domains. They are asked about one
    at a time, so that no pair can tell of another.

    Parameters
    ----------
    grade : callable (truth, prediction) -> {metric: value}
    verb : str
        What the method is asked; it takes `unseen.data.pairs.Pairs`.
    """

    grade: Grade
    verb: str = "match"

    def __call__(self, method: Method, given: Mapping[str, Any], exam: Exam) -> Outcome:
        """Fit `method` on `given` (as it is, if that is empty), ask it about every pair, open the exam once, grade."""
        started = time.perf_counter()
        if given:
            method.fit(**given)
        seconds = time.perf_counter() - started
        asked = as_pairs(exam.samples)
        ask = getattr(method, self.verb)
        prediction = objects(ask(asked.take([i]))[0] for i in range(len(asked)))
        return Outcome(prediction, self.grade(exam.open(), prediction), seconds)
