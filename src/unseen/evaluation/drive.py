"""A protocol drives, a method never asks: the order in which a method is fitted, asked and graded.

`Once` is the plain case: one fit, one question, one opening of the exam (`unseen rank`, `unseen tag`). `Together` opens
one exam for several that have learnt before (`unseen align`, `caption`, `segment`, `shrink`). `Stream` learns one task
after another (`unseen continue`). Few labelled samples of a few classes at a time are
`unseen.evaluation.episodes.Episodes` (`unseen episodes`); pairs of pictures, each read once for all matchers,
`unseen.evaluation.zeb.zeb_evaluate` (`unseen match bench`). `unseen compare` opens its exams once for all that its
report says of the truth. What `unseen forecast` looks back at is the user's own past, no exam.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unseen.evaluation.exam import Exam
from unseen.evaluation.metrics.classification import accuracy
from unseen.methods.base import Method

Grade = Callable[[Any, Any], Mapping[str, float]]
"""From the truth and what the method said of it to figures."""
K = TypeVar("K", bound=Hashable)


def by_accuracy(truth: NDArray[Any], prediction: Any) -> dict[str, float]:
    """The `Grade` of classes: the share of samples that are named right."""
    return {"accuracy": accuracy(truth, prediction)}


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
    verb : str, or callable (method, samples) -> prediction
        What the method is asked, or how.
    """

    grade: Grade
    verb: str | Callable[[Any, Any], Any] = "predict"

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
        return dataclasses.replace(self.ask(method, exam), seconds=seconds)

    def ask(self, method: Method, exam: Exam) -> Outcome:
        """The same of a method that has learnt before; the seconds are those of its answer."""
        started, ask = time.perf_counter(), self.verb
        prediction = getattr(method, ask)(exam.samples) if isinstance(ask, str) else ask(method, exam.samples)
        seconds = time.perf_counter() - started
        return Outcome(prediction, self.grade(exam.open(), prediction), seconds)


@dataclasses.dataclass(frozen=True)
class Together:
    """One exam for several: when each has said what it says, the exam is opened once, and each is graded.

    Parameters
    ----------
    grade : callable (truth, prediction) -> {metric: value}
    """

    grade: Grade

    def __call__(self, exam: Exam, said: Mapping[K, Any]) -> dict[K, Mapping[str, float]]:
        """The figures of each.

        Parameters
        ----------
        exam : Exam
        said : mapping of name to prediction, or to callable (samples) -> prediction
        """
        predictions = {name: answer(exam.samples) if callable(answer) else answer for name, answer in said.items()}
        truth = exam.open()
        return {name: self.grade(truth, prediction) for name, prediction in predictions.items()}


@dataclasses.dataclass(frozen=True)
class Stages:
    """What came of a method on a stream.

    Attributes
    ----------
    matrix : array (stages, exams)
        The figure of each exam after each task, in the order of the stream.
    seconds : tuple of float
        Of each `partial_fit`.
    """

    matrix: NDArray[np.float64]
    seconds: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Stream:
    """One `partial_fit` per task, and after each a question about every exam, also of tasks that are still to come.

    Later tasks are out of reach of earlier stages: a row does not change if they do.

    Parameters
    ----------
    grade : callable (truth, prediction) -> {metric: value}
    metric : str
        Which of the figures stands in the matrix.
    verb : str
        What the method is asked.
    named : bool
        Whether a question names the classes of the exam (task-incremental), or leaves the method to tell apart all that
        it has learnt (class-incremental): exams then have the classes of the whole stream.
    """

    grade: Grade
    metric: str = "accuracy"
    verb: str = "predict"
    named: bool = True

    def __call__(
        self,
        method: Method,
        tasks: Sequence[Mapping[str, Any]],
        exams: Sequence[Exam],
        words: Sequence[Mapping[str, Any]] | None = None,
    ) -> Stages:
        """Learn the tasks in their order; `method` is changed in place and may have learnt others before.

        Parameters
        ----------
        method : Method
            With `partial_fit`.
        tasks : sequence of mappings of words of `partial_fit` to inputs
        exams : sequence of Exam
        words : sequence of mappings, optional
            What else the verb is told of each exam, such as how its classes are written in a sentence.
        """
        step: Any = getattr(method, "partial_fit", None)
        if step is None:
            raise TypeError(f"a stream needs a method with partial_fit; {type(method).__name__} has none")
        rows, seconds = [], []
        for inputs in tasks:
            started = time.perf_counter()
            step(**inputs)
            seconds.append(time.perf_counter() - started)
            rows.append(self.row(method, exams, words))
        return Stages(np.array(rows, dtype=np.float64).reshape(len(rows), len(exams)), tuple(seconds))

    def row(
        self, method: Method, exams: Sequence[Exam], words: Sequence[Mapping[str, Any]] | None = None
    ) -> list[float]:
        """The figure of each exam now; every exam is opened once."""
        ask: Any = getattr(method, self.verb)
        figures = []
        for exam, more in zip(exams, words or [{}] * len(exams), strict=True):
            prediction = ask(exam.samples, **({"classes": exam.classes} if self.named else {}), **more)
            figures.append(float(self.grade(exam.open(), prediction)[self.metric]))
        return figures
