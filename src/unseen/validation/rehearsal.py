"""The exam, played on what is known: leave a part out, learn from the rest, and be asked about the part.

Every draw is by seed. A share of each class that is held out once is `unseen.data.samplers.hold_out`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.typing import IntArray
from unseen.nn.semantic import cosines
from unseen.nn.unseen_classes import mean_of_classes

Compared = Iterator[tuple[Tensor, Tensor]]
"""Samples (m, q) and classes (k, q), in a space in which they are compared."""
MANY = 20
"""Above this many labels, folds take the place of leaving one out."""

# -- what is left out --------------------------------------------------------------------------------------


def parts(items: int | IntArray, folds: int, seed: int = 0) -> list[IntArray]:
    """Items, or so many numbers from 0, in parts of nearly equal size, each in the order in which it was drawn."""
    return np.array_split(np.random.default_rng(seed).permutation(items), folds)


def pretend_unseen(y: Int[np.ndarray, " n"], folds: int = 5, random_state: int = 0) -> list[Int[np.ndarray, " k"]]:
    """Classes of `y` to hold out, fold after fold, so that settings are chosen as they are used: on other classes.

    Every fold has two classes at least, so there are fewer folds of few classes, and none of fewer than four.
    """
    present = np.unique(y)
    folds = min(folds, len(present) // 2)
    return [] if folds < 2 else [np.sort(part) for part in parts(present, folds, random_state)]


def folds_of_groups(group: Int[np.ndarray, " n"], folds: int, seed: int = 0) -> Int[np.ndarray, " n"]:
    """The number of a fold for each sample, the same for all of a group; groups are numbered from 0."""
    count = int(group.max()) + 1
    return (np.random.default_rng(seed).permutation(count) % min(folds, count))[group]


def leave_out(
    y: Int[np.ndarray, " n"], folds: int = 5, repeats: int = 3
) -> Iterator[tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]]:
    """Yield which samples to learn from and which to grade; every class keeps a sample to learn from.

    A class with one label is learnt from and never graded. Of the others each sample is graded, once where there are
    at most `MANY`, which are left out one by one, else once per repeat of `folds` stratified folds.

    Parameters
    ----------
    y : int array (n,)
        Labels of the support.
    folds : int, >= 2
    repeats : int, >= 1

    Yields
    ------
    learn, grade : bool arrays (n,)

    Source: Stone, "Cross-Validatory Choice and Assessment of Statistical Predictions", JRSS B 1974.
    """
    if folds < 2 or repeats < 1:
        raise ValueError(f"folds must be at least 2 and repeats at least 1; got {folds} and {repeats}")
    y = np.asarray(y)
    values, counts = np.unique(y, return_counts=True)
    several = np.isin(y, values[counts > 1])
    if several.sum() <= MANY:
        for i in np.flatnonzero(several):
            grade = np.arange(len(y)) == i
            yield ~grade, grade
        return
    for repeat in range(repeats):
        rng = np.random.default_rng(repeat)
        fold = np.full(len(y), -1)
        for start, value in enumerate(values[counts > 1]):
            members = rng.permutation(np.flatnonzero(y == value))
            fold[members] = (start + np.arange(len(members))) % folds
        for k in range(folds):
            grade = fold == k
            if grade.any():
                yield ~grade, grade


# -- how it is played --------------------------------------------------------------------------------------


def told_by_others(
    n: int, left_out: Iterable[IntArray], tell: Callable[[IntArray, IntArray], NDArray[Any]]
) -> NDArray[Any]:
    """What is told of each of n samples by what has not learnt from it, (n, ...).

    Parameters
    ----------
    n : int
    left_out : int arrays
        Parts that together are the samples 0 to n - 1, each once.
    tell : callable (rest, part) -> array (len(part), ...)
        Learns from the samples `rest` and tells of those of `part`.
    """
    answers = [(part, tell(np.setdiff1d(np.arange(n), part), part)) for part in left_out]
    places, values = (np.concatenate(column) for column in zip(*answers))
    return values[np.argsort(places)]


def told_apart(
    y: Int[np.ndarray, " n"],
    mapped: Callable[[IntArray, IntArray, IntArray], Compared],
    random_state: int = 0,
) -> Float[np.ndarray, "folds settings"]:
    """How well held-out classes are told apart by cosine under each setting, fold after fold; every class weighs alike.

    Parameters
    ----------
    y : int array (n,)
        Fewer than four classes give no fold, (0, 0).
    mapped : callable (learn, out, held) -> `Compared`, for each setting
        The samples to learn from, the m samples of held-out classes, and these k classes; all ascending.
    random_state : int
    """
    accuracies = []
    for held in pretend_unseen(y, random_state=random_state):
        learn, out = (np.flatnonzero(np.isin(y, held, invert=kept)) for kept in (True, False))
        truth = torch.as_tensor(np.searchsorted(held, y[out]))
        accuracies.append([mean_of_classes(truth, cosines(*pair).argmax(dim=1)) for pair in mapped(learn, out, held)])
    return np.array(accuracies).reshape(len(accuracies), len(accuracies[0]) if accuracies else 0)
