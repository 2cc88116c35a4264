"""`build_index`, `add_to_index`, `open_index`: nearest-neighbour indices that know what they were built from.

    index/image.faiss image.json     the index and its record (`IndexRecord`)
    index/text.faiss text.json

The record is what makes an index valid: it is written last and removed first, so that there is never one that tells of
another file.
"""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.curation.collection import Collection, Side
from unseen.curation.index_choice import IndexChoice, choose_index, parse_memory
from unseen.curation.index_file import Index, IndexRecord, library, limited_faiss, paths, read_record, searched
from unseen.curation.index_training import (
    K,
    Queries,
    exact_queries,
    make,
    reconstruction_error,
    seconds,
    training_size,
    tune,
)
from unseen.curation.vectors import Vectors
from unseen.data.typing import IntArray
from unseen.runtime import replacing, track

__all__ = ["Index", "IndexChoice", "IndexRecord", "add_to_index", "build_index", "choose_index", "open_index"]

HELD_OUT = 512
"""Queries by which an index is tuned, and as many others by which it is measured, of each side."""


def build_index(
    collection: Collection,
    side: Side = "image",
    *,
    memory: int | str = "4GB",
    recall: float | None = 0.95,
    latency: float = 0.010,
    memory_mapped: bool = False,
    seed: int = 0,
) -> IndexRecord:
    """Build, tune, measure and write the index of one side of a collection; one that is there is replaced.

    It learns from a sample, is filled shard by shard, and is measured on queries that it did not learn from: vectors of
    its own side, each without itself, and vectors of the other side where there are some, as words look for pictures.

    Parameters
    ----------
    collection : Collection
        With embeddings of that side.
    side : {"image", "text"}
    memory : int or str
        What the index may take (`choose_index`).
    recall : float in (0, 1], optional
        Recall@10 that is aimed at. None searches as much as `latency` allows.
    latency : float, > 0
        Seconds that one query may take.
    memory_mapped : bool
        As in `choose_index`. Any index is mapped from disk when it is opened; graphs need most of it in memory.
    seed : int, >= 0

    Raises
    ------
    ValueError
        If there are no embeddings, or no index fits into `memory`.
    ImportError
        If faiss is not installed.
    """
    library()
    if recall is not None and not 0 < recall <= 1:
        raise ValueError(f"recall must lie in (0, 1], or be None; got {recall}")
    if not latency > 0:
        raise ValueError(f"latency must be positive seconds; got {latency}")
    paths(collection, side)
    began = time.perf_counter()
    vectors = Vectors.of(collection, side)
    if not len(vectors):
        raise ValueError(f"{collection.folder.name} holds no pairs, so there is nothing to search")
    choice = choose_index(len(vectors), vectors.dim, memory, memory_mapped=memory_mapped)
    rng = np.random.default_rng(seed)
    held_out = np.sort(rng.choice(len(vectors), min(2 * HELD_OUT, max(1, len(vectors) // 10)), replace=False))

    def training() -> NDArray[np.float32]:
        rows = np.delete(np.arange(len(vectors)), held_out)
        size = training_size(len(rows), choice.clusters)
        return vectors.take(np.sort(rng.choice(rows, size, replace=False)))[rng.permutation(size)]

    index = make(choice, vectors.dim, training, seed)
    _fill(index, vectors, 0)
    target = {"recall": recall, "latency": latency}
    record = _measured(collection, side, index, choice, vectors, held_out, target, parse_memory(memory), began, seed)
    return _write(collection, side, index, record)


def add_to_index(collection: Collection, side: Side = "image", *, seed: int = 0) -> IndexRecord:
    """Add the shards that came to a collection since its index was built, then tune and measure it anew.

    What was learnt (lists, codes) stays; where a collection has grown manifold, building again finds more.

    Raises
    ------
    ValueError
        If there is no index, the rows that it has are not the first of the collection any more, nothing is new, or it
        would take more memory than it was given.
    """
    began = time.perf_counter()
    record = read_record(collection, side)
    known = np.flatnonzero(collection.starts == record.rows)
    before = dataclasses.replace(collection, shards=collection.shards[: int(known[-1])] if len(known) else ())
    if not len(known) or before.order != record.order:
        raise ValueError(
            f"the {record.rows:,} rows of the index are not the first shards of the collection any more; build it "
            f"again: unseen index DATA --side {side}"
        )
    record.check(before, Vectors.of(before, side))
    if record.rows == len(collection):
        raise ValueError(f"the index has all {record.rows:,} rows of the collection: there is nothing to add")
    vectors = Vectors.of(collection, side)
    size = (record.memory * len(vectors)) // record.rows
    if size > max(record.budget, record.memory):
        raise ValueError(
            f"with {len(vectors):,} rows the index takes about {size / 1e6:.1f}MB, more than the "
            f"{record.budget / 1e6:g}MB that it may; build it again: unseen index DATA --side {side} --memory SIZE"
        )
    index = library().read_index(str(paths(collection, side)[0]))
    _fill(index, vectors, record.rows)
    code = int(record.key.rpartition("PQ")[2].partition("x")[0]) if record.family == "pq" else 0
    choice = IndexChoice(record.key, record.family, size, record.why, _clusters(index), code)
    held_out = np.arange(record.rows, len(vectors))
    rng = np.random.default_rng(seed)
    held_out = np.sort(rng.choice(held_out, min(2 * HELD_OUT, len(held_out)), replace=False))
    target = dict(record.target)
    updated = _measured(collection, side, index, choice, vectors, held_out, target, record.budget, began, seed)
    return _write(collection, side, index, updated)


def open_index(collection: Collection, side: Side = "image") -> Index:
    """Open an index, mapped from disk, if it fits the collection as it is now.

    Raises
    ------
    ValueError
        If there is none, or encoder, width, rows, order or vectors are not those of the collection.
    """
    faiss = library()
    record = read_record(collection, side)
    record.check(collection)
    vectors = Vectors.of(collection, side)
    record.check(collection, vectors)
    flag = faiss.IO_FLAG_MMAP if record.family in ("ivf", "pq") else faiss.IO_FLAG_MMAP_IFC
    try:
        index = faiss.read_index(str(paths(collection, side)[0]), flag)
    except RuntimeError as error:
        raise ValueError(f"the index of {side}s is damaged; build it again: unseen index DATA --side {side}") from error
    if (index.ntotal, index.d, vectors.dim) != (record.rows, record.dim, record.dim):
        raise ValueError(
            f"the index of {side}s holds {index.ntotal:,} vectors {index.d} wide, its record says {record.rows:,} and "
            f"{record.dim}; build it again: unseen index DATA --side {side}"
        )
    return Index(index, record, vectors)


# -- parts ---------------------------------------------------------------------------------------------------


def _fill(index: Any, vectors: Vectors, first: int) -> None:
    with limited_faiss():
        for place in track(vectors.places(first), "index"):
            index.add(vectors.block(place))


def _clusters(index: Any) -> int:
    ivf = library().try_extract_index_ivf(index)
    return 0 if ivf is None else int(ivf.nlist)


def _queries(collection: Collection, side: Side, vectors: Vectors, held_out: IntArray) -> tuple[Queries, Queries]:
    """Held-out queries of this side, without themselves, and of the other side, none if it has no vectors."""
    same = vectors.take(held_out)
    other: NDArray[np.float32] = np.empty((0, vectors.dim), np.float32)
    across: Side = "text" if side == "image" else "image"
    if all((shard.folder / f"{across}.npy").exists() for shard in collection.shards):
        other = Vectors.of(collection, across).take(held_out)
    if other.shape[1] != vectors.dim:
        other = np.empty((0, vectors.dim), np.float32)
    everything = exact_queries(
        vectors, np.concatenate([same, other]), np.concatenate([held_out, np.full(len(other), -1)])
    )
    return everything.take(slice(0, len(same))), everything.take(slice(len(same), None))


def _measured(
    collection: Collection,
    side: Side,
    index: Any,
    choice: IndexChoice,
    vectors: Vectors,
    held_out: IntArray,
    target: dict[str, float | None],
    budget: int,
    began: float,
    seed: int,
) -> IndexRecord:
    """Tune an index on half of the held-out queries and measure it on the others."""
    same, other = _queries(collection, side, vectors, np.random.default_rng(seed).permutation(held_out))
    to_tune, to_tell = slice(0, None, 2), slice(min(1, len(held_out) - 1), None, 2)
    tuning = (same.take(to_tune), other.take(to_tune))
    telling = same.take(to_tell) + other.take(to_tell)
    parameters = tune(index, choice, vectors, tuning, target["recall"], target["latency"] or 0.010)
    recalls, alone = {}, {key: value for key, value in parameters.items() if key != "refine"}
    for name, queries, how in (
        ("same", same.take(to_tell), parameters),
        ("other", other.take(to_tell), parameters),
        ("alone", telling, alone),
    ):
        if len(queries.x):
            rows = searched(index, vectors, queries.x, min(K + 1, len(vectors)), how)[1]
            recalls[name] = round(queries.recall(vectors, rows), 4)
    encoder = collection.encoder
    return IndexRecord(
        side=side,
        key=choice.key,
        family=choice.family,
        encoder=encoder.name if encoder else None,
        fingerprint=encoder.fingerprint if encoder else None,
        dim=vectors.dim,
        rows=len(vectors),
        order=collection.order,
        parameters=parameters,
        recall=recalls,
        target=target,
        latency=round(seconds(index, vectors, telling.x, parameters), 6),
        memory=0,
        budget=budget,
        reconstruction_error=round(reconstruction_error(index, choice, same.x), 6),
        seconds=round(time.perf_counter() - began, 3),
        why=choice.why,
        vectors=vectors.digest(),
        scan=_scan(vectors),
    )


def _scan(vectors: Vectors) -> float:
    """Median seconds to compare a query with one vector, by some blocks."""
    query, taken = vectors.block((0, 0), 1)[0], []
    for place in vectors.places()[:5]:
        began = time.perf_counter()
        at = len(vectors.block(place) @ query)
        taken.append((time.perf_counter() - began) / at)
    return float(np.median(taken))


def _write(collection: Collection, side: Side, index: Any, record: IndexRecord) -> IndexRecord:
    file, record_file = paths(collection, side)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        library().write_index(index, str(temporary))
        record = dataclasses.replace(record, memory=Path(temporary).stat().st_size)
        record_file.unlink(missing_ok=True)
    with replacing(record_file) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(record), indent=1) + "\n", encoding="utf-8")
    return record
