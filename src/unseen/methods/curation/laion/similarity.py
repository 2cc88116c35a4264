"""Step 9 of LAION-5B: keep the pairs whose picture and caption are near each other; and each picture once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen.data.typing import FloatArray
from unseen.methods.curation.laion.language import STREAMS

if TYPE_CHECKING:
    from PIL.Image import Image

THRESHOLDS: Mapping[str, Mapping[str, float]] = {
    "laion-5b": {"en": 0.28, "multi": 0.26, "nolang": 0.26},
    "laion-400m": {"en": 0.30, "multi": 0.30, "nolang": 0.30},
}
"""Least cosine of each stream, for CLIP ViT-B/32; cosines of another encoder lie on another scale."""


def cosine(a: FloatArray, b: FloatArray) -> NDArray[np.float32]:
    """Cosine of every two rows, (n,); of a row of zeros it is 0.

    Parameters
    ----------
    a, b : array (n, d)
        They need not be of unit length.
    """
    a, b = np.asarray(a, dtype=np.float32), np.asarray(b, dtype=np.float32)
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"a and b must have one shape (n, d); got {a.shape} and {b.shape}")
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.einsum("nd,nd->n", a, b) / np.maximum(norms, np.finfo(np.float32).tiny)


def thresholds(
    threshold: str | float | Mapping[str, float] | None,
    target_keep: float | Mapping[str, float] | None,
    similarity: NDArray[np.float32],
    streams: Sequence[str],
) -> dict[str, float]:
    """The least cosine of each stream.

    Parameters
    ----------
    threshold : str, float, mapping of stream to float, or None
        A name in `THRESHOLDS`, one number for all streams, or one for each.
    target_keep : float in (0, 1] or mapping of stream to float, optional
        In place of `threshold`: the share of a stream's candidates to keep, for encoders of which no threshold is
        known.
    similarity : array (n,)
    streams : sequence of n strings

    Raises
    ------
    ValueError
        If both or neither are given, or a name or a number is not among those that are.
    """
    if (threshold is None) == (target_keep is None):
        raise ValueError("name either a threshold or a share to keep (threshold, target_keep), and not both")
    if target_keep is None:
        if isinstance(threshold, str):
            if threshold not in THRESHOLDS:
                raise ValueError(f"threshold must be a number or one of {', '.join(THRESHOLDS)}; got {threshold!r}")
            threshold = THRESHOLDS[threshold]
        least = _by_stream("threshold", threshold)
        if wrong := [value for value in least.values() if not math.isfinite(value)]:
            raise ValueError(f"threshold must be a finite number; got {wrong[0]}")
        return least
    shares = _by_stream("target_keep", target_keep)
    if wrong := [share for share in shares.values() if not 0 < share <= 1]:
        raise ValueError(f"target_keep must lie in (0, 1]; got {wrong[0]}")
    names = np.asarray(streams)
    parts = {stream: similarity[names == stream] for stream in STREAMS}
    counts = _counts(parts, shares)
    return {stream: _least(part, counts[stream]) for stream, part in parts.items()}


def keeps(
    threshold: str | float | Mapping[str, float] | None,
    target_keep: float | Mapping[str, float] | None,
    similarity: NDArray[np.float32],
    streams: Sequence[str],
) -> tuple[NDArray[np.bool_], dict[str, float]]:
    """Which pairs are kept, (n,), and the `thresholds`: of a share exactly as many as it says, the first of equals."""
    least = thresholds(threshold, target_keep, similarity, streams)
    if target_keep is None:
        return passes(similarity, streams, least), least
    names, mask = np.asarray(streams), np.zeros(len(similarity), dtype=bool)
    rows = {stream: np.flatnonzero(names == stream) for stream in STREAMS}
    counts = _counts(rows, _by_stream("target_keep", target_keep))
    for stream, places in rows.items():
        mask[places[np.argsort(-similarity[places], kind="stable")[: counts[stream]]]] = True
    return mask, least


def _counts(parts: Mapping[Any, Sized], shares: Mapping[str, float]) -> dict[str, int]:
    """How many of each stream are kept: as many in all as the shares say, the rest of rounding to the largest parts."""
    sizes = {stream: len(part) for stream, part in parts.items()}
    exact = {stream: sizes[stream] * shares[stream] for stream in sizes}
    counts = {stream: math.floor(value + 1e-9) for stream, value in exact.items()}
    total = max(1, math.floor(sum(exact.values()) + 0.5)) if any(sizes.values()) else 0
    by_rest = sorted(sizes, key=lambda stream: counts[stream] - exact[stream])
    for stream in by_rest[: total - sum(counts.values())]:
        counts[stream] += 1
    return counts


def _by_stream(name: str, numbers: Any) -> dict[str, float]:
    """One number for every stream, or those of a mapping that has all of them."""
    if not isinstance(numbers, Mapping):
        return dict.fromkeys(STREAMS, float(numbers))
    if set(numbers) != set(STREAMS):
        raise ValueError(
            f"{name} must have a number for each of the streams {', '.join(STREAMS)}; it has "
            f"{', '.join(sorted(numbers))}"
        )
    return {stream: float(numbers[stream]) for stream in STREAMS}


def _least(similarity: NDArray[np.float32], count: int) -> float:
    """The cosine that the best `count` pairs reach; the scale's ends where that is none, or there are none."""
    if not len(similarity):
        return -1.0
    return float(np.sort(similarity)[::-1][count - 1]) if count else 2.0


