"""Steps A and B of DUQGen: a collection as clusters, and documents drawn from each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.typing import FloatArray, IntArray
from unseen.nn.clustering import kmeans

ELBOWS = (5, 10, 50, 100, 500, 1000, 5000, 10000)
"""Numbers of clusters of which the elbow is one."""
SENSITIVITY = 0.01
"""Of the Kneedle method."""


class Sample(NamedTuple):
    """The documents drawn, a row each, (n,): what `DUQGen.audit_` begins with.

    Attributes
    ----------
    document : places in the collection
    cluster, cluster_size : its cluster, and the documents in it
    share : how many documents are taken from that cluster
    probability : of the document within its cluster, in one draw
    draws : how many of the seeds drew it
    mmr : the score by which the pool of the seeds was pruned
    """

    document: IntArray
    cluster: IntArray
    cluster_size: IntArray
    share: IntArray
    probability: FloatArray
    draws: IntArray
    mmr: FloatArray


# -- A: clusters -------------------------------------------------------------------------------------------


def cluster(z: FloatArray, k: int, seed: int) -> tuple[FloatArray, IntArray]:
    """Step 3: centroids (k, d) of Euclidean k-means, 100 iterations, and the cluster of each document, (n,)."""
    clustering = kmeans(torch.as_tensor(z), k, iterations=100, random_state=seed)
    return clustering.centroids.numpy(), clustering.labels.numpy().astype(np.int64)


def cosine_sse(z: FloatArray, centroids: FloatArray, labels: IntArray) -> float:
    """Step 4: the sum over documents of (1 - cos(document, its centroid))^2."""
    return float(((1 - cosines(z, centroids[labels])) ** 2).sum())


def elbow_clusters(z: FloatArray, most: int, seed: int, candidates: Sequence[int] = ELBOWS) -> int:
    """Step 4: the number of clusters, at most `most`, at the elbow of `cosine_sse`."""
    ks = [k for k in candidates if k <= most] or [most]
    errors = [cosine_sse(z, *cluster(z, k, seed)) for k in ks]
    return ks[kneedle(ks, errors)]


def kneedle(x: Sequence[float], y: Sequence[float], sensitivity: float = SENSITIVITY) -> int:
    """Index of the elbow of a convex, decreasing curve; the middle one where there is none.

    Both axes are brought to [0, 1]; the elbow is the first maximum of the difference between the falling diagonal and
    the curve from which the difference then falls by more than `sensitivity` mean steps of x.

    References
    ----------
    Satopää et al., "Finding a 'Kneedle' in a Haystack", ICDCS Workshops 2011.
    """
    xs, ys = (np.asarray(values, dtype=np.float64) for values in (x, y))
    if len(xs) < 3 or np.ptp(ys) == 0:
        return len(xs) // 2
    xs, ys = ((values - values.min()) / np.ptp(values) for values in (xs, ys))
    difference = (1 - ys) - xs
    fall = sensitivity * np.diff(xs).mean()
    for i in range(1, len(xs) - 1):
        if difference[i - 1] <= difference[i] >= difference[i + 1]:
            later = difference[i + 1 :]
            stop = np.flatnonzero(later > difference[i])
            if (later[: stop[0] if len(stop) else None] < difference[i] - fall).any():
                return i
    return len(xs) // 2


# -- B: documents from every cluster -----------------------------------------------------------------------


def allocate(sizes: IntArray, n: int) -> IntArray:
    """Step 5: how many of `n` documents each cluster gives, (k,): at least one, at most what it holds, n in sum.

    A cluster gives 1 + floor((n - k) size / total); what is left goes one each to the largest clusters. An empty
    cluster gives none. A cluster that holds fewer than its share gives all, and what it lacks goes to the next larger
    ones.

    Raises
    ------
    ValueError
        If there are fewer documents than n, or n is smaller than the number of clusters that hold one.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    held, total = int((sizes > 0).sum()), int(sizes.sum())
    if not held <= n <= total:
        raise ValueError(f"n must be in [{held}, {total}], the clusters and the documents; got {n}")
    order = np.lexsort((np.arange(len(sizes)), sizes))
    order = order[sizes[order] > 0]
    counts = 1 + (n - held) * sizes[order] // total
    rest = n - int(counts.sum())
    if rest:  # none is left where n equals the number of clusters
        counts[-rest:] += 1
    short = 0
    for i, most in enumerate(sizes[order]):  # by ascending size
        counts[i] += short
        short = max(0, int(counts[i] - most))
        counts[i] -= short
    for i in reversed(range(len(counts))):  # what the largest could not take
        room = min(short, int(sizes[order][i] - counts[i]))
        counts[i], short = counts[i] + room, short - room
    shares = np.zeros(len(sizes), dtype=np.int64)
    shares[order] = counts
    return shares


