"""How well one side of pairs finds the other: recall among the first k, both ways.

Methods choose by it on pairs that they were given; the exam grades by the same figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

KS = (1, 5, 10)
"""Numbers of first answers that are looked at."""


def ranks(scores: NDArray[np.floating], relevant: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """The place of the first relevant answer of each query, from 1, (n,).

    Answers that score as much as the best relevant one stand before it: a model that says the same of all finds nothing
    beyond chance, whatever the order of the table.

    Parameters
    ----------
    scores : array (n, m)
        How well each answer fits each query; finite.
    relevant : bool array (n, m), optional
        What is right, at least one in each row; answer i for query i if absent.

    Raises
    ------
    ValueError
        If shapes do not fit, a score is not finite, or a query has nothing relevant.
    """
    scores = np.asarray(scores)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"scores must be a table of queries and answers, (n, m); got the shape {scores.shape}")
    if relevant is None:
        if scores.shape[0] != scores.shape[1]:
            raise ValueError(f"relevant must be given where scores are not square; got {scores.shape}")
        relevant = np.eye(len(scores), dtype=bool)
    if relevant.shape != scores.shape:
        raise ValueError(f"relevant must be of the shape of scores, {scores.shape}; got {relevant.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    if not relevant.any(axis=1).all():
        raise ValueError(f"each query needs a relevant answer; row {int(np.argmin(relevant.any(axis=1)))} has none")
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    return 1 + ((scores >= best) & ~relevant).sum(axis=1)


def recall_at(
    scores: NDArray[np.floating], relevant: NDArray[np.bool_] | None = None, ks: Sequence[int] = KS
) -> dict[int, float]:
    """The share of queries that have a relevant answer among their first k, for every k, by `ranks`.

    Parameters
    ----------
    scores, relevant : array (n, m)
        As `ranks` reads them.
    ks : sequence of int, >= 1
    """
    places = ranks(scores, relevant)
    return {k: float((places <= k).mean()) for k in ks}


def middle_ranks(scores: NDArray[np.floating], relevant: NDArray[np.bool_] | None = None) -> dict[str, float]:
    """The median and the mean of `ranks`, MdR and MnR of retrieval, of rows that ask and of columns that ask."""
    back = None if relevant is None else relevant.T
    by_way = {"there": ranks(scores, relevant), "back": ranks(np.asarray(scores).T, back)}
    middle = {f"{way} median": float(np.median(rows)) for way, rows in by_way.items()}
    return middle | {f"{way} mean": float(np.mean(rows)) for way, rows in by_way.items()}


def both_ways(
    scores: NDArray[np.floating], relevant: NDArray[np.bool_] | None = None, ks: Sequence[int] = KS
) -> dict[str, float]:
    """`there@k` (rows ask), `back@k` (columns ask) and their `mean`: what papers of two towers call mean recall."""
    there = recall_at(scores, relevant, ks)
    back = recall_at(np.asarray(scores).T, None if relevant is None else relevant.T, ks)
    recalls = {f"{way}@{k}": value for way, part in (("there", there), ("back", back)) for k, value in part.items()}
    return recalls | {"mean": float(np.mean(list(recalls.values())))}


def both_ways_by_chance(relevant: NDArray[np.bool_] | int, ks: Sequence[int] = KS) -> dict[str, float]:
    """What `both_ways` gives on the mean of all orders of the answers.

    Parameters
    ----------
    relevant : bool array (n, m), or int
        What is right, as `ranks` reads it; a number of pairs where answer i alone is right for query i.
    ks : sequence of int, >= 1
    """
    if isinstance(relevant, int):
        right, m = (np.ones(1), np.ones(1)), (relevant, relevant)
    else:
        right, m = (relevant.sum(axis=1), relevant.sum(axis=0)), (relevant.shape[1], relevant.shape[0])
    recalls = {
        f"{way}@{k}": float(
            np.mean(1 - np.prod([np.maximum(n - r - i, 0) / (n - i) for i in range(min(k, n))], axis=0))
        )
        for way, r, n in zip(("there", "back"), right, m)
        for k in ks
    }
    return recalls | {"mean": float(np.mean(list(recalls.values())))}


Spoken = tuple[NDArray[np.floating], NDArray[np.integer]]
"""Vectors of captions, (m, d), and the row of the picture that each is of, (m,)."""


def by_language(
    pictures: NDArray[np.floating], captions: Mapping[str, Spoken], ks: Sequence[int] = KS
) -> dict[str, dict[str, float]]:
    """Recall both ways in every language, each picture once however many captions it has.

    A picture finds a caption where any of its own is among the first k (`there@k`); a caption has one picture
    (`back@k`); `mean` is the mean of all of these, what papers call mR. Only pictures with a caption in the language
    are asked.

    Parameters
    ----------
    pictures : array (n, d)
        Unit vectors of pictures that differ.
    captions : mapping of language to (array (m, d), array (m,))
        Unit vectors of its captions, and the picture of each.
    ks : sequence of int, >= 1
    """
    recalls = {}
    for language, (vectors, owner) in captions.items():
        captioned, place = np.unique(np.asarray(owner), return_inverse=True)
        relevant = np.arange(len(captioned))[:, None] == place.reshape(-1)[None, :]
        recalls[language] = both_ways(pictures[captioned] @ vectors.T, relevant, ks)
    return recalls