def passes(similarity: NDArray[np.float32], streams: Sequence[str], least: Mapping[str, float]) -> NDArray[np.bool_]:
    """Which pairs reach the threshold of their stream, (n,)."""
    return similarity >= np.array([least[stream] for stream in streams], dtype=np.float32)


BLOCK = 2048
CELLS_FROM = 60_000
"""Rows above which only rows of one cell of a k-means clustering are compared."""

Alike = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]
"""From positions i and j, (m,) each, to whether rows i and j show the same, (m,)."""


def one_of_each(
    vectors: FloatArray, score: NDArray[np.float32], threshold: float, alike: Alike | None = None, *, seed: int = 0
) -> NDArray[np.int64]:
    """For every row the row that stands for it, (n,): itself, or a better one that it is directly alike.

    Rows are taken from the best score down, the first of equals first; each that no row before it stands for stays,
    and stands for all after it that are alike. Likeness is not passed on: of a chain a-b-c whose ends are not alike,
    a stands for b, and c stays. All rows are compared up to `CELLS_FROM`; of more, those within the cells of a
    spherical k-means clustering of about 8,000 rows each, as SemDeDup does: pairs that a border parts are missed.

    Parameters
    ----------
    vectors : array (n, d)
        Unit rows.
    score : array (n,)
        Larger is better, such as the similarity of picture and caption.
    threshold : float, in (0, 1]
        Cosine from which `alike` is asked.
    alike : callable, optional
        Confirms pairs; without it the cosine decides.
    seed : int
        Of the clustering.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie in (0, 1]; got {threshold}")
    rows = np.asarray(vectors)
    stands = np.arange(len(rows), dtype=np.int64)
    order = np.lexsort((stands, -np.asarray(score)))
    if len(rows) <= CELLS_FROM:
        _lead(rows, order, threshold, alike, stands)
        return stands
    labels = _cells(rows, -(-len(rows) // 8000), seed)[order]
    for cell in np.unique(labels):
        _lead(rows, order[labels == cell], threshold, alike, stands)
    return stands


def _lead(
    rows: FloatArray, order: NDArray[np.int64], threshold: float, alike: Alike | None, stands: NDArray[np.int64]
) -> None:
    """Write into `stands` which of the rows `order`, best first, stands for which."""
    leaders = np.zeros(0, dtype=np.int64)
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        vectors = rows[block].astype(np.float32)
        free = np.ones(len(block), dtype=bool)
        for other in range(0, len(leaders), BLOCK):
            them = leaders[other : other + BLOCK]
            left = np.flatnonzero(free)
            i, j = np.nonzero(vectors[left] @ rows[them].astype(np.float32).T >= threshold - 1e-6)
            _take(block[left[i]], them[j], left[i], alike, free, stands)
        near = vectors @ vectors.T >= threshold - 1e-6
        for k in np.flatnonzero(np.triu(near, 1).any(axis=1) & free).tolist():
            if free[k]:
                after = k + 1 + np.flatnonzero(near[k, k + 1 :] & free[k + 1 :])
                _take(block[after], np.full(len(after), block[k]), after, alike, free, stands)
        leaders = np.concatenate([leaders, block[free]])


def _take(
    mine: NDArray[np.int64],
    theirs: NDArray[np.int64],
    at: NDArray[np.int64],
    alike: Alike | None,
    free: NDArray[np.bool_],
    stands: NDArray[np.int64],
) -> None:
    """Let the first of `theirs` that is alike stand for each of `mine`, which are at `at` of their block."""
    if not len(mine):
        return
    same = np.ones(len(mine), dtype=bool) if alike is None else alike(mine, theirs)
    for k in np.flatnonzero(same).tolist():
        if free[at[k]]:
            free[at[k]], stands[mine[k]] = False, theirs[k]


def _cells(rows: FloatArray, k: int, seed: int) -> NDArray[np.int64]:
    import torch

    from unseen.nn.clustering import kmeans

    some = np.sort(np.random.default_rng(seed).choice(len(rows), min(len(rows), 64 * k), replace=False))
    centres = kmeans(torch.from_numpy(rows[some].astype(np.float32)), k, iterations=10, random_state=seed).centroids
    table = (centres / centres.norm(dim=1, keepdim=True).clamp_min(1e-12)).numpy().T
    parts = [np.argmax(rows[i : i + BLOCK].astype(np.float32) @ table, axis=1) for i in range(0, len(rows), BLOCK)]
    return np.concatenate(parts)


COLOURS, FINE = 16, 96
_GREYS = 3 * COLOURS**2
LOOK = _GREYS + FINE**2 + 1
"""Bytes by which near duplicates are confirmed: a picture of 16 x 16 colours, one of 96 x 96 greys, and the shorter
side in pixels, 255 of a longer one."""
_BELOW = {72: 140, 48: 90, 24: 48}
"""Greys a side that are compared, by the shorter side below which: of small pictures, what resizing and JPEG leave."""
_TOGETHER = 256
_PATCHES = 4
DIFFERENCE = 0.03
HUE, HUE_BLUR, HUE_MEAN = 0.03, 0.35, 0.015
"""How far hues may differ at a pixel: so much, and that part of their range around it, which JPEG blurs; the mean."""


def look_of(image: Image) -> bytes:
    """A picture brought to 16 x 16 pixels in colour and 96 x 96 in grey, with its shorter side: `LOOK` bytes."""
    from PIL import Image as Pillow

    small = image.resize((COLOURS, COLOURS), Pillow.Resampling.BILINEAR).convert("RGB")
    fine = image.resize((FINE, FINE), Pillow.Resampling.BILINEAR).convert("L")
    return small.tobytes() + fine.tobytes() + bytes([min(255, *image.size)])


def outlines(looks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean colours of 4 x 4 patches around the mean colour, for pictures (n, LOOK): (n, 48).

    Of two pictures that `look_alike`, no two outlines differ by more than `DIFFERENCE` in the mean: a mean over a
    patch differs by no more than its pixels do. So most pairs need no closer look.
    """
    side = COLOURS // _PATCHES
    small = looks[:, :_GREYS].reshape(len(looks), _PATCHES, side, _PATCHES, side, 3)
    means = small.mean(axis=(2, 4), dtype=np.float32) / np.float32(255)
    return (means - means.mean(axis=(1, 2), keepdims=True)).reshape(len(looks), 3 * _PATCHES**2)