def softmax(cosine: FloatArray, temperature: float) -> FloatArray:
    """Step 6: probabilities of the documents of a cluster, the softmax of their cosines with its centroid over T."""
    scaled = np.asarray(cosine, dtype=np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    return weights / weights.sum()


def prune_by_mmr(z: FloatArray, start: FloatArray, n: int, weight: float) -> tuple[IntArray, FloatArray]:
    """Step 8: the n rows of z with the highest recorded score of maximal marginal relevance, and these scores.

    In turn the row is taken of the largest

        MMR(d) = weight cos(d, start) - (1 - weight) max over taken e of cos(d, e),

    the second term 0 while none is taken. The order of the result is that of the recorded scores, which is the order of
    taking where `weight` is 1.
    """
    near = cosines(z, start[None])
    between = _unit(z) @ _unit(z).T if weight < 1 else np.zeros((len(z), len(z)))
    left, taken = list(range(len(z))), list[int]()
    recorded = np.zeros(len(z))
    while left:
        repeats = between[np.ix_(left, taken)].max(axis=1) if taken else np.zeros(len(left))
        values = weight * near[left] - (1 - weight) * repeats
        best = int(values.argmax())
        recorded[left[best]] = values[best]
        taken.append(left.pop(best))
    order = np.argsort(-recorded, kind="stable")[:n]
    return order, recorded[order]


def sample(
    z: FloatArray,
    centroids: FloatArray,
    labels: IntArray,
    n: int,
    *,
    temperature: float,
    weight: float,
    seeds: int,
    rng: np.random.Generator,
) -> Sample:
    """Steps 5 to 8: n documents, from every cluster its share, drawn by how near they are to its centroid.

    Each of `seeds` draws takes the cluster's share without replacement; the pool of all draws is pruned to that share
    by `prune_by_mmr` around the document that is nearest to the centroid.
    """
    sizes = np.bincount(labels, minlength=len(centroids))
    shares = allocate(sizes, n)
    parts: list[Sample] = []
    for c in np.lexsort((np.arange(len(sizes)), sizes)).tolist():  # by ascending size
        if not shares[c]:
            continue
        members, share = np.flatnonzero(labels == c), int(shares[c])
        p = softmax(cosines(z[members], centroids[c][None]), temperature)
        draws = np.zeros(len(members), dtype=np.int64)
        for _ in range(seeds):
            draws[draw(p, share, rng)] += 1
        pool = np.flatnonzero(draws)
        nearest = ((z[members] - centroids[c]) ** 2).sum(axis=1).argmin()
        kept, scores = prune_by_mmr(z[members[pool]], z[members[nearest]], share, weight)
        rows = pool[kept]
        clusters, size, quotas = (np.full(len(rows), value, dtype=np.int64) for value in (c, sizes[c], share))
        parts.append(Sample(members[rows], clusters, size, quotas, p[rows], draws[rows], scores))
    return Sample(*(np.concatenate(column) for column in zip(*parts)))


def draw(p: FloatArray, n: int, rng: np.random.Generator) -> IntArray:
    """n places without replacement, one after the other by `p` over those that are left (Gumbel's top n)."""
    with np.errstate(divide="ignore"):
        keys = np.log(p) + rng.gumbel(size=len(p))
    return np.argsort(-keys, kind="stable")[:n]


# -- how diverse -------------------------------------------------------------------------------------------


def diversity(z: FloatArray, labels: IntArray, chosen: IntArray) -> dict[str, float]:
    """Of chosen documents: the share of the clusters that they touch, and their mean pairwise cosine."""
    unit, n = _unit(z[chosen]), len(chosen)
    total = float(np.square(unit.sum(axis=0)).sum())
    return {
        "coverage": len(np.unique(labels[chosen])) / len(np.unique(labels)),
        "cosine": (total - n) / (n * (n - 1)) if n > 1 else 1.0,
    }


def type_token_ratio(texts: Sequence[str]) -> float:
    """Distinct words over words, in all texts together."""
    words = [word for text in texts for word in text.lower().split()]
    return len(set(words)) / len(words) if words else 0.0


def cosines(a: FloatArray, b: FloatArray) -> FloatArray:
    """The cosine of each row of a with that of b, (n,); b may be one row for all."""
    return (_unit(a) * _unit(b)).sum(axis=1)


def _unit(z: FloatArray) -> FloatArray:
    z = np.asarray(z, dtype=np.float64)
    return z / np.maximum(np.linalg.norm(z, axis=-1, keepdims=True), 1e-12)


def to_tensor(z: FloatArray) -> Float[Tensor, "n d"]:
    """Vectors in single precision."""
    return torch.as_tensor(np.ascontiguousarray(z, dtype=np.float32))


def by_content(digests: NDArray[Any]) -> IntArray:
    """The order of documents by their content: what is drawn does not depend on how a corpus is sorted."""
    return np.argsort(digests, kind="stable").astype(np.int64)
