"""Indices over a million clustered vectors (64 wide): recall@10, memory, build time and latency beside exact search.

Every kind is built: a graph, lists of whole vectors, compressed vectors. Where so much memory would give another kind,
that kind is built all the same, and the row says the memory that it takes.

Real vectors are those of emoji by lite-clip where they can be had. autofaiss builds what it chooses at the same memory,
in an environment of its own. The service answers a query by a vector over a million rows, from the request to the JSON.

`UNSEEN_BENCH_ROWS` takes another number of vectors; figures then say so.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import Row, called, environment, row, seconds

from unseen.curation import index_choice
from unseen.curation.collection import Collection, EncoderRecord, write_record
from unseen.curation.index import IndexRecord, build_index, open_index
from unseen.curation.retrieval import Query, RetrievalService, Term

ROWS = int(os.environ.get("UNSEEN_BENCH_ROWS", 1_000_000))
WIDTH, GROUPS, SHARD = 64, 2_000, 100_000
FLOOR = ">= 2" if ROWS >= 1_000_000 else ""
"""Of fewer vectors exact search is quick by itself."""

PER_ROW = {"hnsw": 4 * (WIDTH + 2 * 8), "ivf": 4 * WIDTH + 48, "pq": 52}
"""Bytes of memory that are allowed for each vector, by kind: a graph of 8 links, whole vectors, codes of 32 bytes."""

PEER_NEEDS = ("autofaiss", "faiss-cpu<1.8", "numpy<2", "pyarrow<20")
"""autofaiss calls faiss by names that later versions have not."""

PEER = """
import json, sys, time
import faiss, numpy as np
from autofaiss import build_index
faiss.omp_set_num_threads(1)
data, queries, truth, memory, out = sys.argv[1:]
began = time.perf_counter()
index, told = build_index(np.load(data), save_on_disk=False, metric_type="ip", max_index_memory_usage=memory,
                          current_memory_available="8GB", max_index_query_time_ms=10, nb_cores=1, verbose=40)
built = time.perf_counter() - began
queries, truth = np.load(queries), np.load(truth)
found = index.search(queries, 10)[1]
taken = []
for query in queries[:200]:
    began = time.perf_counter(); index.search(query[None], 10); taken.append(time.perf_counter() - began)
