"""A map of what a collection shows: every pair on a plane, near ones near, in groups with the words of their captions.

index/points.npy     a row per pair: place, group, and how alike the most alike other one is (`POINT`)
index/map.json       the groups, and the order of the rows; written last and removed first
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unseen.curation.collection import Collection, Side
from unseen.curation.index_file import limited_faiss
from unseen.curation.plane import lay_out
from unseen.curation.results import NO_OTHER
from unseen.curation.stop_words import stop_words
from unseen.curation.vectors import Vectors
from unseen.data.rows import unit_rows
from unseen.data.typing import FloatArray, IntArray
from unseen.files import named, read_object
from unseen.runtime import replacing, track

FORMAT = 3
MOST = 100_000
"""Pairs that the groups are learnt from."""

NEAREST = 40
"""Captions of a group whose words name it."""

WORDS = 3

POINT = np.dtype([("x", "<u2"), ("y", "<u2"), ("group", "<u2"), ("nearest", "<f2"), ("earlier", "<f2")])
"""Place on the plane, from 0 to 65,535 each; group; cosines of the most alike other pair and of the most alike one that
stands before it; `NO_OTHER` where there is none."""

EXACT = 30_000
"""Pairs up to which each is compared with all others; of more, with those of its group."""

COMPARED = 2**24
"""Cosines that are in memory at once."""

_WORD = re.compile(r"[^\W\d_]{2,}")


@dataclasses.dataclass(frozen=True)
class Concept:
    """A group of pairs: where it lies, in [-1, 1] each, how many pairs it has, its words, and its most typical row."""

    x: float
    y: float
    size: int
    words: tuple[str, ...]
    row: int


@dataclasses.dataclass(frozen=True)
class ConceptMap:
    """The groups of a collection, and a point of dtype `POINT` for every pair, (n,)."""

    concepts: tuple[Concept, ...]
    points: NDArray[np.void]


def build_map(
    collection: Collection, side: Side = "image", *, n_concepts: int | None = None, seed: int = 0
) -> ConceptMap:
    """Lay a collection out by t-SNE, group it by spherical k-means, name the groups, and write the map.

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
    if not n:
        raise ValueError(f"{collection.folder.name} holds no pairs, so there is nothing to lay out")
    wanted = int(np.clip(round(np.sqrt(n) / 2), min(4, n), 150)) if n_concepts is None else n_concepts
    if not 1 <= wanted <= n:
        raise ValueError(f"n_concepts must lie in [1, {n}]; got {wanted}")
    rows = np.sort(np.random.default_rng(seed).choice(n, min(n, MOST), replace=False))
    x = vectors.take(rows)
    with limited_faiss() as faiss:
        k_means = faiss.Kmeans(
            x.shape[1], wanted, niter=20, seed=seed + 1, spherical=True, min_points_per_centroid=1,
            max_points_per_centroid=max(256, len(x) // wanted + 1),
        )  # fmt: skip
        k_means.train(x)
        centres = unit_rows(k_means.centroids)
    places = lay_out(vectors, seed)
    group = _groups(vectors, centres)
    there = np.unique(group)
    group = np.searchsorted(there, group)
    points = np.zeros(n, POINT)
    for name, column in zip(("x", "y"), places.T):
        points[name] = np.rint((column.clip(-1, 1) + 1) / 2 * 65_535)
    points["group"] = group
    points["nearest"], points["earlier"] = _most_alike(vectors, group)
    concepts = tuple(_concepts(collection, rows, x @ centres[there].T, group, places))
    _write(collection, side, ConceptMap(concepts, points))
    return ConceptMap(concepts, points)


def _groups(vectors: Vectors, centres: FloatArray) -> IntArray:
    """The nearest centre of every vector, (n,)."""
    owner = np.empty(len(vectors), np.int64)
    starts = vectors.starts
    for place in track(vectors.places(), "grouping pairs"):
        block = vectors.block(place)
        at = int(starts[place[0]]) + place[1]
        owner[at : at + len(block)] = (block @ centres.T).argmax(axis=1)
    return owner


def _most_alike(vectors: Vectors, group: IntArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines of the most alike other row, and of the most alike one before it, (n,) each; of many rows in a group."""
    nearest, earlier = np.empty((2, len(vectors)), np.float32)
    if len(vectors) <= EXACT:
        members = [np.arange(len(vectors))]
    else:
        order, ends = np.argsort(group, kind="stable"), np.cumsum(np.bincount(group)).tolist()
        members = [order[start:end] for start, end in zip([0, *ends], ends)]
    for rows in track(members, "looking for near duplicates"):
        x = torch.from_numpy(unit_rows(vectors.take(rows)))
        before = torch.full((len(rows),), NO_OTHER)
        after = before.clone()
        step = max(1, COMPARED // len(rows))
        for start in range(0, len(rows), step):  # each row with those before it: every two rows meet once
            at = slice(start, start + step)
            cosine = x[at] @ x[: at.stop].T
            block = cosine[:, start:]
            block.masked_fill_(torch.ones_like(block, dtype=torch.bool).triu(), NO_OTHER)
            before[at] = cosine.amax(dim=1)
            after[: at.stop] = torch.maximum(after[: at.stop], cosine.amax(dim=0))
        earlier[rows] = before
        nearest[rows] = torch.maximum(before, after)
    return nearest, earlier


def _concepts(
    collection: Collection, rows: IntArray, similarity: FloatArray, group: IntArray, places: FloatArray
) -> list[Concept]:
    """The groups, from a sample of rows and its cosines with the centres (m, k)."""
    sizes = np.bincount(group)
    typical = [int(rows[column.argmax()]) for column in np.where(_own(group[rows], len(sizes)), similarity, -2).T]
    middles = [np.median(places[group == part], axis=0).round(4).tolist() for part in range(len(sizes))]
    words = _words(collection, rows, similarity, group[rows], len(sizes))
    return [Concept(x, y, int(size), terms, row) for (x, y), size, terms, row in zip(middles, sizes, words, typical)]


def _own(owner: IntArray, parts: int) -> NDArray[np.bool_]:
    """Which rows (m,) belong to which group (m, k); all to one that has none of them."""
    members = owner[:, None] == np.arange(parts)
    return members | ~members.any(axis=0)


def _paths(collection: Collection) -> tuple[Path, Path]:
    folder = collection.folder / "index"
    return folder / "points.npy", folder / "map.json"


def _write(collection: Collection, side: Side, made: ConceptMap) -> None:
    points, record = _paths(collection)
    points.parent.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    with replacing(points) as temporary, temporary.open("wb") as stream:
        np.save(stream, made.points)
    content = {
        "format": FORMAT,
        "order": collection.order,
        "side": side,
        "concepts": [dataclasses.asdict(concept) for concept in made.concepts],
    }
    with replacing(record) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


def read_map(collection: Collection) -> ConceptMap:
    """The map of a collection; `ValueError` if there is none, or it is of other rows."""
    file, record = _paths(collection)
    content = read_object(record) if record.is_file() else {}
    if (content.get("format"), content.get("order")) != (FORMAT, collection.order):
        raise ValueError("there is no map of the collection as it is now; build it: unseen explore DATA --build")
    with named(file, "a NumPy file", "build the map again: unseen explore DATA --build"):
        points = np.load(file, mmap_mode="r", allow_pickle=False) if file.is_file() else np.empty(0, POINT)
    if points.dtype != POINT or points.shape != (len(collection),):
        raise ValueError(f"{file.name} is damaged or of other rows; build the map again: unseen explore DATA --build")
    return ConceptMap(
        tuple(Concept(**{**concept, "words": tuple(concept["words"])}) for concept in content["concepts"]), points
    )


def _words(
    collection: Collection, rows: IntArray, similarity: FloatArray, owner: IntArray, parts: int
) -> list[tuple[str, ...]]:
    """The words that are frequent in the captions nearest to a centre and rare in those of the others."""
    captions = collection.table(["text"])["text"].combine_chunks()
    nearest = []
    for part in range(parts):
        members = np.flatnonzero(owner == part)
        best = members[np.argsort(-similarity[members, part], kind="stable")[:NEAREST]]
        nearest.append([_bag(text) for text in captions.take(rows[best]).to_pylist()])
    everywhere = Counter(word for bags in nearest for word in set().union(*bags))
    return [_frequent(bags, everywhere, parts) for bags in nearest]


def _bag(text: str | None) -> set[str]:
    """The words of a caption, without those that name nothing."""
    return {word for token in _WORD.findall(text or "") if (word := token.lower()) not in stop_words()}


def _frequent(bags: Sequence[set[str]], everywhere: Counter[str], parts: int) -> tuple[str, ...]:
    often = Counter(word for bag in bags for word in bag)
    weight = {word: count * np.log((1 + parts) / everywhere[word]) for word, count in often.items()}
    chosen: list[str] = []
    for word in sorted(weight, key=lambda word: (-weight[word], word)):
        if not {word + "s", word.removesuffix("s")} & set(chosen):  # "heart, hearts" says no more than one of them
            chosen.append(word)
    return tuple(chosen[:WORDS])
