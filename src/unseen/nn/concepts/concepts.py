"""What is found once and serves every budget: the filtered, deduplicated samples, their concepts, their complexity."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from unseen.nn.concepts.budgets import (
    Measure,
    automatic_temperature,
    budgets,
    complexity,
    inter_distance,
    intra_distance,
    shares,
)
from unseen.nn.concepts.selection import (
    Pick,
    Rule,
    Selection,
    by_concept,
    check_options,
    random_rule,
    similarity_rule,
    ssp_rule,
    uniform_rule,
)
from unseen.nn.rows import Part, Rows, directed
from unseen.nn.semdedup import Same, semdedup
from unseen.nn.spherical import assign, spherical_kmeans

MEMBER, UNLIKE, DUPLICATE, BLANK = 0, 1, 2, 3
"""What became of a sample before budgets: it stands in a concept, its caption is unlike it, it is a duplicate, or its
embedding has no direction: it is zero, or too long for float32."""
SMALL = 20_000
"""Up to so many rows to learn from, ten restarts by default; above, one."""


@dataclasses.dataclass(frozen=True, eq=False)
class Concepts:
    """The concepts of n samples.

    Attributes
    ----------
    centroids : array (k, d) of float32
        Of unit length.
    labels : array (n,) of int64
        The nearest centroid of every sample, also of those that were filtered; -1 for `BLANK`.
    distances : array (n,) of float32
        1 - cosine to it; NaN for `BLANK`.
    fates : array (n,) of int64
        `MEMBER`, `UNLIKE`, `DUPLICATE` or `BLANK`.
    similarity : array (n,) or None
    """

    centroids: Float[np.ndarray, "k d"]
    labels: Int[np.ndarray, " n"]
    distances: Float[np.ndarray, " n"]
    fates: Int[np.ndarray, " n"]
    similarity: Float[np.ndarray, " n"] | None = None

    @property
    def members(self) -> NDArray[np.intp]:
        """Positions of what can be chosen."""
        return np.flatnonzero(self.fates == MEMBER)

    def select(
        self,
        n: int,
        *,
        rule: Rule = "dbp",
        temperature: float | Literal["auto"] = "auto",
        neighbours: int = 20,
        floor: float = 0.0,
        pick: Pick = "hardest",
        measure: Measure = "both",
        random_state: int = 0,
    ) -> Selection:
        """Choose n samples; nothing is clustered again.

        Parameters
        ----------
        n : int
            At most the number of members.
        rule : {"dbp", "ssp", "random", "uniform", "similarity"}
            Budgets by complexity, or what they are compared with.
        temperature, neighbours, floor, pick, measure
            As in `ConceptPruning`; `floor` is the class balance of ssp, too.
        random_state : int

        Raises
        ------
        ValueError
            If n or an option is out of range, the rule has no use for it, or it is similarity and there is none.
        """
        options = dict(temperature=temperature, neighbours=neighbours, measure=measure, floor=floor, pick=pick)
        check_options(rule, options)
        members, k = self.members, len(self.centroids)
        if not 1 <= n <= len(members):
            gone = len(self.labels) - len(members)
            limits = (
                f"{len(members)}, the samples that are left after the quality filter and deduplication ({gone} are not)"
            )
            raise ValueError(f"n must lie between 1 and {limits}; got {n}")
        labels, distances = self.labels[members], self.distances[members]
        nothing = self.chosen(members[:0], temperature=temperature, neighbours=neighbours, measure=measure)
        sizes, p, plan = nothing.sizes, nothing.probabilities, None
        if rule == "dbp":
            plan = budgets(n, p, sizes, floor)
            kept = by_concept(labels, distances, plan.whole, pick, random_state)
        elif rule == "ssp":
            kept = ssp_rule(n, labels, distances, k, floor, easiest=pick == "easiest")
        elif rule == "uniform":
            p = np.where(sizes > 0, 1.0, 0.0) / max(int((sizes > 0).sum()), 1)
            plan = budgets(n, p, sizes, 0.0)
            kept = uniform_rule(n, labels, distances, k, pick, random_state)
        elif rule == "similarity":
            if self.similarity is None:
                raise ValueError("rule 'similarity' needs the similarity of pictures and captions; there is none")
            kept = similarity_rule(n, checked_similarity(self.similarity, len(self.labels), members))
        else:
            kept = random_rule(n, len(members), random_state)
        whole = np.bincount(labels[kept], minlength=k)
        return dataclasses.replace(nothing, indices=members[kept], budgets=whole, probabilities=p, plan=plan)

    def chosen(
        self,
        indices: Int[np.ndarray, " m"],
        *,
        temperature: float | Literal["auto"] = "auto",
        neighbours: int = 20,
        measure: Measure = "both",
    ) -> Selection:
        """A selection of these samples, however they were chosen, with the complexity of each concept.

        Parameters
        ----------
        indices : int array (m,)
            Positions of members, in any order.
        temperature, neighbours, measure
            As in `ConceptPruning`.

        Raises
        ------
        ValueError
            If one stands twice, or is no member.
        """
        at = np.unique(indices).astype(np.intp)
        if len(at) != len(indices) or (len(at) and (at[0] < 0 or at[-1] >= len(self.fates))):
            raise ValueError(f"indices must be positions of samples, each once; {len(at)} of {len(indices)} are")
        if (self.fates[at] != MEMBER).any():
            raise ValueError(f"indices must name members of concepts; {int((self.fates[at] != MEMBER).sum())} are none")
        members, k = self.members, len(self.centroids)
        labels = self.labels[members]
        intra = intra_distance(labels, self.distances[members], k)
        inter = inter_distance(self.centroids, neighbours)
        c = complexity(intra, inter, measure)
        t = automatic_temperature(c) if temperature == "auto" else float(temperature)
        kept, sizes = np.bincount(self.labels[at], minlength=k), np.bincount(labels, minlength=k)
        return Selection(at, kept, c, intra, inter, shares(c, t), sizes, self.labels, None, t)


def find_concepts(
    x: Rows,
    *,
    similarity: Float[np.ndarray, " n"] | None = None,
    quality: float = 1.0,
    dedup: float | None = None,
    n_clusters: int = 0,
    restarts: int = 0,
    iterations: int = 25,
    train_per_cluster: int = 256,
    random_state: int = 0,
    same: Same | None = None,
) -> Concepts:
    """Steps 1 to 4: quality filter, deduplication, clustering.

    Rows are read in blocks, so that an array mapped from disk never comes into memory as a whole. A row without a
    direction (zeros, or a length that overflows in float32) is set aside first. Samples, and ties, are taken in the
    order of the rows, so that another order may give another clustering.

    Parameters
    ----------
    x : array (n, d)
        One embedding of each sample.
    similarity : array (n,), optional
        Cosine of picture and caption, for the quality filter; only looked at where `quality` is below 1.
    quality : float in (0, 1]
        Share with the largest similarity that stays.
    dedup : float in [0, 2], optional
        Of two samples of a cluster whose cosine is above 1 - dedup, one stays; 0 takes exact copies only; None keeps
        all.
    n_clusters : int, >= 0
        0: `concepts_for`.
    restarts : int, >= 0
        Of k-means; 0: ten where at most 20,000 rows are learnt from, else one.
    iterations, train_per_cluster, random_state
        As in `unseen.nn.spherical.spherical_kmeans`.
    same : callable, optional
        Confirms duplicates, two arrays (m,) of rows of x, as in `unseen.nn.semdedup.semdedup`.

    Raises
    ------
    ValueError
        If an argument is out of range, x holds NaN or infinity or no direction at all, fewer samples are left than
        clusters, or `similarity` is needed and does not fit.
    """
    tests = (
        ("quality", quality, 0 < quality <= 1, "in (0, 1]"),
        ("dedup", dedup, dedup is None or 0 <= dedup <= 2, "None or in [0, 2]"),
        ("n_clusters", n_clusters, n_clusters >= 0, "at least 0"),
        ("restarts", restarts, restarts >= 0, "at least 0"),
    )
    for name, value, good, expected in tests:
        if not good:
            raise ValueError(f"{name} must be {expected}; got {value!r}")
    fates = np.full(len(x), MEMBER, dtype=np.int64)
    fates[~directed(x)] = BLANK
    left = np.flatnonzero(fates == MEMBER)
    if not len(left):
        raise ValueError(f"none of the {len(x)} embeddings has a direction: they are zero, or too long for float32")
    if similarity is not None:
        similarity = np.asarray(similarity, dtype=np.float64)
    if similarity is not None and quality < 1:
        fates[left[~good_quality(checked_similarity(similarity, len(x), left), quality)]] = UNLIKE
    if dedup is not None:
        left = np.flatnonzero(fates == MEMBER)
        confirm = None if same is None else lambda i, j: same(left[i], left[j])
        fates[left[~semdedup(_rows(x, left), dedup, random_state=random_state, same=confirm)]] = DUPLICATE
    left = np.flatnonzero(fates == MEMBER)
    k = n_clusters or concepts_for(len(left))
    if k > len(left):
        raise ValueError(f"n_clusters must be at most {len(left)}, the number of samples that are left; got {k}")
    many = restarts or (10 if min(len(left), train_per_cluster * k) <= SMALL else 1)
    clustering = spherical_kmeans(
        _rows(x, left),
        k,
        iterations=iterations,
        restarts=many,
        train_per_cluster=train_per_cluster,
        random_state=random_state,
    )
    labels, distances = np.full(len(x), -1, dtype=np.int64), np.full(len(x), np.nan, dtype=np.float32)
    labels[left], distances[left] = clustering.labels, clustering.distances
    gone = np.flatnonzero((fates == UNLIKE) | (fates == DUPLICATE))
    if len(gone):
        labels[gone], distances[gone] = assign(Part(x, gone), clustering.centroids)
    return Concepts(clustering.centroids, labels, distances, fates, similarity)


def checked_similarity(similarity: Float[np.ndarray, " m"], n: int, rows: NDArray[np.intp]) -> Float[np.ndarray, " r"]:
    """That of some of n rows, (r,); `ValueError` if it has another length, or is missing for one of them."""
    if similarity.shape != (n,):
        raise ValueError(f"similarity must be one number for each of the {n} samples; got shape {similarity.shape}")
    chosen = similarity[rows]
    missing = ~np.isfinite(chosen)
    if missing.any():
        first = int(rows[int(missing.argmax())])
        raise ValueError(f"similarity is missing for {int(missing.sum())} of {n} samples, first for row {first}")
    return chosen


def concepts_for(n: int) -> int:
    """How many concepts n samples are clustered into where nobody says: the square root of n / 2, 500 at most."""
    return int(min(max(1, round((n / 2) ** 0.5)), 500))


def good_quality(similarity: Float[np.ndarray, " n"], share: float) -> Bool[np.ndarray, " n"]:
    """Step 1: which samples belong to the share with the largest similarity, (n,); at least one does."""
    keep = np.zeros(len(similarity), dtype=bool)
    keep[similarity_rule(max(1, round(share * len(similarity))), similarity)] = True
    return keep


def _rows(x: Rows, left: NDArray[np.intp]) -> Rows:
    return x if len(left) == len(x) else Part(x, left)
