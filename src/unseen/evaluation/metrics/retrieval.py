"""How well one side of pairs finds the other: recall among the first k, both ways."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

KS = (1, 5, 10)
"""Numbers of first answers that are looked at."""


def recall_at(
    scores: NDArray[np.floating], relevant: NDArray[np.bool_] | None = None, ks: Sequence[int] = KS
) -> dict[int, float]:
    """The share of queries that have a relevant answer among their first k, for every k.

    Answers that score as much as the best relevant one stand before it: a model that says the same of all finds nothing
    beyond chance, whatever the order of the table.

    Parameters
    ----------
    scores : array (n, m)
        How well each answer fits each query; finite.
    relevant : bool array (n, m), optional
        What is right, at least one in each row; answer i for query i if absent.
    ks : sequence of int, >= 1

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
    before = ((scores >= best) & ~relevant).sum(axis=1)
    return {k: float((before < k).mean()) for k in ks}


def both_ways(
    scores: NDArray[np.floating], relevant: NDArray[np.bool_] | None = None, ks: Sequence[int] = KS
) -> dict[str, float]:
    """`there@k` (rows ask), `back@k` (columns ask) and their `mean`: what papers of two towers call mean recall."""
    there = recall_at(scores, relevant, ks)
    back = recall_at(np.asarray(scores).T, None if relevant is None else relevant.T, ks)
    told = {f"{way}@{k}": value for way, part in (("there", there), ("back", back)) for k, value in part.items()}
    return told | {"mean": float(np.mean(list(told.values())))}


def structure_correlation(p: NDArray[np.floating], q: NDArray[np.floating]) -> float:
    """Pearson r of the cosines of all pairs of samples in two spaces: whether one finds alike what the other does.

    Parameters
    ----------
    p, q : array (n, d), (n, e)
        Vectors of the same samples by two towers; at least three, not 0.

    Raises
    ------
    ValueError
        If they are not of as many samples, fewer than three, or all cosines of a tower are the same.
    """
    if len(p) != len(q) or len(p) < 3:
        raise ValueError(f"p and q must hold the same samples, at least three; got {len(p)} and {len(q)}")
    upper = np.triu_indices(len(p), 1)
    cosines = []
    for name, x in (("p", np.asarray(p, dtype=np.float64)), ("q", np.asarray(q, dtype=np.float64))):
        norms = np.linalg.norm(x, axis=1, keepdims=True)
        if not np.isfinite(x).all() or not (norms > 0).all():
            raise ValueError(f"{name} must hold finite vectors that are not 0")
        x = x / norms
        cosines.append((x @ x.T)[upper])
        if np.ptp(cosines[-1]) < 1e-12:
            raise ValueError(f"{name} finds all samples equally alike; there is no structure to compare")
    return float(np.corrcoef(*cosines)[0, 1])
