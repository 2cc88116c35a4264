"""Spherical k-means on more rows than fit in memory twice: by cosine, in blocks, learnt on a part, assigned to all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from unseen.nn.clustering import plus_plus
from unseen.runtime import track

BLOCK = 8192
"""Rows that are looked at together."""
SOWN = 24
"""Rows per cluster that the start is drawn from."""
CALM = 1e-4
"""A clustering rests once the mean cosine grows by less."""


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Some rows of an array, read where they are asked for, so that they are never copied all at once."""

    x: NDArray[np.floating] | Tensor
    index: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: Any) -> NDArray[np.floating] | Tensor:
        return self.x[self.index[rows]]


Rows = NDArray[np.floating] | Tensor | Part
"""Rows of any float type, also an array that is mapped from disk, or some rows of one."""


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
        If k is not in [1, n].

    Source: Dhillon & Modha, "Concept decompositions for large sparse text data using clustering", 2001.
    """
    if not 1 <= k <= len(x):
        raise ValueError(f"k must be in [1, {len(x)}], the number of rows; got {k}")
    rng = np.random.default_rng(random_state)
    wanted = train_per_cluster * k
    part = np.arange(len(x)) if wanted >= len(x) else np.sort(rng.choice(len(x), wanted, replace=False))
    sample = torch.cat([unit(x[part[i : i + BLOCK]]) for i in range(0, len(part), BLOCK)])
    generator = torch.Generator().manual_seed(random_state)
    best, most = sample[:k], -np.inf
    for _ in range(restarts):
        few = torch.randperm(len(sample), generator=generator)[: max(SOWN * k, 2048)]
        centroids, mean = _learn(sample, plus_plus(sample[few.sort().values], k, generator), iterations)
        if mean > most:
            best, most = centroids, mean
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


def blocks(n: int, size: int = BLOCK) -> Iterator[slice]:
    """Consecutive pieces of at most `size` rows."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def unit(rows: NDArray[np.floating] | Tensor) -> Float[Tensor, "b d"]:
    """Rows as float32 of unit length, copied; a row of zeros stays one."""
    made = rows.detach().float() if isinstance(rows, Tensor) else torch.from_numpy(np.array(rows, dtype=np.float32))
    return made / made.norm(dim=1, keepdim=True).clamp_min(1e-12)


def _learn(x: Tensor, centroids: Tensor, iterations: int) -> tuple[Tensor, float]:
    """Lloyd's iterations by cosine; the centroids and the mean cosine to them."""
    before = -np.inf
    for _ in track(range(iterations), "clustering"):
        sums, cosines = _sums(x, centroids)
        mean = float(cosines.mean())
        if mean - before < CALM:
            break
        before = mean
        lengths = sums.norm(dim=1)
        empty = torch.nonzero(lengths <= 1e-12)[:, 0]
        centroids = (sums / lengths.clamp_min(1e-12)[:, None]).float()
        if len(empty):
            centroids[empty] = x[torch.argsort(cosines, stable=True)[: len(empty)]]
            before = -np.inf
    return centroids, float(before)


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
