"""What pruning costs: a million vectors clustered, budgeted and chosen, beside spherical k-means of faiss."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import Row, row

N, WIDTH, CONCEPTS, SHAPES, ITERATIONS = 1_000_000, 512, 500, 2000, 25
BLOCK, EPS, MEMBERS = 20_000, 0.01, 1000


def run() -> list[Row]:
    """Time and memory of a million vectors, each job in a process of its own that has them in memory; deduplication."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.npy"
        make(file, N)
        peer, own, both, dedup = (_process(file, job) for job in ("faiss", "prune", "faiss, dedup", "dedup"))
    size = N * WIDTH * 4 / 1e9
    told = {
        "mean cosine": round(own["cosine"], 4),
        "peer's mean cosine": round(peer["cosine"], 4),
        "clustering alone": round(own["clustering"], 1),
    }
    label = f"prune {N:,} x {WIDTH}, {CONCEPTS} concepts"
    return [
        row(label, own["seconds"], "faiss.Kmeans and its search", peer["seconds"], floor=">= 0.77", **told),
        row(
            f"{label}, deduplicated first (the command's default)",
            dedup["seconds"],
            "SemDeDup's recipe on faiss.Kmeans, then faiss.Kmeans",
            both["seconds"],
            floor=">= 0.77",
            left=round(dedup["left"], 4),
            peers_left=round(both["left"], 4),
        ),
        row(f"{label}: peak memory in data", own["peak"] / size, "asked", 2.2, floor=">= 1"),
        row(f"{label}, deduplicated: peak memory", dedup["peak"] / size, "asked", 2.2, floor=">= 1"),
    ]


def make(file: Path, n: int) -> None:
    """Unit vectors around many directions, written block by block."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(SHAPES, WIDTH)).astype(np.float32)
    x = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(n, WIDTH))
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        part = centres[rng.integers(0, SHAPES, stop - start)] + 1.2 * rng.standard_normal(
            (stop - start, WIDTH), dtype=np.float32
        )
        x[start:stop] = part / np.linalg.norm(part, axis=1, keepdims=True)
    x.flush()


def _process(file: Path, job: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, str(file), job], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def work(file: Path, job: str) -> dict[str, Any]:
    """A job on vectors that are in memory: seconds without reading them, the mean cosine, and the peak in GB."""
    import resource
    import time

    import torch

    torch.set_num_threads(1)
    x = np.load(file)
    started, left = time.perf_counter(), 1.0
    if job.startswith("faiss"):
        import faiss

        faiss.omp_set_num_threads(1)
        if job == "faiss, dedup":
            stay = _semdedup(x, EPS)
            left, x = float(stay.mean()), x[stay]
        k_means = faiss.Kmeans(WIDTH, CONCEPTS, niter=ITERATIONS, spherical=True, seed=0)
        k_means.train(x)
        clustering = time.perf_counter() - started
        cosine = float(k_means.index.search(x, 1)[0].mean())
    else:
        from unseen.nn.concepts import find_concepts

        found = find_concepts(x, n_clusters=CONCEPTS, dedup=EPS if job == "dedup" else None)
        clustering = time.perf_counter() - started
        found.select(3 * len(x) // 10)
        cosine, left = float(1 - found.distances.mean()), len(found.members) / len(x)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"seconds": seconds, "clustering": clustering, "cosine": cosine, "peak": peak, "left": left}


def _semdedup(x: np.ndarray, eps: float) -> np.ndarray:
    """Which rows stay by SemDeDup's recipe: k-means of faiss, all cosines of a cluster, far from the centroid first."""
    import faiss

    k_means = faiss.Kmeans(
        WIDTH, max(1, len(x) // MEMBERS), niter=10, spherical=True, max_points_per_centroid=64, seed=0
    )
    k_means.train(x)
    cosines, labels = (found[:, 0] for found in k_means.index.search(x, 1))
    order = np.lexsort((cosines, labels))
    stay = np.ones(len(x), dtype=bool)
    for own in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        rows = x[own]
        stay[own] = np.triu(rows @ rows.T, 1).max(axis=0) <= 1 - eps
    return stay


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(work(Path(sys.argv[1]), sys.argv[2])))
    else:
        for one in run():
            print(one)
