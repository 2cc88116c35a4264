"""How an index learns: centroids of its lists, the rotation and codebooks of compressed vectors, search parameters."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.curation.index_choice import IndexChoice
from unseen.curation.index_file import limited_faiss, searched
from unseen.curation.vectors import Vectors
from unseen.data.typing import FloatArray, IntArray

LEAST_PER_CLUSTER, MOST_PER_CLUSTER = 31, 100
"""Training vectors of a cluster."""

MOST_TRAINING = 600_000
"""Training vectors above which no more than the least are taken."""

ONE_LEVEL = 2_048
"""Clusters above which k-means goes in two levels: first coarse ones, then each of them by itself."""

CODEBOOK_ROUNDS, PER_CODE = 12, 64
"""Rounds of k-means and vectors per entry from which codebooks learn; faiss's own are 25 and 256."""

REFINE = 16
"""Times more than asked for that are compared exactly, at most."""

K = 10
"""Neighbours of which recall is told."""


def training_size(n: int, clusters: int) -> int:
    """How many of n vectors an index of so many lists learns from."""
    return min(n, max(LEAST_PER_CLUSTER * clusters, min(MOST_PER_CLUSTER * clusters, MOST_TRAINING)))


def make(choice: IndexChoice, dim: int, training: Callable[[], NDArray[np.float32]], seed: int) -> Any:
    """An empty index that has learnt what it needs to; `training` gives (t, dim) vectors, asked once at most."""
    with limited_faiss() as faiss:
        index = faiss.index_factory(dim, choice.key, faiss.METRIC_INNER_PRODUCT)
        if not choice.clusters:
            return index
        vectors = training()
        lists, seen = index, vectors
        if isinstance(index, faiss.IndexPreTransform):
            rotation = faiss.downcast_VectorTransform(index.chain.at(0))
            matrix = balanced_rotation(vectors, choice.code, rotation.d_out)
            faiss.copy_array_to_vector(matrix.ravel(), rotation.A)
            rotation.is_trained = True
            rotation.set_is_orthonormal()
            seen = rotation.apply(vectors)
            lists = faiss.downcast_index(index.index)
        lists = faiss.extract_index_ivf(index)
        faiss.downcast_index(lists.quantizer).add(_centroids(faiss, seen, choice.clusters, seed))
        if choice.code:
            compressed = faiss.downcast_index(lists)
            compressed.do_polysemous_training = False  # most of the time of training, for a search that is not ours
            books = compressed.pq
            books.cp.niter, books.cp.max_points_per_centroid, books.cp.seed = CODEBOOK_ROUNDS, PER_CODE, seed + 1
        index.train(vectors)
        return index