recall = float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), truth.tolist())]))
size = len(faiss.serialize_index(index))
json.dump({"recall": recall, "seconds": built, "latency": float(np.median(taken)), "memory": size}, open(out, "w"))
"""


def run() -> list[Row]:
    """All rows, on one thread."""
    faiss.omp_set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        return [*synthetic(Path(folder) / "synthetic"), *real()]


def synthetic(folder: Path) -> list[Row]:
    """A million vectors in 2,000 groups: each kind of index, autofaiss's, and the service's first result."""
    collection = made(folder)
    x = np.concatenate([shard.embeddings("image") for shard in collection.shards]).astype(np.float32)
    rng = np.random.default_rng(1)
    noise = (0.3 / np.sqrt(WIDTH) * rng.normal(size=(500, WIDTH))).astype(np.float32)
    queries = x[rng.choice(len(x), 500, replace=False)] + noise
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    flat = faiss.IndexFlatIP(WIDTH)
    flat.add(x)
    truth = flat.search(queries, 10)[1]
    exact = seconds(lambda: flat.search(queries[:1], 10), repeats=11)
    rows = []
    for kind, per_row in PER_ROW.items():
        budget = per_row * len(x)
        with forced(kind):
            record = build_index(collection, memory=budget)
        index = open_index(collection)
        found = index.search(queries, 10)[1]
        own = float(np.median([seconds(lambda q=q: index.search(q[None], 10), repeats=3) for q in queries[:50]]))
        told = {
            "recall@10": share(found, truth), "by the index alone": record.recall["alone"], "asked of it": 0.95,
            "bytes read to refine a query": refined(record), "MB": round(record.memory / 1e6, 1),
            "build seconds": record.seconds, "flat MB": round(x.nbytes / 1e6, 1), "vectors": len(x),
        }  # fmt: skip
        rows.append(row(f"a query of {kind}: {record.key}", own, "exact search", exact, floor=FLOOR, **told))
        peer = autofaiss(folder, x, queries, truth, budget) if kind == "pq" else None
        if peer is None:
            continue
        more = {
            "recall@10": share(found, truth), "by the index alone": record.recall["alone"],
            "bytes read to refine a query": refined(record), "MB": round(record.memory / 1e6, 1),
            "build seconds": record.seconds, "its recall@10": round(peer["recall"], 4),
            "its MB": round(peer["memory"] / 1e6, 1), "its build seconds": round(peer["seconds"], 1),
        }  # fmt: skip
        its = f"autofaiss in {budget / 1e6:g} MB"
        rows.append(row(f"a query of {kind}", own, its, peer["latency"], floor=">= 0.5", **more))
    rows.append(first_result(folder, x[0]))
    return rows


@contextlib.contextmanager
def forced(kind: str) -> Iterator[None]:
    """Lists of whole vectors also from a million on, where compressed ones are otherwise taken."""
    before = index_choice.IVF_FLAT_BELOW
    index_choice.IVF_FLAT_BELOW = 10**9 if kind == "ivf" else before
    try:
        yield
    finally:
        index_choice.IVF_FLAT_BELOW = before


def refined(record: IndexRecord) -> int:
    """Bytes of exact vectors that a query for ten compares beside the index."""
    return 10 * record.parameters.get("refine", 0) * 2 * record.dim


def first_result(folder: Path, vector: np.ndarray) -> Row:
    """Seconds to the first answer of a server that has just started, over all rows, and the median of the next."""
    from starlette.testclient import TestClient

    from unseen.curation.concept_map import build_map
    from unseen.explorer import create_app

    began = time.perf_counter()
    build_map(Collection.open(folder))
    drawn = time.perf_counter() - began
    service = RetrievalService.open(folder)
    began = time.perf_counter()
    service.search(Query(terms=[Term("embedding", vector)], k=40))
    cold = time.perf_counter() - began
    message: dict[str, Any] = {"embeddings": [{"vector": [float(v) for v in vector]}], "k": 40}
    filtered = message | {"filters": {"ranges": {"similarity": [0.5, None]}}}
    with TestClient(create_app(service), base_url="http://localhost") as client:
        warm = seconds(lambda: client.post("/api/knn", json=message), repeats=11)
        half = seconds(lambda: client.post("/api/knn", json=filtered), repeats=5)
        page = seconds(lambda: client.post("/api/browse", json={"filters": filtered["filters"]}), repeats=5)
        counts = seconds(lambda: client.post("/api/facets", json=filtered["filters"]), repeats=5)
        points = seconds(lambda: client.get("/api/points"), repeats=5)
    told = {
        "the first without a warm start": round(cold, 4), "half of the rows filtered out": round(half, 4),
        "60 pairs that pass": round(page, 4), "counts of the filters": round(counts, 4),
        "points of the map": round(points, 4), "seconds to draw the map once": round(drawn, 1),
    }  # fmt: skip
    return row("a request for 40 results", warm, "what was asked for", 0.3, floor=">= 1", rows=len(service), **told)


def real() -> list[Row]:
    """Emoji of three styles by lite-clip, repeated to no more than they are: graph against exact search."""
    from unseen import encoders
    from unseen.data.sources.emoji import emoji
    from unseen.data.sources.npm import SourceUnavailable

    try:
        styles = [emoji(style, level="emoji", size=128) for style in ("noto", "openmoji", "fluent-emoji-flat")]
    except SourceUnavailable as error:
        print(f"real vectors are left out: {error}")
        return []
    encoder = encoders.get("lite-clip")
    vectors = np.concatenate([encoder.encode(style).x for style in styles])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_record(place, EncoderRecord(encoder.name, encoder.fingerprint, encoder.dim))
        shard(place, 0, vectors.astype(np.float16), 0)
        collection = Collection.open(place)
        record = build_index(collection)
        index, flat = open_index(collection), faiss.IndexFlatIP(encoder.dim)
        flat.add(vectors)
        own = seconds(lambda: index.search(vectors[:1], 10), repeats=51)
        exact = seconds(lambda: flat.search(vectors[:1], 10), repeats=51)
        told = {
            "recall@10": record.recall["same"],
            "MB": round(record.memory / 1e6, 1),
            "build seconds": record.seconds,
        }
        made = [row(f"a query of {len(vectors):,} emoji: {record.key}", own, "exact search", exact, **told)]
        service = RetrievalService(collection, {"image": index}, encoder=encoder)
        words = ("a red car", "snow", "a smiling face", "fruit")
        texts = encoder.encode_text(list(words), cache=False)
        truth = flat.search(np.ascontiguousarray(texts, dtype=np.float32), 10)[1]
        asked = [Query(terms=[Term("text", word)], k=10, deduplicate=False) for word in words]
        found = np.array([service.search(query).rows for query in asked])
        whole = seconds(lambda: service.search(asked[0]), repeats=11)
        alone = seconds(lambda: encoder.encode_text(["a red car"], cache=False), repeats=11)
        named = {"recall@10": share(found, truth), "of it the encoder": round(alone, 4)}
        made.append(
            row("a query by words, encoded and answered", whole, "what was asked for", 0.3, floor=">= 1", **named)
        )
        return made


def made(folder: Path) -> Collection:
    """Groups of unit vectors in shards of 100,000, with short captions and a score."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(GROUPS, WIDTH)).astype(np.float32)
    write_record(folder, EncoderRecord("synthetic", "00" * 32, WIDTH))
    for number, start in enumerate(range(0, ROWS, SHARD)):
        n = min(SHARD, ROWS - start)
        x = centres[rng.integers(0, GROUPS, n)] + rng.normal(size=(n, WIDTH)).astype(np.float32)
        shard(folder, number, (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16), start)
    return Collection.open(folder)


