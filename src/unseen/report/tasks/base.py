"""`Looks`: what pages ask of a task."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

from unseen.data.classes import ClassSpace


class Looks(abc.ABC):
    """How what is said of a sample looks to a person."""

    task: ClassVar[str]
    """What `Domain.task` says."""

    @abc.abstractmethod
    def picture(self, sample: Any, label: Any, classes: ClassSpace | None = None, truth: Any = None) -> str | None:
        """Return a sample with its label drawn in, as the source of an image for `<img src=...>`.

        Parameters
        ----------
        sample : Any
            As `Domain.x` holds it; for pictures an array (height, width, 3) of bytes.
        label : Any
            What was predicted, as the task keeps it.
        classes : ClassSpace, optional
        truth : Any, optional
            The right label, drawn beside or marked where it differs.

        Returns
        -------
        str or None
            None if the task is better read than looked at.
        """

    @abc.abstractmethod
    def words(self, label: Any, classes: ClassSpace | None = None) -> str:
        """Return the label in a line of text, for tables, CSV and the terminal."""
