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
BLOCK = 20_000


def run() -> list[Row]:
    """Time and memory of a million vectors, each job in a process of its own that has them in memory; deduplication."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.npy"
        make(file, N)
        peer, own, dedup = (_process(file, job) for job in ("faiss", "prune", "dedup"))
    size = N * WIDTH * 4 / 1e9
    told = {
        "mean cosine": round(own["cosine"], 4),
        "peer's mean cosine": round(peer["cosine"], 4),
        "clustering alone": round(own["clustering"], 1),
    }
    label = f"prune {N:,} x {WIDTH}, {CONCEPTS} concepts"
    return [
        row(label, own["seconds"], "faiss.Kmeans and its search", peer["seconds"], floor=">= 0.77", **told),
        row(f"{label}, deduplicated first", dedup["seconds"], "faiss.Kmeans and its search", peer["seconds"]),
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
    started = time.perf_counter()
    if job == "faiss":
        import faiss

        faiss.omp_set_num_threads(1)
        k_means = faiss.Kmeans(WIDTH, CONCEPTS, niter=ITERATIONS, spherical=True, seed=0)
        k_means.train(x)
        clustering = time.perf_counter() - started
        cosine = float(k_means.index.search(x, 1)[0].mean())
    else:
        from unseen.methods.curation.concept_pruning import find_concepts

        found = find_concepts(x, n_clusters=CONCEPTS, dedup=0.05 if job == "dedup" else None)
        clustering = time.perf_counter() - started
        found.select(3 * len(x) // 10)
        cosine = float(1 - found.distances.mean())
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"seconds": seconds, "clustering": clustering, "cosine": cosine, "peak": peak}


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(work(Path(sys.argv[1]), sys.argv[2])))
    else:
        for one in run():
            print(one)