def shard(folder: Path, number: int, vectors: np.ndarray, start: int) -> None:
    """A shard without pictures."""
    place = folder / "shards" / f"{number:05d}"
    place.mkdir(parents=True)
    np.save(place / "image.npy", vectors)
    rows = range(start, start + len(vectors))
    scores = np.random.default_rng(start).random(len(vectors)).astype(np.float32)
    table = {
        "uid": [hashlib.md5(str(i).encode()).hexdigest() for i in rows],
        "text": [f"the caption of row {i}" for i in rows],
        "url": [f"https://example.org/{i}.jpg" for i in rows], "similarity": scores,
        "language": [("en", "de", "")[i % 3] for i in rows],
    }  # fmt: skip
    pq.write_table(pa.table(table), place / "pairs.parquet")


def share(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean share of the exact ten that were found."""
    return round(float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), truth.tolist())])), 4)


def autofaiss(
    folder: Path, x: np.ndarray, queries: np.ndarray, truth: np.ndarray, budget: int
) -> dict[str, Any] | None:
    """What autofaiss builds at the same memory, in an environment of its own; None, with the reason, without it."""
    python = environment(folder / "peer", PEER_NEEDS)
    if python is None:
        return None
    for name, array in (("x", x), ("queries", queries), ("truth", truth)):
        np.save(folder / f"{name}.npy", array)
    files = [str(folder / f"{name}.npy") for name in ("x", "queries", "truth")]
    out = folder / "peer.json"
    done = called(python, PEER, *files, f"{budget / 1e6:g}MB", str(out))
    return json.loads(out.read_text()) if done else None


if __name__ == "__main__":
    for one in run():
        print(one)
