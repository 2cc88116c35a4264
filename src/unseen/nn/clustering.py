"""k-means: one clustering, or many that differ by a few left-out samples and share their work."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Clusters(NamedTuple):
    """Centroids (k, d), the cluster of every sample (n,), and the sum of squared distances to the centroids."""

    centroids: Tensor
    labels: Tensor
    inertia: float


def kmeans(
    x: Float[Tensor, "n d"],
    k: int,
    *,
    iterations: int = 100,
    tolerance: float = 1e-4,
    restarts: int = 1,
    init: Float[Tensor, "k d"] | None = None,
    random_state: int = 0,
) -> Clusters:
    """Lloyd's algorithm from a greedy k-means++ start; the same bits for the same arguments.

    Parameters
    ----------
    x : Tensor of shape (n, d)
    k : int
        Number of clusters, at most n.
    iterations : int, >= 1
        Of Lloyd's algorithm, at most.
    tolerance : float, >= 0
        A centroid rests once it moves less than this share of the data's variance, as in scikit-learn.
    restarts : int, >= 1
        Starts; the clustering of least inertia is kept.
    init : Tensor of shape (k, d), optional
        Centroids to start from, in place of k-means++.
    random_state : int

    Raises
    ------
    ValueError
        If k is not in [1, n].

    Source: Arthur & Vassilvitskii, "k-means++", 2007; greedy trials as in scikit-learn.
    """
    if not 1 <= k <= len(x):
        raise ValueError(f"k must be in [1, {len(x)}], the number of samples; got {k}")
    generator = torch.Generator(x.device).manual_seed(random_state)
    everything = torch.ones(len(x), dtype=torch.bool, device=x.device)
    best: Clusters | None = None
    for _ in range(1 if init is not None else restarts):
        start = plus_plus(x, k, generator) if init is None else init
        run = _Lloyd(x, start, tolerance)
        run.go(everything, iterations, generator)
        centroids = run.centroids()
        inertia = float((x - centroids[run.labels]).square().sum(dtype=torch.float64))
        if best is None or inertia < best.inertia:
            best = Clusters(centroids, run.labels, inertia)
    assert best is not None
    return best


def kmeans_leaving_out(
    x: Float[Tensor, "n d"],
    left_out: Int[Tensor, "c m"],
    k: int,
    *,
    iterations: int = 100,
    tolerance: float = 1e-4,
    random_state: int = 0,
) -> Iterator[Float[Tensor, "k d"]]:
    """Yield the centroids of `x` without the samples `left_out[0]`, without `left_out[1]`, and so on.

    Each of the C problems is a k-means of its own on its n - m samples. It starts from one clustering of all
    samples; clusters that lose more than half of their members are sown anew by a step of k-means++, and only
    distances to centroids that move are computed again. With n = 20,000, d = 256, k = 100 this is an order of
    magnitude faster than C separate runs.

    Raises
    ------
    ValueError
        If fewer than k samples are left.
    """
    if not 1 <= k <= len(x) - left_out.shape[1]:
        raise ValueError(f"k must be in [1, {len(x) - left_out.shape[1]}], the number of samples left; got {k}")
    generator = torch.Generator(x.device).manual_seed(random_state)
    everything = torch.ones(len(x), dtype=torch.bool, device=x.device)
    shared = _Lloyd(x, plus_plus(x, k, generator), tolerance)
    shared.go(everything, iterations, generator)
    for out in left_out:
        keep = everything.clone()
        keep[out] = False
        run = shared.copy()
        run.go(keep, iterations, generator)
        yield run.centroids()


def plus_plus(x: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """k starting centroids: each time the best of a few samples drawn by squared distance."""
    centroids = x[torch.randint(len(x), (1,), generator=generator, device=x.device)]
    distance = (x - centroids).square().sum(dim=1)
    squares = x.square().sum(dim=1)
    for _ in range(k - 1):
        point, distance = _sow(x, squares, distance, k, generator)
        centroids = torch.cat([centroids, point])
    return centroids


def _sow(x: Tensor, squares: Tensor, distance: Tensor, k: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One greedy step of k-means++: the new centroid (1, d) and all squared distances after it (n,)."""
    weights = distance if float(distance.sum()) > 0 else torch.ones_like(distance)
    trials = torch.multinomial(weights, 2 + int(math.log(k)), replacement=True, generator=generator)
    new = (squares[:, None] + squares[trials] - 2 * x @ x[trials].T).clamp_min(0)
    left = torch.minimum(distance[:, None], new)
    best = left.sum(dim=0).argmin()
    return x[trials[best]][None], left[:, best]


