"""A protocol drives, a method never asks: the order in which a method is fitted, asked and graded.

All ways in which truth and prediction meet, in jobs and in `unseen compare`:

- `Once`: one fit, one question, one opening of the exam (`unseen rank`, `tag`, `architectures`).
- `Together`: one exam for several that have learnt before, or learn when they are asked (`align`, `caption`, `segment`,
  `shrink`, `quantize`, `complete`, `map`, `nodes`, `compose`).
- `Across`: several exams for several, of which all settle together how is graded (`compare`).
- `Episodes`: few labelled samples of a few classes at a time (`episodes`).
- `Stream`: one task after another, and all exams after each (`continue`).
- `Rolling`: the past of series, of which only what came before is seen (`forecast`).
- `Pairs`: two pictures at a time, each read once for all matchers (`match bench`).
- `evaluate_templates`: a picture and a text at a time, in small galleries (`compose` with a table).

What a job keeps back of the user's own labels, to choose by or to check, is `HeldOut`: it is asked about as an exam is,
and no opening is counted. `unseen prune` and `concepts` know no truth: there is nothing to drive.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from unseen.evaluation.composed import evaluate_templates
from unseen.evaluation.episodes import Episodes
from unseen.evaluation.exam import Exam, HeldOut
from unseen.evaluation.metrics.classification import accuracy
from unseen.evaluation.rolling import Rolling
from unseen.methods.base import Method
from unseen.runtime import track

if TYPE_CHECKING:
    import pandas as pd

    from unseen.evaluation.zeb import KnownPair

__all__ = [
    "Across", "Episodes", "Exam", "HeldOut", "Once", "Outcome", "Pairs", "Rolling", "Stages", "Stream", "Together",
    "by_accuracy", "evaluate_templates",
]  # fmt: skip

Grade = Callable[[Any, Any], Mapping[str, float]]
"""From the truth and what the method said of it to figures."""
Matcher = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float64]]
"""From two pictures to matches, (m, 4): x, y in the first and x, y in the second."""
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
G = TypeVar("G", bound=Callable[[str, Any, Any], Any])


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

    def __call__(self, method: Method, given: Mapping[str, Any], exam: Exam | HeldOut) -> Outcome:
        """Fit `method` on `given`, ask it about the samples of the exam, open the exam once, grade.

        Parameters
        ----------
        method : Method
            Unfitted; it is fitted in place.
        given : mapping of words of `fit` to inputs
        exam : Exam or HeldOut
        """
        started = time.perf_counter()
        method.fit(**given)
        seconds = time.perf_counter() - started
        return dataclasses.replace(self.ask(method, exam), seconds=seconds)

    def ask(self, method: Method, exam: Exam | HeldOut) -> Outcome:
        """The same of a method that has learnt before; the seconds are those of its answer."""
        started, ask = time.perf_counter(), self.verb
        prediction = getattr(method, ask)(exam.samples) if isinstance(ask, str) else ask(method, exam.samples)
        seconds = time.perf_counter() - started
        return Outcome(prediction, self.grade(exam.open(), prediction), seconds)


@dataclasses.dataclass(frozen=True)
class Together(Generic[T]):
    """One exam for several: when each has said what it says, the exam is opened once, and each is graded.

    Parameters
    ----------
    grade : callable (truth, prediction) -> {metric: value}, or whatever else is made of them
    """

    grade: Callable[[Any, Any], T]

    def __call__(self, exam: Exam | HeldOut, said: Mapping[K, Any]) -> dict[K, T]:
        """The figures of each.

        Parameters
        ----------
        exam : Exam or HeldOut
        said : mapping of name to prediction, or to callable (samples) -> prediction
        """
        predictions = {name: answer(exam.samples) if callable(answer) else answer for name, answer in said.items()}
        truth = exam.open()
        return {name: self.grade(truth, prediction) for name, prediction in predictions.items()}


@dataclasses.dataclass(frozen=True)
class Across(Generic[G]):
    """Several exams for several: all are opened once, what they hold settles how is graded, and each is graded on each.

    Parameters
    ----------
    settle : callable ({exam: truth}) -> callable (exam, truth, prediction) -> {metric: value}
    """

    settle: Callable[[Mapping[str, Any]], G]

    def __call__(self, exams: Mapping[str, Exam], said: Mapping[K, Any]) -> tuple[G, dict[str, dict[K, Any]]]:
        """What grades, and the figures by exam and by who said it.

        Parameters
        ----------
        exams : mapping of name to Exam
        said : mapping of name to what was said of all exams before one is opened
        """
        truths = {part: exam.open() for part, exam in exams.items()}
        grade = self.settle(truths)
        return grade, {
            part: {name: grade(part, truth, answer) for name, answer in said.items()} for part, truth in truths.items()
        }


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


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Two pictures of which all is known, one pair after another: each is read once, and every matcher is asked."""

    def __call__(self, matchers: Mapping[str, Matcher], datasets: Mapping[str, Iterable[KnownPair]]) -> pd.DataFrame:
        """Errors of every matcher on every pair of every data set.

        Parameters
        ----------
        matchers : mapping of name to callable
        datasets : mapping of name to pairs
            The pairs of one data set have truth of one kind.

        Returns
        -------
        DataFrame
            dataset, pair, matcher, unit, matches, error: a row for each pair and matcher.

        Raises
        ------
        ValueError
            If a data set has no pairs, or truth of two kinds.
        """
        import pandas as pd

        rows = []
        for dataset, pairs in datasets.items():
            listed = list(pairs)
            if not listed:
                raise ValueError(f"{dataset} has no pairs")
            if len({pair.truth.unit for pair in listed}) > 1:
                reason = "has pairs with cameras and pairs with a homography: make two data sets of it"
                raise ValueError(f"{dataset} {reason}")
            for pair in track(listed, dataset):
                first, second = pair.pictures()
                for name, matcher in matchers.items():
                    points = np.asarray(matcher(first, second), dtype=np.float64).reshape(-1, 4)
                    error = pair.truth.error(points)
                    rows.append((dataset, pair.name, name, pair.truth.unit, len(points), error))
        return pd.DataFrame(rows, columns=["dataset", "pair", "matcher", "unit", "matches", "error"])
