"""How well one side of pairs finds the other: recall among the first k, both ways."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unseen.validation.recall import KS, Spoken, both_ways, both_ways_by_chance, by_language, recall_at

__all__ = ["KS", "Spoken", "both_ways", "both_ways_by_chance", "by_language", "recall_at", "structure_correlation"]


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