class _Lloyd:
    """Centroids, and for every sample its scores <x, m> - |m|^2 / 2, of which the largest is the nearest m."""

    def __init__(self, x: Tensor, centroids: Tensor, tolerance: float) -> None:
        self.x = x
        self.squares = x.square().sum(dim=1)
        variance = float((self.squares.mean() - x.mean(dim=0).square().sum()).clamp_min(0)) / x.shape[1]
        self.rest = tolerance * variance / len(centroids)  # the squared move of a centroid that rests
        self.scored = centroids.clone()  # the centroids that `scores` were computed with
        self.scores = x @ centroids.T - centroids.square().sum(dim=1) / 2
        self.labels = self.scores.argmax(dim=1)
        self.sums = torch.zeros(centroids.shape, dtype=torch.float64, device=x.device)
        self.sums.index_add_(0, self.labels, x.double())
        self.counts = torch.bincount(self.labels, minlength=len(centroids))

    def copy(self) -> _Lloyd:
        """An independent copy that shares the samples."""
        other = copy.copy(self)
        for name in ("scored", "scores", "labels", "sums", "counts"):
            setattr(other, name, getattr(self, name).clone())
        return other

    def centroids(self) -> Tensor:
        """Mean of each cluster, (k, d); an empty one keeps its place."""
        means = (self.sums / self.counts.clamp_min(1)[:, None]).to(self.x.dtype)
        return torch.where(self.counts[:, None] > 0, means, self.scored)

    def go(self, keep: Tensor, iterations: int, generator: torch.Generator) -> None:
        """Lloyd's iterations on the samples in `keep` until all centroids rest."""
        before = self.counts
        self._transfer(~keep, self.labels, None)
        self._sow_again(torch.nonzero(2 * self.counts < before)[:, 0], keep, generator)
        for _ in range(iterations):
            labels = self.scores.argmax(dim=1)
            self._transfer(keep & (labels != self.labels), self.labels, labels)
            self.labels = labels
            empty = torch.nonzero(self.counts == 0)[:, 0]
            centroids = self.centroids()
            moved = (centroids - self.scored).square().sum(dim=1) > self.rest
            if not moved.any() and not len(empty):
                break
            self._rescore(torch.nonzero(moved)[:, 0], centroids)
            self._sow_again(empty, keep, generator)

    def _transfer(self, which: Tensor, old: Tensor, new: Tensor | None) -> None:
        """Take samples out of their old clusters, and put them into the new ones."""
        index = torch.nonzero(which)[:, 0]
        x = self.x[index].double()
        self.sums.index_add_(0, old[index], -x)
        self.counts = self.counts - torch.bincount(old[index], minlength=len(self.counts))
        if new is not None:
            self.sums.index_add_(0, new[index], x)
            self.counts = self.counts + torch.bincount(new[index], minlength=len(self.counts))

    def _rescore(self, which: Tensor, centroids: Tensor) -> None:
        self.scored[which] = centroids[which]
        self.scores[:, which] = self.x @ centroids[which].T - centroids[which].square().sum(dim=1) / 2

    def _sow_again(self, which: Tensor, keep: Tensor, generator: torch.Generator) -> None:
        """Put the clusters `which` where the kept samples are worst represented."""
        if not len(which):
            return
        self.scores[:, which] = -torch.inf
        distance = torch.where(keep, self.squares - 2 * self.scores.amax(dim=1), 0.0).clamp_min(0)
        for cluster in which:
            if not torch.isfinite(distance).all() or not distance.any():
                distance = keep.to(self.x.dtype)  # no centroid is left, or every sample sits on one
            point, distance = _sow(self.x, self.squares, distance, len(self.scored), generator)
            distance = torch.where(keep, distance, 0.0)
            self.scored[cluster] = point[0]
            self.scores[:, cluster] = self.x @ point[0] - point[0].square().sum() / 2
