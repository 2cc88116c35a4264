"""Semantic deduplication: of rows that say nearly the same, one stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from unseen.nn.rows import Part, Rows, blocks, copies, unit
from unseen.nn.spherical import SphericalClusters, spherical_kmeans

Keep = Literal["far", "near", "first"]
BoolArray = NDArray[np.bool_]
Same = Callable[[NDArray[np.intp], NDArray[np.intp]], BoolArray]
"""Which pairs of rows, (m,) and (m,), are the same: (m,)."""

MEMBERS = 1000
"""Rows of a cluster, on average, from which on there are more clusters to look for duplicates in."""
LARGEST = 4 * MEMBERS
"""Rows of a cluster from which on it is split, so that no cluster is compared with itself at any cost."""
_ROUNDS = 3
"""Of splitting; what is still larger then is cut."""
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
    scores = np.full(len(labels), -1.0, dtype=np.float32)
    for members in _clusters(labels, distances, keep):
        for block, cosines in _before(x, members):
            scores[members[block]] = cosines.amax(dim=1).clamp(-1, 1).numpy()
    return scores


def _clusters(
    labels: Int[np.ndarray, " n"], distances: Float[np.ndarray, " n"], keep: Keep
) -> Iterator[NDArray[np.intp]]:
    """The members of every cluster of two and more, in the order in which they stay."""
    order = (
        np.arange(len(labels))
        if keep == "first"
        else np.argsort(distances if keep == "near" else -distances, kind="stable")
    )
    order = order[np.argsort(labels[order], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(labels[order]) != 0, True]) if len(order) else np.zeros(1, dtype=int)
    yield from (order[start:stop] for start, stop in zip(starts[:-1], starts[1:]) if stop - start > 1)


def _before(x: Rows, members: NDArray[np.intp]) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of members with their cosines to all up to the last of them, -1 to itself and to what comes after it."""
    rows = torch.cat([unit(x[members[block]]) for block in blocks(len(members), _BLOCK)])
    for block in blocks(len(rows), _BLOCK):
        cosines = rows[block] @ rows[: block.stop].T
        within = cosines[:, block.start :]
        within.masked_fill_(torch.ones_like(within, dtype=torch.bool).triu(), -1.0)
        yield block, cosines


def semdedup(
    x: Rows, eps: float, *, n_clusters: int | None = None, keep: Keep = "far", random_state: int = 0,
    same: Same | None = None,
) -> Bool[np.ndarray, " n"]:  # fmt: skip
    """Which rows stay, (n,), where of two of a cluster with a cosine above ``1 - eps`` only one does.

    Rows that are equal value for value are found first, by a hash, wherever they stand: the first of them stays.
    The others are compared within clusters of some 1,000 rows, so that comparing costs n times 1,000, and clustering
    n times n / 1,000, of a million rows about the same. A cluster of more than 4,000 is split; a near-duplicate on
    the other side of a border stays.

    Parameters
    ----------
    x : array (n, d)
    eps : float in [0, 2]
        0 takes only what is equal in float32, value for value, and clusters nothing.
    n_clusters : int, optional
        Rows are only compared within a cluster: the square root of n / 2 clusters if absent, and at least one for each
        1,000 rows.
    keep : {"far", "near", "first"}
        As in `duplicate_scores`.
    random_state : int
    same : callable, optional
        Confirms pairs of a cluster, two arrays (m,) of rows, also those that are equal: for embeddings that do not tell
        samples apart. A row goes if it is the same as one before it.

    Raises
    ------
    ValueError
        If eps or the number of clusters is out of range, or `keep` is none of these.

    Source: Abbas et al., "SemDeDup: Data-efficient learning at web-scale through semantic deduplication", 2023.
    """
    if not 0 <= eps <= 2:
        raise ValueError(f"eps must lie in [0, 2]; got {eps}")
    if keep not in get_args(Keep):
        raise ValueError(f"keep must be one of {', '.join(get_args(Keep))}; got {keep!r}")
    stay = ~copies(x) if same is None else np.ones(len(x), dtype=bool)
    left = np.flatnonzero(stay)
    if not len(left) or (eps == 0 and same is None):
        return stay
    rows = x if len(left) == len(x) else Part(x, left)
    k = None if n_clusters is None else min(n_clusters, len(left))
    clusters = rough_clusters(rows, k, random_state)
    if same is None:
        stay[left] = unique(duplicate_scores(rows, clusters.labels, clusters.distances, keep), eps)
        return stay
    for members in _clusters(clusters.labels, clusters.distances, keep):
        for block, cosines in _before(rows, members):
            i, j = (cosines > _bound(eps)).nonzero(as_tuple=True)
            later, earlier = members[block][i.numpy()], members[j.numpy()]
            stay[later[same(later, earlier)]] = False
    return stay


def unique(scores: Float[np.ndarray, " n"], eps: float) -> Bool[np.ndarray, " n"]:
    """Which rows are no duplicates at eps, by their `duplicate_scores`."""
    return scores <= _bound(eps)


def _bound(eps: float) -> float:
    """The cosine above which two are duplicates."""
    return 1 - max(eps, 1e-6)


def eps_for(scores: Float[np.ndarray, " n"], share: float) -> float:
    """The eps at which about a share of the rows stays, by their `duplicate_scores`; `ValueError` outside (0, 1]."""
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1]; got {share}")
    if share == 1:
        return 0.0
    return float(np.clip(1 - np.quantile(scores, share), 0, 2))


def rough_clusters(x: Rows, k: int | None = None, random_state: int = 0) -> SphericalClusters:
    """Clusters to look for duplicates in: many, and so learnt from few rows in few iterations; none above `LARGEST`.

    Within a cluster every two rows are compared, so that small ones are cheap; near-duplicates are mostly in one.
    A large one is clustered again; the distances stay those to the centroid of the first clustering.
    """
    rough = _roughly(x, clusters_for(len(x)) if k is None else k, random_state)
    labels, many = rough.labels.copy(), len(rough.centroids)
    for _ in range(_ROUNDS):
        sizes = np.bincount(labels)
        for j in np.flatnonzero(sizes > LARGEST):
            members = np.flatnonzero(labels == j)
            pieces = _roughly(Part(x, members), -(-len(members) // MEMBERS), random_state).labels
            labels[members] = np.where(pieces == 0, j, many + pieces - 1)
            many += int(pieces.max())
    for j in np.flatnonzero(np.bincount(labels) > LARGEST):
        members = np.flatnonzero(labels == j)
        pieces = np.arange(len(members)) // MEMBERS
        labels[members] = np.where(pieces == 0, j, many + pieces - 1)
        many += int(pieces.max())
    return SphericalClusters(rough.centroids, labels, rough.distances)


def _roughly(x: Rows, k: int, random_state: int) -> SphericalClusters:
    return spherical_kmeans(x, k, iterations=10, train_per_cluster=64, random_state=random_state)


def clusters_for(n: int) -> int:
    """How many clusters to look for duplicates of n rows in."""
    return int(max(1, round((n / 2) ** 0.5) if n < 500_000 else 500, -(-n // MEMBERS)))
