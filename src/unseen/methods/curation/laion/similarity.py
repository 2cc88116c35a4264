"""Step 9 of LAION-5B: keep the pairs whose picture and caption are near each other; and each picture once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

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
    told: str | float | Mapping[str, float] | None,
    target_keep: float | Mapping[str, float] | None,
    similarity: NDArray[np.float32],
    streams: Sequence[str],
) -> dict[str, float]:
    """The least cosine of each stream.

    Parameters
    ----------
    told : str, float, mapping of stream to float, or None
        A name in `THRESHOLDS`, one number for all streams, or one for each.
    target_keep : float in (0, 1] or mapping of stream to float, optional
        In place of `told`: the share of a stream's candidates to keep, for encoders of which no threshold is known.
    similarity : array (n,)
    streams : sequence of n strings

    Raises
    ------
    ValueError
        If both or neither are given, or a name or a number is not among those that are.
    """
    if (told is None) == (target_keep is None):
        raise ValueError("name either a threshold or a share to keep (threshold, target_keep), and not both")
    if target_keep is None:
        if isinstance(told, str):
            if told not in THRESHOLDS:
                raise ValueError(f"threshold must be a number or one of {', '.join(THRESHOLDS)}; got {told!r}")
            told = THRESHOLDS[told]
        own = told if isinstance(told, Mapping) else dict.fromkeys(STREAMS, float(told))  # type: ignore[arg-type]
        return {stream: float(own[stream]) for stream in STREAMS}
    shares = target_keep if isinstance(target_keep, Mapping) else dict.fromkeys(STREAMS, target_keep)
    if wrong := [share for share in shares.values() if not 0 < share <= 1]:
        raise ValueError(f"target_keep must lie in (0, 1]; got {wrong[0]}")
    names = np.asarray(streams)
    return {stream: _least(similarity[names == stream], shares[stream]) for stream in STREAMS}


def _least(similarity: NDArray[np.float32], share: float) -> float:
    """The cosine that the best `share` of the pairs reach; the scale's bottom if there is none."""
    if not len(similarity):
        return -1.0
    count = max(1, round(share * len(similarity)))
    return float(np.sort(similarity)[::-1][count - 1])


def passes(similarity: NDArray[np.float32], streams: Sequence[str], least: Mapping[str, float]) -> NDArray[np.bool_]:
    """Which pairs reach the threshold of their stream, (n,)."""
    return similarity >= np.array([least[stream] for stream in streams], dtype=np.float32)


BLOCK = 4096
CELLS_FROM = 60_000
"""Rows above which only rows of one cell of a k-means clustering are compared."""


def near_pairs(vectors: FloatArray, threshold: float, *, seed: int = 0) -> NDArray[np.int64]:
    """Positions (i, j), i < j, of unit rows whose cosine is at least `threshold`, (m, 2).

    All pairs up to `CELLS_FROM` rows. Of more, pairs within the cells of a spherical k-means clustering of about
    8,000 rows each, as SemDeDup does: pairs that a border parts are missed.

    Parameters
    ----------
    vectors : array (n, d)
    threshold : float, in (0, 1]
    seed : int
        Of the clustering.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie in (0, 1]; got {threshold}")
    rows = np.asarray(vectors)
    if len(rows) <= CELLS_FROM:
        return _near(rows, np.arange(len(rows)), threshold)
    labels = _cells(rows, -(-len(rows) // 8000), seed)
    parts = [_near(rows, np.flatnonzero(labels == cell), threshold) for cell in np.unique(labels)]
    found = np.concatenate(parts)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def _near(rows: FloatArray, index: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    found = [np.zeros((0, 2), dtype=np.int64)]
    for start in range(0, len(index), BLOCK):
        left = rows[index[start : start + BLOCK]].astype(np.float32)
        for other in range(start, len(index), BLOCK):
            right = left if other == start else rows[index[other : other + BLOCK]].astype(np.float32)
            i, j = np.nonzero(left @ right.T >= threshold - 1e-6)
            upper = (other > start) | (i < j)
            found.append(np.stack([index[start + i[upper]], index[other + j[upper]]], axis=1))
    return np.concatenate(found)


def _cells(rows: FloatArray, k: int, seed: int) -> NDArray[np.int64]:
    import torch

    from unseen.nn.clustering import kmeans

    some = np.sort(np.random.default_rng(seed).choice(len(rows), min(len(rows), 64 * k), replace=False))
    centres = kmeans(torch.from_numpy(rows[some].astype(np.float32)), k, iterations=10, random_state=seed).centroids
    table = (centres / centres.norm(dim=1, keepdim=True).clamp_min(1e-12)).numpy().T
    parts = [np.argmax(rows[i : i + BLOCK].astype(np.float32) @ table, axis=1) for i in range(0, len(rows), BLOCK)]
    return np.concatenate(parts)


def one_of_each(pairs: NDArray[np.int64], score: NDArray[np.float32]) -> NDArray[np.int64]:
    """For every row the row that stands for it, (n,): the best of its connected component, the first of equals.

    Likeness is transitive here: a chain of near duplicates is one component.

    Parameters
    ----------
    pairs : array (m, 2)
        Rows that show the same.
    score : array (n,)
        Larger is better, such as the similarity of picture and caption.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(score)
    graph = coo_matrix((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    order = np.lexsort((np.arange(n), -score))
    best = np.full(labels.max(initial=-1) + 1, -1, dtype=np.int64)
    best[labels[order[::-1]]] = order[::-1]  # the last assignment stays: the best
    return best[labels]


LOOK = 16
"""Side of the shrunken picture by which near duplicates are confirmed."""


def look_of(image: Image) -> bytes:
    """A picture shrunk to 16 x 16 pixels, 768 bytes."""
    from PIL import Image as Pillow

    small = image.resize((LOOK, LOOK), Pillow.Resampling.BOX)
    return np.asarray(small.convert("RGB"), dtype=np.uint8).tobytes()


def look_alike(
    pairs: NDArray[np.int64],
    looks: NDArray[np.uint8],
    *,
    difference: float = 0.03,
    share: float = 0.25,
    shade: float = 0.06,
) -> NDArray[np.bool_]:
    """Which pairs of rows show the same picture after resizing, recompression or a change of shade, (m,).

    Embeddings say that two pictures mean the same; this says that they are the same. Around their mean colours, pixels
    differ by at most `difference` of the full range in the mean, and by at most `share` of the pictures' own mean
    deviation; the mean colours differ by at most `shade`.

    Parameters
    ----------
    pairs : array (m, 2)
    looks : array (n, 768)
        What `look_of` gives.
    """
    found = np.empty(len(pairs), dtype=bool)
    for start in range(0, len(pairs), BLOCK):
        left, right = (_centred(looks[side]) for side in pairs[start : start + BLOCK].T)
        gap = np.abs(left.pixels - right.pixels).mean(axis=(1, 2))
        bound = np.minimum(difference, share * np.minimum(left.deviation, right.deviation))
        near = np.abs(left.mean - right.mean).mean(axis=(1, 2)) <= shade
        found[start : start + BLOCK] = (gap <= bound) & near
    return found


class _Centred(NamedTuple):
    pixels: NDArray[np.float32]
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]


def _centred(looks: NDArray[np.uint8]) -> _Centred:
    rows = looks.reshape(-1, LOOK * LOOK, 3).astype(np.float32) / 255
    mean = rows.mean(axis=1, keepdims=True)
    return _Centred(rows - mean, mean, np.abs(rows - mean).mean(axis=(1, 2)))
