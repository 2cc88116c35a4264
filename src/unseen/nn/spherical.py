"""Spherical k-means on more rows than fit in memory twice: by cosine, in blocks, learnt on a part, assigned to all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from unseen.nn.clustering import plus_plus
from unseen.nn.rows import Rows, blocks, unit
from unseen.runtime import track

__all__ = ["SphericalClusters", "assign", "spherical_kmeans"]

SOWN = 24
"""Rows per cluster that the start is drawn from."""
CALM = 1e-4
"""A clustering rests once the mean cosine grows by less."""


class SphericalClusters(NamedTuple):
    """Unit centroids (k, d), the cluster of every row (n,), and 1 - cosine to its centroid (n,), float32."""

    centroids: Float[np.ndarray, "k d"]
    labels: Int[np.ndarray, " n"]
    distances: Float[np.ndarray, " n"]


def spherical_kmeans(
    x: Rows,
    k: int,
    *,
    iterations: int = 25,
    restarts: int = 1,
    train_per_cluster: int = 256,
    random_state: int = 0,
) -> SphericalClusters:
    """Cluster rows by cosine; centroids have unit length; the same bits for the same arguments.

    Only `train_per_cluster` k rows are learnt from; then all are assigned, block by block, so that of rows on disk no
    more than that part is in memory. A start is drawn by k-means++; a cluster that runs empty takes the row that is
    worst represented; of several restarts the one with the largest mean cosine is kept.

    Parameters
    ----------
    x : array or Tensor (n, d)
        Of any length; a row of zeros is at distance 1 from everything.
    k : int in [1, n]
    iterations : int, >= 1
        Of each restart, at most.
    restarts : int, >= 1
    train_per_cluster : int, >= 1
        Rows per cluster to learn from, drawn without replacement.
    random_state : int

    Raises
    ------
    ValueError
        If k is not in [1, n], or a count below 1.

    Source: Dhillon & Modha, "Concept decompositions for large sparse text data using clustering", 2001.
    """
    if not 1 <= k <= len(x):
        raise ValueError(f"k must be in [1, {len(x)}], the number of rows; got {k}")
    counts = {"iterations": iterations, "restarts": restarts, "train_per_cluster": train_per_cluster}
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}")
    rng = np.random.default_rng(random_state)
    wanted = train_per_cluster * k
    part = np.arange(len(x)) if wanted >= len(x) else np.sort(rng.choice(len(x), wanted, replace=False))
    sample = torch.cat([unit(x[part[rows]]) for rows in blocks(len(part))])
    generator = torch.Generator().manual_seed(random_state)
    best: Tensor | None = None
    most = -np.inf
    for _ in range(restarts):
        few = torch.randperm(len(sample), generator=generator)[: max(SOWN * k, 2048)]
        centroids, mean = _learn(sample, plus_plus(sample[few.sort().values], k, generator), iterations)
        if best is None or mean > most:
            best, most = centroids, mean
    assert best is not None
    return SphericalClusters(best.numpy(), *assign(x, best))


def assign(x: Rows, centroids: NDArray[np.floating] | Tensor) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The centroid of largest cosine of every row, (n,), and 1 - that cosine, (n,) of float32; ties to the first."""
    to = unit(centroids).T.contiguous()
    labels, distances = np.empty(len(x), dtype=np.int64), np.empty(len(x), dtype=np.float32)
    for rows in track(list(blocks(len(x))), "assigning"):
        cosines, which = (unit(x[rows]) @ to).max(dim=1)
        labels[rows] = which.numpy()
        distances[rows] = (1 - cosines).clamp_min(0).numpy()
    return labels, distances


def _learn(x: Tensor, centroids: Tensor, iterations: int) -> tuple[Tensor, float]:
    """Lloyd's iterations by cosine; of the centroids that were gone through the best ones, and the mean cosine to them.

    Where rows repeat there may be more clusters than distinct rows: some stay empty, and it rests all the same.
    """
    best, most = centroids, -np.inf
    filled = False
    for step in track(range(iterations + 1), "clustering"):
        sums, cosines = _sums(x, centroids)
        mean = float(cosines.mean())
        calm = mean - most < CALM and not filled
        if mean > most:
            best, most = centroids, mean
        if calm or step == iterations:
            break
        lengths = sums.norm(dim=1)
        empty = torch.nonzero(lengths <= 1e-12)[:, 0]
        centroids = (sums / lengths.clamp_min(1e-12)[:, None]).float()
        filled = len(empty) > 0
        if filled:
            centroids[empty] = x[torch.argsort(cosines, stable=True)[: len(empty)]]
    return best, most


def _sums(x: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the rows of every cluster, (k, d) in float64, and the cosine of every row to its centroid, (n,)."""
    to = centroids.T.contiguous()
    sums = torch.zeros(centroids.shape, dtype=torch.float64)
    cosines = torch.empty(len(x))
    for rows in blocks(len(x)):
        block = x[rows]
        cosines[rows], labels = (block @ to).max(dim=1)
        sums += torch.zeros(centroids.shape).index_add_(0, labels, block)
    return sums, cosines
