"""A long-tailed test set of a user's own rare concepts, in the manner of Let it Wag!"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.typing import FloatArray, IntArray

PER_CLASS = 450
"""Pictures of a class in Let it Wag!"""

HAMMING = 10
"""Largest difference in bits of a duplicate, as in the paper."""

_SIDE, _LOW = 32, 8


def rare_concepts(
    concepts: Sequence[str], counts: NDArray, k: int | None = None, *, at_least: int = 1, share: float | None = None
) -> list[int]:
    """Which concepts are rarest and still there, from the rarest on: positions in `concepts` (spec step 13).

    Parameters
    ----------
    concepts : sequence of C str
    counts : array (C,)
    k : int, optional
        How many; 290 in the paper. All that qualify if absent.
    at_least : int, >= 0
        Counts below are left out: 1 leaves out concepts that never occur, as in the paper.
    share : float in (0, 1], optional
        Only counts of at most this share of the most frequent concept's.

    Raises
    ------
    ValueError
        If nothing qualifies, or lengths differ.
    """
    counts = np.asarray(counts)
    if not np.isfinite(counts).all():
        raise ValueError("counts must be finite")
    if counts.shape != (len(concepts),):
        raise ValueError(f"counts must be of shape ({len(concepts)},), a number per concept; got {counts.shape}")
    if share is not None and not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1]; got {share}")
    most = np.inf if share is None else share * counts.max(initial=0)
    order = [int(i) for i in np.argsort(counts, kind="stable") if at_least <= counts[i] <= most]
    if not order:
        raise ValueError(f"no concept occurs at least {at_least} times; give more captions or at_least=0")
    return order[:k]


@dataclasses.dataclass(frozen=True, eq=False)
class LongTailSet:
    """A balanced test set, and what became of every candidate.

    Attributes
    ----------
    domain : Domain
        The pictures, in the order of the candidates.
    ids : array of n str
        Of the candidates.
    dropped : array of n str
        Of every candidate why it was dropped, empty if it is in: ``no rare class``, ``outlier``, ``duplicate``,
        ``few`` (its class has too few left), ``surplus``.
    unreadable : int
        Candidates that could not be read, which have no id.
    """

    domain: Domain
    ids: NDArray[Any]
    dropped: NDArray[Any]
    unreadable: int = 0

    @property
    def tally(self) -> Mapping[str, int]:
        """Candidates by what became of them; adds up to their number."""
        names, ns = np.unique(self.dropped, return_counts=True)
        tally = {name or "kept": int(k) for name, k in zip(names.tolist(), ns.tolist())}
        return tally | ({"unreadable": self.unreadable} if self.unreadable else {})


def build_long_tail_set(
    candidates: Domain,
    n_per_class: int = PER_CLASS,
    hash_threshold: int | None = HAMMING,
    *,
    rare: Sequence[str] | None = None,
    own_probability: FloatArray | None = None,
    outlier_below: float = 0.5,
    keep_small: bool = False,
    seed: int = 0,
) -> LongTailSet:
    """Clean candidates, drop near duplicates within each class, and balance classes (spec step 13).

    Parameters
    ----------
    candidates : Domain of kind image with labels
        Pictures that were collected for the classes: newer than the model, by other ways than its corpus.
    n_per_class : int, > 0
        Pictures of each class; a class with more is sampled.
    hash_threshold : int in [0, 64] or None
        Most bits of 64 in which the perceptual hash of a duplicate differs from that of a picture before it;
        None looks for none.
    rare : sequence of str, optional
        Names of the classes that count; all if absent.
    own_probability : array (n,), optional
        What a pretrained classifier says of a picture's own class; pictures below `outlier_below` are outliers.
    keep_small : bool
        Keep classes that have fewer than `n_per_class`, too, which the paper does not.
    seed : int
        Of the samples.

    Raises
    ------
    ValueError
        If there are no labels, a name is no class, shapes differ, or nothing is left.
    """
    if n_per_class < 1 or (hash_threshold is not None and not 0 <= hash_threshold <= 64):
        raise ValueError(
            f"n_per_class must be at least 1 and hash_threshold in [0, 64]; got {n_per_class}, {hash_threshold}"
        )
    if candidates.y is None or candidates.classes is None:
        raise ValueError(f"candidates must have a class each: put the pictures of {candidates.name} in class folders")
    labels, names = np.asarray(candidates.y), candidates.classes.names
    if rare is not None and (unknown := sorted(set(rare) - set(names))):
        raise ValueError(f"rare must name classes of the candidates; {', '.join(unknown[:5])} are none of {len(names)}")
    dropped = np.full(len(candidates), "", dtype="<U13")
    wanted = range(len(names)) if rare is None else [names.index(name) for name in rare]
    dropped[~np.isin(labels, list(wanted))] = "no rare class"
    if own_probability is not None:
        probability = np.asarray(own_probability, dtype=np.float64)
        if not np.isfinite(probability).all():
            raise ValueError("own_probability must be finite; it holds NaN or infinities")
        if probability.shape != labels.shape:
            raise ValueError(f"own_probability must be of shape ({len(labels)},); got {probability.shape}")
        dropped[(dropped == "") & (probability < outlier_below)] = "outlier"
    if hash_threshold is not None:
        remaining = np.flatnonzero(dropped == "")
        hashes = perceptual_hash(candidates.take(remaining)) if len(remaining) else np.zeros(0, np.uint64)
        for label in np.unique(labels[remaining]):
            own_rows = np.flatnonzero(labels[remaining] == label)
            dropped[remaining[own_rows[~distinct(hashes[own_rows], hash_threshold)]]] = "duplicate"
    rng = np.random.default_rng(seed)
    for label in np.unique(labels[dropped == ""]):
        rows = np.flatnonzero((labels == label) & (dropped == ""))
        if len(rows) < n_per_class and not keep_small:
            dropped[rows] = "few"
        elif len(rows) > n_per_class:
            dropped[rng.permutation(rows)[n_per_class:]] = "surplus"
    if not (dropped == "").any():
        raise ValueError(
            f"no class has {n_per_class} pictures left after cleaning: give more candidates, or a smaller "
            "n_per_class (`per_class`)"
        )
    assert candidates.ids is not None
    kept = candidates.take(np.flatnonzero(dropped == ""))
    return LongTailSet(kept, candidates.ids, dropped, len(candidates.skipped))


def distinct(hashes: NDArray[np.uint64], threshold: int) -> NDArray[np.bool_]:
    """Which hashes, from the first on, differ in more than `threshold` bits from all that were kept before, (n,)."""
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8).reshape(len(hashes), 8), axis=1).astype(np.float32)
    signs = 2 * bits - 1
    kept = np.zeros(len(hashes), bool)
    for i in range(len(hashes)):
        near = (64 - signs[:i][kept[:i]] @ signs[i]) / 2
        kept[i] = not (near <= threshold).any()
    return kept


def perceptual_hash(pictures: Domain) -> NDArray[np.uint64]:
    """64-bit perceptual hash of every picture, (n,): which low cosine frequencies are above their median.

    Raises
    ------
    TypeError
        If the domain holds no pictures.
    """
    from PIL import Image
    from scipy.fft import dctn

    if pictures.kind != "image":
        raise TypeError(f"{pictures.name} holds {pictures.kind}, not pictures")
    out = np.empty(len(pictures), dtype=np.uint64)
    for i, sample in enumerate(pictures.x):
        image = Image.fromarray(sample) if isinstance(sample, np.ndarray) else sample
        grey = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), dtype=np.float64)
        low = dctn(grey, norm="ortho")[:_LOW, :_LOW].reshape(-1)
        bits = (low > np.median(low[1:])).astype(np.uint8)
        out[i] = np.packbits(bits).view(">u8")[0]
    return out


def segments(reference: NDArray, long_tailed: NDArray, split: float = 50.0) -> tuple[float, float]:
    """Slopes of long-tailed accuracy over that on a usual test set, below and above `split` (spec step 13).

    Parameters
    ----------
    reference, long_tailed : arrays (n_models,)
        Accuracies in percent.

    Returns
    -------
    Two slopes; NaN where fewer than two models differ. The paper finds 0.60 and 1.58 about 50 % on ImageNet.
    """
    from unseen.methods.curation.concept_frequency.fit import least_squares

    x, y = np.asarray(reference, dtype=np.float64), np.asarray(long_tailed, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"reference and long_tailed must be of one shape (n,); got {x.shape} and {y.shape}")
    sides = [x < split, x >= split]
    low, high = (least_squares(x[side], y[side])[0] if side.sum() > 1 and np.ptp(x[side]) else np.nan for side in sides)
    return float(low), float(high)


def class_sizes(domain: Domain) -> IntArray:
    """Samples of every class, (C,)."""
    assert domain.y is not None
    assert domain.classes is not None
    return np.bincount(domain.y, minlength=len(domain.classes))
