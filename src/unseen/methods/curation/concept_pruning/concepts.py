"""What is found once and serves every budget: the filtered, deduplicated samples, their concepts, their complexity."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from unseen.methods.curation.concept_pruning.budgets import (
    Measure,
    automatic_temperature,
    budgets,
    complexity,
    inter_distance,
    intra_distance,
    shares,
)
from unseen.methods.curation.concept_pruning.selection import (
    Pick,
    Rule,
    Selection,
    by_concept,
    random_rule,
    similarity_rule,
    ssp_rule,
    uniform_rule,
)
from unseen.nn.semdedup import duplicate_scores, rough_clusters, unique
from unseen.nn.spherical import Part, assign, spherical_kmeans

MEMBER, UNLIKE, DUPLICATE = 0, 1, 2
"""What became of a sample before budgets: it stands in a concept, its caption is unlike it, or it is a duplicate."""
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
        The nearest centroid of every sample, also of those that were filtered.
    distances : array (n,) of float32
        1 - cosine to it.
    fates : array (n,) of int64
        `MEMBER`, `UNLIKE` or `DUPLICATE`.
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
            If n is out of range, or the rule is similarity and there is none.
        """
        members, k = self.members, len(self.centroids)
        if not 1 <= n <= len(members):
            gone = len(self.labels) - len(members)
            told = (
                f"{len(members)}, the samples that are left after the quality filter and deduplication ({gone} are not)"
            )
            raise ValueError(f"n must lie between 1 and {told}; got {n}")
        labels, distances = self.labels[members], self.distances[members]
        sizes = np.bincount(labels, minlength=k)
        intra, inter = intra_distance(labels, distances, k), inter_distance(self.centroids, neighbours)
        c = complexity(intra, inter, measure)
        t = automatic_temperature(c) if temperature == "auto" else float(temperature)
        p = shares(c, t)
        plan = None
        if rule == "dbp":
            plan = budgets(n, p, sizes, floor)
            chosen = by_concept(labels, distances, plan.whole, pick, random_state)
        elif rule == "ssp":
            chosen = ssp_rule(n, labels, distances, k, floor, easiest=pick == "easiest")
        elif rule == "uniform":
            p = np.where(sizes > 0, 1.0, 0.0) / max(int((sizes > 0).sum()), 1)
            plan = budgets(n, p, sizes, 0.0)
            chosen = uniform_rule(n, labels, distances, k, pick, random_state)
        elif rule == "similarity":
            if self.similarity is None:
                raise ValueError("rule 'similarity' needs the similarity of pictures and captions; there is none")
            chosen = similarity_rule(n, self.similarity[members])
        else:
            chosen = random_rule(n, len(members), random_state)
        kept = np.bincount(labels[chosen], minlength=k)
        return Selection(members[chosen], kept, c, intra, inter, p, sizes, self.labels, plan, t)


def find_concepts(
    x: NDArray[np.floating],
    *,
    similarity: Float[np.ndarray, " n"] | None = None,
    quality: float = 1.0,
    dedup: float | None = None,
    n_clusters: int = 0,
    restarts: int = 0,
    iterations: int = 25,
    train_per_cluster: int = 256,
    random_state: int = 0,
) -> Concepts:
    """Steps 1 to 4: quality filter, deduplication, clustering.

    Rows are read in blocks, so that an array mapped from disk never comes into memory as a whole.

    Parameters
    ----------
    x : array (n, d)
        One embedding of each sample.
    similarity : array (n,), optional
        Cosine of picture and caption, for the quality filter.
    quality : float in (0, 1]
        Share with the largest similarity that stays.
    dedup : float, optional
        Of two samples of a cluster whose cosine is above 1 - dedup, one stays; None keeps all.
    n_clusters : int, >= 0
        0: `concepts_for`.
    restarts : int, >= 0
        Of k-means; 0: ten where at most 20,000 rows are learnt from, else one.
    iterations, train_per_cluster, random_state
        As in `unseen.nn.spherical.spherical_kmeans`.

    Raises
    ------
    ValueError
        If x is no table, there are fewer samples left than clusters, or `similarity` does not fit.
    """
    fates = np.full(len(x), MEMBER, dtype=np.int64)
    if similarity is not None:
        similarity = np.asarray(similarity, dtype=np.float64)
        if similarity.shape != (len(x),) or not np.isfinite(similarity).all():
            raise ValueError(f"similarity must be one finite number for each of the {len(x)} samples")
        fates[~good_quality(similarity, quality)] = UNLIKE
    if dedup is not None:
        left = np.flatnonzero(fates == MEMBER)
        rows = _rows(x, left)
        found = rough_clusters(rows, random_state=random_state)
        fates[left[~unique(duplicate_scores(rows, found.labels, found.distances), dedup)]] = DUPLICATE
    left = np.flatnonzero(fates == MEMBER)
    k = n_clusters or concepts_for(len(left))
    if k > len(left):
        raise ValueError(f"n_clusters must be at most {len(left)}, the number of samples that are left; got {k}")
    many = restarts or (10 if min(len(left), train_per_cluster * k) <= SMALL else 1)
    found = spherical_kmeans(
        _rows(x, left),
        k,
        iterations=iterations,
        restarts=many,
        train_per_cluster=train_per_cluster,
        random_state=random_state,
    )
    labels, distances = np.empty(len(x), dtype=np.int64), np.empty(len(x), dtype=np.float32)
    labels[left], distances[left] = found.labels, found.distances
    gone = np.flatnonzero(fates != MEMBER)
    if len(gone):
        labels[gone], distances[gone] = assign(Part(x, gone), found.centroids)
    return Concepts(found.centroids, labels, distances, fates, similarity)


def concepts_for(n: int) -> int:
    """How many concepts n samples are clustered into where nobody says: the square root of n / 2, 500 at most."""
    return int(min(max(1, round((n / 2) ** 0.5)), 500))


def good_quality(similarity: Float[np.ndarray, " n"], share: float) -> Bool[np.ndarray, " n"]:
    """Step 1: which samples belong to the share with the largest similarity, (n,); at least one does."""
    keep = np.zeros(len(similarity), dtype=bool)
    keep[similarity_rule(max(1, round(share * len(similarity))), similarity)] = True
    return keep


def _rows(x: NDArray[np.floating], left: NDArray[np.intp]) -> NDArray[np.floating] | Part:
    return x if len(left) == len(x) else Part(x, left)
