"""Class-wise validation: some seen classes are held out as if they had never been seen."""

from __future__ import annotations

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.typing import IntArray

FEWEST = 4
"""Seen classes below which nothing can be held out: two stay, two go."""


def pretended(classes: ClassSpace, seed: int) -> tuple[ClassSpace, IntArray]:
    """A space in which some seen classes play the unseen ones, for a problem like the real one whose truth is known.

    As large a share of it is unseen as of `classes`, at least two classes and at most half. Classes that are unseen in
    truth are left out: nothing is known of what they are predicted for.

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
    order = np.concatenate([np.sort(drawn[n:]), np.sort(drawn[:n])])
    return classes.take(order).replace(seen=np.arange(k - n), metric=classes.metric.take(order)), order


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
    s, u = (_per_class(truth[kind], prediction[kind]) for kind in (known, ~known))
    return (2 * s * u / (s + u) if s + u else 0.0), u


def _per_class(truth: IntArray, prediction: IntArray) -> float:
    counts = np.bincount(truth)
    right = np.bincount(truth, weights=prediction == truth)
    return float((right[counts > 0] / counts[counts > 0]).mean())
