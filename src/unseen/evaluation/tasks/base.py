"""`Grades`: what the metrics of all tasks answer."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.typing import FloatArray


class Grades(abc.ABC):
    """How predictions of a task are graded against the truth; larger is better in every figure."""

    task: ClassVar[str]
    """What `Domain.task` says."""
    headline: ClassVar[str]
    """The metric by which tables are sorted."""
    meaning: ClassVar[str]
    """What the headline means, in a sentence."""

    @abc.abstractmethod
    def grade(self, truth: NDArray[Any], prediction: Any, classes: ClassSpace | None = None) -> dict[str, float]:
        """Return all figures of these samples together, the headline among them.

        Parameters
        ----------
        truth : array (n,)
            Labels as the task keeps them (`unseen.data.tasks`); samples whose truth is not known do not count.
        prediction : of n samples
            Such labels; or what the verb of the task gives, where that is more than a label (an order with scores).
        classes : ClassSpace, optional
            What labels index, for tasks whose labels have classes.

        Raises
        ------
        ValueError
            If the lengths differ, or nothing is known of any sample.
        """

    @abc.abstractmethod
    def each(self, truth: NDArray[Any], prediction: Any, classes: ClassSpace | None = None) -> FloatArray:
        """Return a figure of every sample by itself, (n,), NaN where nothing is known: for intervals and mistakes."""