def balanced_rotation(vectors: NDArray[np.float32], parts: int, width: int) -> NDArray[np.float32]:
    """A rotation (width, d) after which `parts` equal slices of a vector carry equally much: OPQ in closed form [1].

    Principal directions, the strongest first, go each to the slice whose variances multiply to the least so far.

    References
    ----------
    [1] Ge et al., "Optimized Product Quantization", IEEE TPAMI 2014, section 3.2 (the parametric solution).
    """
    moments = vectors.T.astype(np.float64) @ vectors / len(vectors)
    values, directions = np.linalg.eigh(moments)
    slices: list[list[int]] = [[] for _ in range(parts)]
    products = np.zeros(parts)
    for at in range(len(values) - 1, len(values) - 1 - width, -1):
        free = [part for part in range(parts) if len(slices[part]) < width // parts]
        part = min(free, key=lambda candidate: products[candidate])
        slices[part].append(at)
        products[part] += np.log(max(values[at], 1e-12)) - np.log(1e-12)
    return np.ascontiguousarray(directions[:, np.concatenate(slices).astype(int)].T, dtype=np.float32)


def _centroids(faiss: Any, vectors: NDArray[np.float32], clusters: int, seed: int) -> NDArray[np.float32]:
    """Centroids (clusters, d) of spherical k-means; of many clusters in two levels, which is some 60 times faster."""
    if clusters <= ONE_LEVEL:
        return _means(faiss, vectors, clusters, seed)
    coarse = _means(faiss, vectors, round(np.sqrt(clusters)), seed)
    owner = faiss.knn(vectors, coarse, 1, faiss.METRIC_INNER_PRODUCT)[1][:, 0]
    quota = clusters * np.bincount(owner, minlength=len(coarse)) / len(vectors)
    shares = np.floor(quota).astype(int)
    shares[np.argsort(shares - quota, kind="stable")[: clusters - int(shares.sum())]] += 1
    parts = [_means(faiss, vectors[owner == part], int(shares[part]), seed) for part in np.flatnonzero(shares)]
    return np.concatenate(parts)


def _means(faiss: Any, vectors: NDArray[np.float32], clusters: int, seed: int) -> NDArray[np.float32]:
    if clusters >= len(vectors):
        return np.ascontiguousarray(vectors)
    k_means = faiss.Kmeans(
        vectors.shape[1], clusters, niter=10, seed=seed + 1, spherical=True, min_points_per_centroid=1,
        max_points_per_centroid=MOST_PER_CLUSTER,
    )  # fmt: skip
    k_means.train(np.ascontiguousarray(vectors))
    return k_means.centroids


# -- how it is searched --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Queries:
    """Queries with how near their exact neighbours are.

    Attributes
    ----------
    x : array (m, d)
    query_rows : array (m,)
        The row of each query, which does not count as its neighbour; -1 if it has none.
    least : array (m,)
        Similarity of the K-th of its exact neighbours: whatever is as near is one of them, so that it does not matter
        which of several equal vectors is found.
    """

    x: NDArray[np.float32]
    query_rows: IntArray
    least: FloatArray

    def take(self, index: Any) -> Queries:
        """Some of them."""
        return Queries(self.x[index], self.query_rows[index], self.least[index])

    def __add__(self, other: Queries) -> Queries:
        """Both, one after the other."""
        x, query_rows = np.concatenate([self.x, other.x]), np.concatenate([self.query_rows, other.query_rows])
        return Queries(x, query_rows, np.concatenate([self.least, other.least]))

    def recall(self, vectors: Vectors, rows: IntArray) -> float:
        """Mean share of exact neighbours among the first K of `rows`, (m, K + 1) or wider."""
        neighbours = first(rows, self.query_rows)
        unique, at = np.unique(neighbours, return_inverse=True)
        exact = vectors.take(np.maximum(unique, 0))[at.reshape(neighbours.shape)]
        similarity = np.einsum("mcd,md->mc", exact, self.x)
        good = (similarity >= self.least[:, None] - ROUNDING) & (neighbours >= 0)
        return float(good.mean())


ROUNDING = 2e-6
"""By how much two ways to compute the same similarity may differ."""


def first(values: NDArray[Any], query_rows: IntArray, rows: IntArray | None = None) -> NDArray[Any]:
    """The first K of every row, (m, K), without its own, which `rows` (or the values) say."""
    kept = np.argsort((values if rows is None else rows) == query_rows[:, None], axis=1, kind="stable")
    return np.take_along_axis(values, kept[:, : min(K, max(1, values.shape[1] - 1))], axis=1)


def exact_queries(vectors: Vectors, x: NDArray[np.float32], query_rows: IntArray) -> Queries:
    """Queries with their neighbours by going through all vectors once."""
    similarity, rows = vectors.exact(x, min(K + 1, len(vectors)))
    return Queries(x, query_rows, first(similarity, query_rows, rows)[:, -1])


def tune(
    index: Any,
    choice: IndexChoice,
    vectors: Vectors,
    queries: Sequence[Queries],
    recall: float | None,
    latency: float,
) -> dict[str, int]:
    """The search parameters: the least effort that reaches `recall` within `latency` seconds, or the most within it.

    Every kind of `queries` has to reach it. Recall and time grow with the effort, so both are found by halving.
    """
    queries = [kind for kind in queries if len(kind.x)]
    name, ladder = {
        "flat": ("", [0]),
        "hnsw": ("efSearch", _ladder(16, 4_096)),
        "ivf": ("nprobe", _ladder(1, max(1, choice.clusters))),
        "pq": ("nprobe", _ladder(1, max(1, choice.clusters))),
    }[choice.family]
    if not name:
        return {}
    more = {"refine": REFINE} if choice.family == "pq" else {}

    def found(parameters: Mapping[str, int]) -> float:
        return min(kind.recall(vectors, searched(index, vectors, kind.x, K + 1, parameters)[1]) for kind in queries)

    def quick(parameters: Mapping[str, int]) -> bool:
        return seconds(index, vectors, queries[-1].x, parameters) <= latency

    last = len(ladder) - 1
    reach = last if recall is None else _least(last, lambda i: found({name: ladder[i], **more}) >= recall)
    parameters = {name: ladder[reach], **more}
    if not quick(parameters):
        slow = _least(reach, lambda i: not quick({name: ladder[i], **more}))
        parameters[name] = ladder[max(0, slow - 1)]
    if more:
        goal = found(parameters) - 0.005 if recall is None else min(recall, found(parameters) - 0.005)
        factors = [1, 2, 4, 8, REFINE]
        parameters["refine"] = factors[_least(4, lambda i: found({**parameters, "refine": factors[i]}) >= goal)]
    return parameters


def _least(last: int, holds: Callable[[int], bool]) -> int:
    """The least position in [0, last] at which a growing condition holds; `last` if it never does."""
    low, high = 0, last
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _ladder(low: int, high: int) -> list[int]:
    """Whole numbers from `low` to `high`, each about a fifth larger than the last."""
    steps = np.geomspace(low, high, 2 + int(np.log(high / low) / np.log(1.2)))
    return sorted({int(step) for step in np.rint(steps)})


def seconds(index: Any, vectors: Vectors, queries: NDArray[np.float32], parameters: Mapping[str, int]) -> float:
    """Median seconds of a query that comes alone."""
    taken = []
    for query in queries[:33]:
        began = time.perf_counter()
        searched(index, vectors, query[None], K, parameters)
        taken.append(time.perf_counter() - began)
    return float(np.median(taken[1:] or taken))


def reconstruction_error(index: Any, choice: IndexChoice, sample: NDArray[np.float32]) -> float:
    """Mean distance of vectors (m, d) from what the index keeps of them; 0 where it keeps them whole."""
    if choice.family != "pq":
        return 0.0
    kept = index.sa_decode(index.sa_encode(np.ascontiguousarray(sample)))
    return float(np.linalg.norm(kept - sample, axis=1).mean())
