"""`Task`: what all tasks answer, and what tasks share whose labels are arrays of any size."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace


class Task(abc.ABC):
    """What the labels of a `Domain` are.

    A label that is not known is a label, too: each task says which (`hidden`) and recognises it (`labeled`).
    """

    name: ClassVar[str]
    """What `Domain.task` says."""
    summary: ClassVar[str]
    """What the label of one sample is, in words."""
    of_pairs: ClassVar[bool] = False
    """Whether a label says something of two samples: one sample by itself then has none."""

    @abc.abstractmethod
    def check(self, y: Any, classes: ClassSpace | None = None) -> NDArray[Any]:
        """Return the labels as this task keeps them, (n, ...).

        Raises
        ------
        TypeError
            If they are of another type.
        ValueError
            If one of them cannot be.
        """

    @abc.abstractmethod
    def labeled(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        """Which of the labels say something, (n,)."""

    @abc.abstractmethod
    def hidden(self, n: int) -> NDArray[Any]:
        """Return the labels of `n` samples of which nothing is known."""

    @abc.abstractmethod
    def digest(self, label: Any) -> str:
        """Return a short text that is equal for equal labels and, of one label, for all ways to write it."""

    def join(self, parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Return the labels of several domains as those of one."""
        return np.concatenate(parts)

    def check_learnable(self, y: NDArray[Any], samples: Any) -> None:  # noqa: B027 - of most tasks anything is learnt
        """Raise `ValueError` if nothing can be learnt from these labels, all of them known, of these samples.

        Its message goes on from what holds them: "must hold at least two classes; all samples are of class 3".
        """

    @abc.abstractmethod
    def example(self, n: int, seed: int = 0, n_classes: int = 3) -> NDArray[Any]:
        """Return labels of `n` samples that are unlike each other, as the contract of methods takes them."""


class Ragged(Task):
    """A task whose label of one sample is an array: labels are an array of n objects, None where nothing is known.

    Samples may have labels of unlike sizes. `_check_one` and `_tells` are what a task adds.
    """

    def check(self, y: Any, classes: ClassSpace | None = None) -> NDArray[Any]:
        """Return an array of n objects, each an array or None."""
        return objects(None if label is None else self._named(i, label, classes) for i, label in enumerate(y))

    def _named(self, index: int, label: Any, classes: ClassSpace | None) -> NDArray[Any]:
        try:
            return self._check_one(_array(label), classes)
        except (TypeError, ValueError) as error:
            raise type(error)(f"y of sample {index} must be {self.summary}: {error}") from error

    @abc.abstractmethod
    def _check_one(self, label: NDArray[Any], classes: ClassSpace | None) -> NDArray[Any]:
        """Return the label of one sample as it is kept, or raise what is wrong with it."""

    def _tells(self, label: NDArray[Any]) -> bool:
        """Whether a label that is there says something."""
        return True

    def labeled(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        """Which labels are there and say something, (n,)."""
        return np.array([label is not None and self._tells(label) for label in y], dtype=bool)

    def hidden(self, n: int) -> NDArray[Any]:
        """Return n times None."""
        return np.full(n, None, dtype=object)

    def digest(self, label: Any) -> str:
        """Return the SHA-256 of shape and values, whatever the type of the numbers."""
        return "None" if label is None else content_digest(self._canonical(label))

    def _canonical(self, label: NDArray[Any]) -> NDArray[Any]:
        """The label in one type and order: what is equal must become equal bytes."""
        return label.astype("<f8")


def objects(values: Iterable[Any]) -> NDArray[Any]:
    """Return an array of objects, (n,), even where all of them are arrays of one shape."""
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    for i, value in enumerate(listed):
        array[i] = value
    return array


def are_texts(values: Any) -> bool:
    """Whether values stand in a row, and each is a text."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "U":
        return values.ndim == 1
    several = isinstance(values, (list, tuple)) or (isinstance(values, np.ndarray) and values.ndim == 1)
    return several and all(isinstance(value, str) for value in values)


def text_array(values: Iterable[Any]) -> NDArray[Any]:
    """Texts as an array of objects, (n,): in an array of one width each would take as much as the longest."""
    return objects(str(value) for value in values)


def content_digest(array: NDArray[Any]) -> str:
    """Return the SHA-256 of type, shape and all values of an array of numbers."""
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.nan, array + 0).astype(array.dtype)  # one NaN, and -0 is 0
    array = np.ascontiguousarray(array)
    return hashlib.sha256(f"{array.dtype.str}{array.shape}".encode() + array.tobytes()).hexdigest()


def _array(label: Any) -> NDArray[Any]:
    if hasattr(label, "detach"):
        label = label.detach().cpu().numpy()
    array = np.asarray(label)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def check_numbers(label: NDArray[Any], *, finite: bool = True) -> NDArray[Any]:
    """Return the label, found to hold numbers (and, if asked for, none that is NaN or infinite)."""
    if label.dtype.kind not in "iuf":
        raise TypeError(f"it holds {label.dtype}")
    if np.isinf(label).any() or (finite and np.isnan(label).any()):
        raise ValueError("it holds NaN or infinity" if finite else "it holds infinity")
    return label


def check_indices(values: NDArray[Any], classes: ClassSpace | None) -> None:
    """Raise if one of the integers is no class index (-1: not known)."""
    if values.size and values.min() < -1:
        raise ValueError(f"the classes in it must be -1 (not known) or an index; got {values.min()}")
    if classes is not None and values.size and values.max() >= len(classes):
        raise ValueError(f"the classes in it must be below their number, {len(classes)}; got {values.max()}")
