"""Class-wise validation: some seen classes are held out as if they had never been seen."""

from __future__ import annotations

import numpy as np
import torch

from unseen.data.classes import ClassSpace
from unseen.data.compositions import composed, primitives
from unseen.data.typing import IntArray
from unseen.nn.unseen_classes import mean_of_classes

FEWEST = 4
"""Seen classes below which nothing can be held out: two stay, two go."""


def pretended(classes: ClassSpace, seed: int) -> tuple[ClassSpace, IntArray]:
    """A space in which some seen classes play the unseen ones, for a problem like the real one whose truth is known.

    As large a share of it is unseen as of `classes`, at least two classes and at most half. Classes that are unseen in
    truth are left out: nothing is known of what they are predicted for. Of compositions, every word stays in a class
    that stays seen, so that fewer may go.

    Parameters
    ----------
    classes : ClassSpace
    seed : int
        Of the draw.

    Returns
    -------
    ClassSpace
        The seen classes, those that stay seen first.
    int array
        The index in `classes` of each.

    Source: Xian et al., "Zero-Shot Learning: A Comprehensive Evaluation of the Good, the Bad and the Ugly", TPAMI 2019,
    section 4: hyperparameters are chosen on classes that are disjoint from those of training and of test.

    Raises
    ------
    ValueError
        If fewer than four classes are seen.
    """
    k = len(classes.seen)
    if k < FEWEST:
        raise ValueError(f"classes must have at least {FEWEST} seen ones to hold some out; got {k}")
    n = min(max(round(k * len(classes.unseen) / len(classes)), 2), k // 2)
    drawn = np.random.default_rng(seed).permutation(classes.seen)
    goes = _that_can_go(classes, drawn, n)
    order = np.concatenate([np.setdiff1d(drawn, goes), np.sort(goes)])
    return classes.take(order).replace(seen=np.arange(k - len(goes)), metric=classes.metric.take(order)), order


def _that_can_go(classes: ClassSpace, drawn: IntArray, n: int) -> IntArray:
    """The first `n` of the drawn classes; of compositions, the first whose words are in others that stay."""
    if not composed(classes):
        return drawn[:n]
    known = primitives(classes)
    left = [np.bincount(index[drawn], minlength=len(words)) for index, words in zip(known[2:4], known[:2])]
    goes: list[int] = []
    for i in drawn.tolist():
        if len(goes) < n and all(count[index[i]] > 1 for count, index in zip(left, known[2:4])):
            goes.append(i)
            for count, index in zip(left, known[2:4]):
                count[index[i]] -= 1
    return np.array(goes, dtype=np.int64)


def classwise_validation(truth: IntArray, prediction: IntArray, seen: IntArray) -> tuple[float, float]:
    """How well classes are told that were held out: H among all of them, and mean accuracy of the held-out classes.

    Parameters
    ----------
    truth, prediction : int arrays (n,)
        Of samples of both kinds that the candidate did not learn from.
    seen : int array
        Classes that stayed seen.

    Returns
    -------
    h, unseen : float in [0, 1]
        h is the harmonic mean of the mean per-class accuracies of seen and of held-out classes.

    Raises
    ------
    ValueError
        If samples of one kind are missing.
    """
    known = np.isin(truth, seen)
    if known.all() or not known.any():
        raise ValueError(
            f"truth must hold samples of both kinds; {int(known.sum())} of {len(truth)} are of seen classes"
        )
    s, u = (
        mean_of_classes(torch.as_tensor(truth[kind]), torch.as_tensor(prediction[kind])) for kind in (known, ~known)
    )
    return (2 * s * u / (s + u) if s + u else 0.0), u