def outlines_alike(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows of `outlines` can be of pictures that look alike, (m,)."""
    return np.abs(left - right).mean(axis=1) <= DIFFERENCE + 1e-6


def look_alike(
    left: NDArray[np.uint8],
    right: NDArray[np.uint8],
    *,
    difference: float = DIFFERENCE,
    share: float = 0.25,
    shade: float = 0.06,
    spot: float = 2.0,
) -> NDArray[np.bool_]:
    """Which rows show the same picture after resizing, recompression or a change of shade, (m,).

    Embeddings say that two pictures mean the same; this says that they are the same, everywhere. Around their mean
    colours, the 16 x 16 pixels differ by at most `difference` of the full range in the mean, by at most `share` of the
    pictures' own mean deviation, and nowhere by more than 0.12; the mean colours differ by at most `shade`. Their hues,
    which are colours less their brightness, differ nowhere by more than 0.03 and 0.35 of the range of the nine pixels
    around, and by at most 0.015 in the mean: a shade is one of brightness, and a red disc is not a purple one. Around
    their means, no pixel of the 96 x 96 greys differs by more than `spot` times what resizing and recompression do:
    0.02, three times the mean difference, and 0.07 of the range of the nine pixels around it. So two pages of other
    words, or two cards on which another number stands, are two pictures. Where a picture has less than 140 pixels a
    side, 72 x 72 greys are compared, 48 x 48 below 90, and 24 x 24 below 48: a smaller copy holds no more.

    Parameters
    ----------
    left, right : array (m, LOOK)
        What `look_of` gives.
    """
    alike = np.empty(len(left), dtype=bool)
    for start in range(0, len(left), _TOGETHER):
        a, b = left[start : start + _TOGETHER], right[start : start + _TOGETHER]
        same = _same_colours(a[:, :_GREYS], b[:, :_GREYS], difference, share, shade)
        sides = _common_sides(a[:, -1], b[:, -1])
        for side in np.unique(sides[same]).tolist():
            close = np.flatnonzero(same & (sides == side))
            same[close] = _same_greys(_greys(a[close, _GREYS:-1], side), _greys(b[close, _GREYS:-1], side), spot)
        alike[start : start + _TOGETHER] = same
    return alike


def _same_colours(
    a: NDArray[np.uint8], b: NDArray[np.uint8], difference: float, share: float, shade: float
) -> NDArray[np.bool_]:
    left, right = _centred(a), _centred(b)
    gap = np.abs(left.pixels - right.pixels)
    bound = np.minimum(difference, share * np.minimum(left.deviation, right.deviation))
    near = np.abs(left.mean - right.mean).mean(axis=(1, 2)) <= shade
    same = (gap.mean(axis=(1, 2)) <= bound) & (gap.max(axis=(1, 2), initial=0) <= 0.12) & near
    close = np.flatnonzero(same)
    same[close] = _same_hues(a[close], b[close])
    return same


def _same_hues(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether colours less their brightness are the same everywhere, but for what recompression blurs, (m,)."""
    left, right = (_hues(x) for x in (a, b))
    gap = np.abs(left - right)
    around = np.maximum(*(_range(x.reshape(-1, COLOURS, COLOURS)).reshape(x.shape) for x in (left, right)))
    near = (gap <= HUE + HUE_BLUR * around).all(axis=(1, 2, 3))
    return near & (gap.mean(axis=(1, 2, 3)) <= HUE_MEAN)


def _hues(colours: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Each channel less the mean of the three, (m, 3, 16, 16)."""
    planes = colours.reshape(-1, COLOURS, COLOURS, 3).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    return planes - planes.mean(axis=1, keepdims=True)


def _common_sides(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int64]:
    """At how many pixels a side pictures of these shorter sides are compared: no more than the smaller of two has."""
    least, sides = np.minimum(a, b), np.full(len(a), FINE)
    for side, below in _BELOW.items():
        sides[least < below] = side
    return sides


def _greys(looks: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Greys in [0, 1] brought to `side` pixels a side, (m, side, side)."""
    greys = looks.reshape(-1, FINE, FINE).astype(np.float32) / np.float32(255)
    return greys if side == FINE else _shrinking(side) @ greys @ _shrinking(side).T


@functools.cache
def _shrinking(side: int) -> NDArray[np.float32]:
    """The matrix (side, 96) of the bilinear reduction, whose tent is as wide as a pixel of the result on each side."""
    step = FINE / side
    centres = (np.arange(side)[:, None] + 0.5) * step - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(FINE) - centres) / step)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _same_greys(left: NDArray[np.float32], right: NDArray[np.float32], spot: float) -> NDArray[np.bool_]:
    gap = left - right
    gap -= gap.mean(axis=(1, 2), keepdims=True)
    gap = np.abs(gap)
    usual = 0.02 + 3 * gap.mean(axis=(1, 2), keepdims=True) + 0.07 * np.maximum(_range(left), _range(right))
    return (gap <= spot * usual).all(axis=(1, 2))


def _range(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest less smallest of the nine pixels around each, (m, side, side)."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge")
    high = np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    low = np.minimum(np.minimum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    most = np.maximum(np.maximum(high[:, :, :-2], high[:, :, 1:-1]), high[:, :, 2:])
    return most - np.minimum(np.minimum(low[:, :, :-2], low[:, :, 1:-1]), low[:, :, 2:])


class _Centred(NamedTuple):
    pixels: NDArray[np.float32]
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]


def _centred(looks: NDArray[np.uint8]) -> _Centred:
    rows = looks.reshape(-1, COLOURS * COLOURS, 3).astype(np.float32) / 255
    mean = rows.mean(axis=1, keepdims=True)
    return _Centred(rows - mean, mean, np.abs(rows - mean).mean(axis=(1, 2)))
