"""Validation on a few target labels: leave one out, or folds where there are more (Stone, JRSS B 1974)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int

MANY = 20
"""Above this many labels, folds take the place of leaving one out."""


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
