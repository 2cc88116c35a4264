"""A protocol drives, a method never asks: the order in which a method is fitted, asked and graded.

`Once` is the plain case: one fit, one question, one opening of the exam (`unseen rank`, `unseen tag`). `Stream` learns
one task after another (`unseen continue`). Few labelled samples of a few classes at a time are
`unseen.evaluation.episodes.Episodes` (`unseen episodes`). `Pairs` asks about pairs of samples, `Rolling` about what is
to come: for those who grade a method of their own; no command goes through these two. Commands that open one exam for
all their candidates do so by themselves (`unseen compare`, and those for masks, captions and alignment); `unseen match
bench` reads each pair once for all matchers, by cameras or planes that are known (`unseen.evaluation.zeb`); what
`unseen forecast` looks back at is the user's own past, no exam.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        ask = self.verb
        prediction = getattr(method, ask)(exam.samples) if isinstance(ask, str) else ask(method, exam.samples)
        return Outcome(prediction, self.grade(exam.open(), prediction), seconds)


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
        for given in tasks:
            started = time.perf_counter()
            step(**given)
            seconds.append(time.perf_counter() - started)
            rows.append(self.row(method, exams, words))
        return Stages(np.array(rows, dtype=np.float64).reshape(len(rows), len(exams)), tuple(seconds))

    def row(
        self, method: Method, exams: Sequence[Exam], words: Sequence[Mapping[str, Any]] | None = None
    ) -> list[float]:
        """The figure of each exam now; every exam is opened once."""
        ask: Any = getattr(method, self.verb)
        told = []
        for exam, more in zip(exams, words or [{}] * len(exams), strict=True):
            prediction = ask(exam.samples, **({"classes": exam.classes} if self.named else {}), **more)
            told.append(float(self.grade(exam.open(), prediction)[self.metric]))
        return told


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


@dataclasses.dataclass(frozen=True)
class Rolling:
    """What is to come is asked about before it is known, again and again.

    Of series, these are forecasts from many origins, each from what lies before it. Of a stream of batches, each batch
    is asked about before anything may be learnt from it (prequential evaluation).

    Parameters
    ----------
    grade : callable (truth, prediction) -> {metric: value}
    verb : str
        What the method is asked.
    step : str, optional
        What the method does with a batch after it was asked about it, without its labels: ``adapt``, say. It may return
        another method, which goes on.
    """

    grade: Grade
    verb: str = "predict"
    step: str | None = None

    def __call__(
        self,
        method: Any,
        exams: Sequence[Exam],
        words: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[Outcome]:
        """Ask about every exam in its order; each is opened after it was asked about, before the next.

        Parameters
        ----------
        method : Method
            Fitted on what lies before the first exam.
        exams : sequence of Exam
            Windows or batches, the earliest first.
        words : sequence of mappings, optional
            What else the verb is told of each exam, such as what is known ahead.
        """
        outcomes = []
        for exam, more in zip(exams, words or [{}] * len(exams), strict=True):
            started = time.perf_counter()
            prediction = getattr(method, self.verb)(exam.samples, **more)
            if self.step is not None:
                method = getattr(method, self.step)(target=exam.samples) or method
            seconds = time.perf_counter() - started
            outcomes.append(Outcome(prediction, self.grade(exam.open(), prediction), seconds))
        return outcomes
