"""Where every pair lies on a plane: t-SNE of a sample, and all others between their nearest neighbours in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unseen.curation.index_file import limited_faiss
from unseen.curation.vectors import Vectors
from unseen.data.typing import FloatArray
from unseen.runtime import reproducible, track

LAID_OUT = 4_000
"""Pairs that t-SNE lays out; its time grows faster than their number."""

COMPONENTS = 50
"""Principal components that distances are taken in, as in the paper of t-SNE."""

NEIGHBOURS = 8
"""Pairs of the sample between which another one is placed."""

REACH = 0.06
"""How far from the place of the nearest neighbour, as a part of the plane, others are still listened to: pairs between
two groups belong to one of them and do not lie in the void between both."""


def lay_out(vectors: Vectors, seed: int = 0) -> NDArray[np.float32]:
    """Places (n, 2) in [-1, 1] of all vectors, alike ones near each other.

    References
    ----------
    van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 2008; new points are placed as openTSNE begins with
    them (Poličar et al., 2019).
    """
    n = len(vectors)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(n, min(n, LAID_OUT), replace=False))
    x = vectors.take(rows)
    mean, axes = _principal_axes(x, seed)
    sample = (x - mean) @ axes
    places = layout(sample, seed).astype(np.float32)
    if n == len(rows):
        return places
    placed = np.empty((n, 2), np.float32)
    with limited_faiss() as faiss:
        search = faiss.IndexFlatL2(sample.shape[1])
        search.add(np.ascontiguousarray(sample))
        starts = vectors.starts
        for place in track(vectors.places(), "placing pairs on the map"):
            block = np.ascontiguousarray((vectors.block(place) - mean) @ axes)
            at = int(starts[place[0]]) + place[1]
            placed[at : at + len(block)] = _between(places, *search.search(block, NEIGHBOURS))
    placed[rows] = places
    return placed


def _between(places: NDArray[np.float32], distance: FloatArray, nearest: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weighted means of the places of neighbours, (m, 2): the nearest counts most, those far from its place not."""
    there = places[nearest]
    spread = np.maximum(distance[:, -1:] - distance[:, :1], 1e-12)
    weight = np.exp(-3 * (distance - distance[:, :1]) / spread)
    weight *= np.linalg.norm(there - there[:, :1], axis=2) <= 2 * REACH
    return (there * weight[..., None]).sum(axis=1) / weight.sum(axis=1, keepdims=True)


def _principal_axes(x: FloatArray, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean (d,) and the first axes (d, c) of vectors."""
    from sklearn.decomposition import PCA

    if len(x) < 2:
        return np.zeros(x.shape[1], np.float32), np.eye(x.shape[1], 1, dtype=np.float32)
    with np.errstate(invalid="ignore"):  # where all are the same
        pca = PCA(min(COMPONENTS, *x.shape), random_state=seed).fit(x)
    return pca.mean_.astype(np.float32), np.ascontiguousarray(pca.components_.T, dtype=np.float32)


def layout(x: FloatArray, seed: int = 0) -> NDArray[np.float64]:
    """Places (m, 2) in [-1, 1] of principal components (m, c): t-SNE that begins at the first two; of few those two."""
    places = np.zeros((len(x), 2))
    places[:, : min(2, x.shape[1])] = x[:, :2]
    if len(x) >= 10:
        from sklearn.manifold import TSNE

        start = places / max(places[:, 0].std(), 1e-12) * 1e-4
        with reproducible(seed):
            places = TSNE(
                perplexity=min(30.0, (len(x) - 1) / 3), init=start.astype(np.float32), random_state=seed, max_iter=600
            ).fit_transform(np.ascontiguousarray(x, dtype=np.float32))
    places = np.nan_to_num(np.asarray(places, np.float64))
    places = places - (places.max(axis=0) + places.min(axis=0)) / 2
    return places / max(float(np.abs(places).max()), 1e-12)
