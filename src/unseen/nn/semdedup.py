"""Semantic deduplication: of rows that say nearly the same, one stays."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from unseen.nn.spherical import Rows, SphericalClusters, blocks, spherical_kmeans, unit

Keep = Literal["far", "near", "first"]

MEMBERS = 1000
"""Rows of a cluster, on average, from which on there are more clusters to look for duplicates in."""
_BLOCK = 512


def duplicate_scores(
    x: Rows, labels: Int[np.ndarray, " n"], distances: Float[np.ndarray, " n"], keep: Keep = "far"
) -> Float[np.ndarray, " n"]:
    """How alike every row is to the most similar one of its cluster that comes before it, (n,) of float32.

    It is a cosine, -1 for the first row of a cluster. Rows above ``1 - eps`` are the duplicates at eps, so one pass
    serves every eps, and a share to keep, too: its quantile.

    Parameters
    ----------
    x : array (n, d)
    labels, distances : array (n,)
        The cluster of every row, and its distance to the centroid.
    keep : {"far", "near", "first"}
        What comes first, and so stays: what is farthest from the centroid, as in the paper; what is nearest; or what
        stands first. Ties go to the row that stands first.
    """
    order = (
        np.arange(len(labels))
        if keep == "first"
        else np.argsort(distances if keep == "near" else -distances, kind="stable")
    )
    order = order[np.argsort(labels[order], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(labels[order]) != 0, True]) if len(order) else np.zeros(1, dtype=int)
    scores = np.full(len(labels), -1.0, dtype=np.float32)
    for start, stop in zip(starts[:-1], starts[1:]):
        members = order[start:stop]
        if len(members) > 1:
            scores[members] = _before(x, members)
    return scores


def _before(x: Rows, members: NDArray[np.intp]) -> Float[np.ndarray, " m"]:
    """The largest cosine of every member to one that comes before it, (m,)."""
    rows = torch.cat([unit(x[members[block]]) for block in blocks(len(members), _BLOCK)])
    best = torch.full((len(rows),), -1.0)
    for block in blocks(len(rows), _BLOCK):
        cosines = rows[block] @ rows[: block.stop].T
        own = cosines[:, block.start :]
        own.masked_fill_(torch.ones_like(own, dtype=torch.bool).triu(), -1.0)
        best[block] = cosines.amax(dim=1)
    return best.clamp(-1, 1).numpy()


def semdedup(
    x: Rows, eps: float, *, n_clusters: int | None = None, keep: Keep = "far", random_state: int = 0
) -> Bool[np.ndarray, " n"]:
    """Which rows stay, (n,), where of two of a cluster with a cosine above ``1 - eps`` only one does.

    Parameters
    ----------
    x : array (n, d)
    eps : float in [0, 2]
        0 takes only what is equal up to rounding in the sixth place.
    n_clusters : int, optional
        Rows are only compared within a cluster: the square root of n / 2 clusters if absent, and at least one for each
        1,000 rows.
    keep : {"far", "near", "first"}
        As in `duplicate_scores`.
    random_state : int

    Raises
    ------
    ValueError
        If eps or the number of clusters is out of range.

    Source: Abbas et al., "SemDeDup: Data-efficient learning at web-scale through semantic deduplication", 2023.
    """
    if not 0 <= eps <= 2:
        raise ValueError(f"eps must lie in [0, 2]; got {eps}")
    if len(x) == 0:
        return np.zeros(0, dtype=bool)
    found = rough_clusters(x, n_clusters, random_state)
    return unique(duplicate_scores(x, found.labels, found.distances, keep), eps)


def unique(scores: Float[np.ndarray, " n"], eps: float) -> Bool[np.ndarray, " n"]:
    """Which rows are no duplicates at eps, by their `duplicate_scores`."""
    return scores <= 1 - max(eps, 1e-6)


def eps_for(scores: Float[np.ndarray, " n"], share: float) -> float:
    """The eps at which about a share of the rows stays, by their `duplicate_scores`; `ValueError` outside (0, 1]."""
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1]; got {share}")
    if share == 1:
        return 0.0
    return float(np.clip(1 - np.quantile(scores, share), 0, 2))


def rough_clusters(x: Rows, k: int | None = None, random_state: int = 0) -> SphericalClusters:
    """Clusters to look for duplicates in: many, and so learnt from few rows in few iterations.

    Within a cluster every two rows are compared, so that small ones are cheap; near-duplicates are mostly in one.
    """
    k = clusters_for(len(x)) if k is None else k
    return spherical_kmeans(x, k, iterations=10, train_per_cluster=64, random_state=random_state)


def clusters_for(n: int) -> int:
    """How many clusters to look for duplicates of n rows in."""
    return int(max(1, round((n / 2) ** 0.5) if n < 500_000 else 500, -(-n // MEMBERS)))
