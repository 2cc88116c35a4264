"""A map of what a collection shows: groups of pictures on a plane, near ones near, with the words of their captions."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.curation.collection import Collection, Side
from unseen.curation.index_file import limited_faiss
from unseen.curation.vectors import Vectors
from unseen.data.rows import unit_rows
from unseen.data.typing import FloatArray, IntArray
from unseen.runtime import replacing, reproducible

FORMAT = 1
MOST = 100_000
"""Pairs that the groups are learnt from."""

NEAREST = 40
"""Captions of a group whose words name it."""

WORDS = 3

_WORD = re.compile(r"[^\W\d_]{2,}")


@dataclasses.dataclass(frozen=True)
class Concept:
    """A group of pairs: where it lies, in [-1, 1] each, how many pairs it has, its words, and its most typical row."""

    x: float
    y: float
    size: int
    words: tuple[str, ...]
    row: int


def build_map(
    collection: Collection, side: Side = "image", *, n_concepts: int | None = None, seed: int = 0
) -> list[Concept]:
    """Group a collection by spherical k-means, lay the centres out by t-SNE, name them, and write `index/map.json`.

    Parameters
    ----------
    collection : Collection
        With embeddings of that side.
    side : {"image", "text"}
    n_concepts : int, >= 1, optional
        Groups; about half the square root of the number of pairs, from 4 to 150, if absent.
    seed : int, >= 0

    Raises
    ------
    ValueError
        If there are no embeddings, or fewer pairs than groups.
    """
    vectors = Vectors.of(collection, side)
    n = len(vectors)
    wanted = int(np.clip(round(np.sqrt(n) / 2), min(4, n), 150)) if n_concepts is None else n_concepts
    if not 1 <= wanted <= n:
        raise ValueError(f"n_concepts must lie in [1, {n}]; got {wanted}")
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(n, min(n, MOST), replace=False))
    x = vectors.take(rows)
    with limited_faiss() as faiss:
        k_means = faiss.Kmeans(
            x.shape[1], wanted, niter=20, seed=seed + 1, spherical=True, min_points_per_centroid=1,
            max_points_per_centroid=max(256, len(x) // wanted + 1),
        )  # fmt: skip
        k_means.train(x)
        centres = unit_rows(k_means.centroids)
    similarity = x @ centres.T
    owner = similarity.argmax(axis=1)
    sizes = np.rint(np.bincount(owner, minlength=wanted) * (n / len(x))).astype(int)
    there = np.flatnonzero(np.bincount(owner, minlength=wanted))
    places = layout(centres[there], seed)
    words = _words(collection, rows, similarity, owner, there)
    concepts = [
        Concept(float(a), float(b), int(sizes[part]), said, int(rows[np.flatnonzero(owner == part)[typical]]))
        for (a, b), part, said in zip(places.round(4), there.tolist(), words)
        for typical in [similarity[owner == part, part].argmax()]
    ]
    told = {
        "format": FORMAT,
        "order": collection.order,
        "side": side,
        "concepts": [dataclasses.asdict(c) for c in concepts],
    }
    file = collection.folder / "index" / "map.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        temporary.write_text(json.dumps(told, ensure_ascii=False) + "\n", encoding="utf-8")
    return concepts


def read_map(collection: Collection) -> list[dict[str, Any]]:
    """The map of a collection; `ValueError` if there is none, or it is of other rows."""
    file = collection.folder / "index" / "map.json"
    told = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if (told.get("format"), told.get("order")) != (FORMAT, collection.order):
        raise ValueError("there is no map of the collection as it is now; build it: unseen explore DATA --build")
    return told["concepts"]


def layout(centres: FloatArray, seed: int = 0) -> NDArray[np.float64]:
    """Places (m, 2) in [-1, 1] of unit vectors (m, d): t-SNE from their principal plane; of few that plane."""
    x = np.asarray(centres, dtype=np.float64)
    if len(x) == 1:
        return np.zeros((1, 2))
    from sklearn.decomposition import PCA

    places = np.zeros((len(x), 2))
    plane = PCA(min(2, len(x), x.shape[1]), random_state=seed).fit_transform(x)
    places[:, : plane.shape[1]] = plane
    if len(x) >= 10:
        from sklearn.manifold import TSNE

        start = places / max(places[:, 0].std(), 1e-12) * 1e-4
        with reproducible(seed):
            places = TSNE(
                perplexity=min(12.0, (len(x) - 1) / 3), init=start, metric="cosine", random_state=seed, max_iter=750
            ).fit_transform(x.astype(np.float32))
    places = places - (places.max(axis=0) + places.min(axis=0)) / 2
    return places / np.maximum(np.abs(places).max(axis=0), 1e-12)


def _words(
    collection: Collection, rows: IntArray, similarity: FloatArray, owner: IntArray, parts: IntArray
) -> list[tuple[str, ...]]:
    """The words that are frequent in the captions nearest to a centre and rare in those of the others."""
    captions = collection.table(["text"])["text"].combine_chunks()
    nearest = {}
    for part in parts.tolist():
        own = np.flatnonzero(owner == part)
        best = own[np.argsort(-similarity[own, part], kind="stable")[:NEAREST]]
        texts = captions.take(rows[best]).to_pylist()
        nearest[part] = [{word.lower() for word in _WORD.findall(text or "")} for text in texts]
    everywhere = Counter(word for bags in nearest.values() for word in set().union(*bags))
    named = []
    for part in parts.tolist():
        often = Counter(word for bag in nearest[part] for word in bag)
        weight = {word: count * np.log((1 + len(parts)) / everywhere[word]) for word, count in often.items()}
        named.append(tuple(sorted(weight, key=lambda word: (-weight[word], word))[:WORDS]))
    return named
