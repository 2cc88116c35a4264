"""What a corpus is like: misalignment of captions and pictures, its long tail, and its likeness to another corpus."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from unseen.data.typing import FloatArray
from unseen.methods.curation.concept_frequency.index import ConceptIndex, Match

NEGLIGIBLE = 1e-5
"""Share of the corpus below which a concept's frequency is negligible: one sample in 100,000."""


@dataclasses.dataclass(frozen=True)
class Misalignment:
    """How often caption and picture share no concept.

    Attributes
    ----------
    disjoint : int
        Samples with a concept on both sides and none in common.
    both : int
        Samples with a concept on both sides.
    n : int
        Samples of the corpus, as it was read.
    """

    disjoint: int
    both: int
    n: int

    def degree(self, size: int | None = None) -> float:
        """Share of the corpus that is misaligned, in [0, 1].

        Parameters
        ----------
        size : int, optional
            Nominal size of the corpus; what was read if absent. The paper tells both.
        """
        size = self.n if size is None else size
        if size < self.n:
            raise ValueError(f"the nominal size must be at least the {self.n} samples that were read; got {size}")
        return self.disjoint / size if size else 0.0

    @property
    def degree_of_both(self) -> float:
        """Share of the samples with a concept on both sides, in [0, 1]."""
        return self.disjoint / self.both if self.both else 0.0


def misalignment(
    text: ConceptIndex, image: ConceptIndex, concepts: Iterable[str], match: Match = "words"
) -> Misalignment:
    """Count the samples whose caption and picture both show concepts, but none in common (spec step 11).

    Parameters
    ----------
    text, image : ConceptIndex
        Of the same samples in the same order.
    concepts : iterable of str
        What is looked for on both sides.
    match : {"words", "phrase"}
        How captions hold a concept; see `ConceptIndex.ids`.

    Raises
    ------
    ValueError
        If the indices are not of the same samples.
    """
    if text.n != image.n:
        raise ValueError(f"text and image must index the same samples; got {text.n} and {image.n}")
    both, shared = _sides(text, image, concepts, match)
    return Misalignment(int((both & ~shared).sum()), int(both.sum()), text.n)


def misaligned_samples(
    text: ConceptIndex, image: ConceptIndex, concepts: Iterable[str], match: Match = "words"
) -> NDArray[np.int64]:
    """The samples that `misalignment` counts, rising: to be looked at."""
    both, shared = _sides(text, image, concepts, match)
    return np.flatnonzero(both & ~shared)


def _sides(text: ConceptIndex, image: ConceptIndex, concepts: Iterable[str], match: Match) -> tuple[NDArray, NDArray]:
    """Which samples show a concept on both sides, and which the same one."""
    said, shown, shared = (np.zeros(text.n, bool) for _ in range(3))
    for concept in dict.fromkeys(concepts):
        in_text, in_image = text.ids(concept, match), image.ids(concept)
        said[in_text], shown[in_image] = True, True
        shared[np.intersect1d(in_text, in_image, assume_unique=True)] = True
    return said & shown, shared


@dataclasses.dataclass(frozen=True, eq=False)
class LongTail:
    """How unevenly a corpus holds concepts.

    Attributes
    ----------
    n_concepts, n : int
        Concepts and samples.
    zero : float
        Share of concepts that no sample holds.
    negligible : float
        Share of concepts held by less than `threshold` of the samples.
    threshold : float
    curve : array (n_concepts,)
        Frequencies from the highest on, over the highest.
    head : float
        Share of all hits that the most frequent tenth of concepts has.
    gini : float
        0 if all concepts are alike, near 1 if one has all.
    """

    n_concepts: int
    n: int
    zero: float
    negligible: float
    threshold: float
    curve: FloatArray
    head: float
    gini: float


def long_tail_report(counts: NDArray, n: int, threshold: float = NEGLIGIBLE) -> LongTail:
    """Describe the distribution of concept counts in a corpus of `n` samples (spec step 10).

    Raises
    ------
    ValueError
        If there are no counts, one is negative or above `n`, or `threshold` is not in (0, 1).
    """
    counts = np.asarray(counts, dtype=np.float64)
    if counts.ndim != 1 or not len(counts) or not np.isfinite(counts).all() or counts.min() < 0 or counts.max() > n:
        raise ValueError(f"counts must be a row of numbers from 0 to {n}, the size of the corpus")
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must lie in (0, 1); got {threshold}")
    falling = np.sort(counts)[::-1]
    total, k = float(falling.sum()), len(falling)
    top = falling[: max(round(k / 10), 1)].sum()
    ranks = np.arange(1, k + 1)
    return LongTail(
        n_concepts=k,
        n=n,
        zero=float((counts == 0).mean()),
        negligible=float((counts < threshold * n).mean()),
        threshold=threshold,
        curve=falling / falling[0] if falling[0] else falling,
        head=float(top / total) if total else 0.0,
        gini=float((k + 1 - 2 * (ranks * falling).sum() / total) / k) if total else 0.0,
    )


@dataclasses.dataclass(frozen=True)
class Correlation:
    """How alike two corpora are: Pearson's r of concept counts and of ln(max(count, 1)), Spearman's rho."""

    pearson: float
    log_pearson: float
    spearman: float
    n: int


def corpus_correlation(counts_a: NDArray, counts_b: NDArray) -> Correlation:
    """Correlate the counts of the same concepts in two corpora (spec step 12).

    Raises
    ------
    ValueError
        If the shapes differ, or there are fewer than three concepts.
    """
    from scipy.stats import spearmanr

    from unseen.methods.curation.concept_frequency.fit import checked, log_counts, pearson

    a, b = checked(counts_a, counts_b)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        raise ValueError("counts must differ within each corpus")
    rho = float(spearmanr(a, b).statistic)
    return Correlation(pearson(a, b)[0], pearson(log_counts(a), log_counts(b))[0], rho, len(a))
