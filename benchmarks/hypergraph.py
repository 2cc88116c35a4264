"""Labels spread over graphs and hypergraphs of three views, in sparse products, against one dense matrix."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from common import Row, row
from loki import memory

from unseen.methods.zero_shot.tmv_hlp.hypergraph import heterogeneous
from unseen.nn.graphs import neighbour_graph, propagate

CLASSES, D, ALPHA, MIXTURE = 50, 30, 0.35, 0.25


def views(n: int) -> list[torch.Tensor]:
    """Three views of n points around 50 centres, on the sphere."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(CLASSES, D))[np.arange(n) % CLASSES] + 0.8 * rng.normal(size=(n, D))
    seen = [torch.as_tensor(x + 0.5 * rng.normal(size=(n, D))).float() for _ in range(3)]
    return [torch.nn.functional.normalize(one, dim=1) for one in seen]


def built(n: int, k: int) -> tuple:
    """The mean graph of the views, their hypergraph, and the labels of a node of each class."""
    points, counts = views(n), np.full(n, k)
    graph = sum(neighbour_graph(one, counts) for one in points) / 3
    labels = np.zeros((n, CLASSES))
    labels[np.arange(CLASSES), np.arange(CLASSES)] = 1
    return graph, heterogeneous(points, counts), labels


def sparse(graph, edges, labels: np.ndarray) -> np.ndarray:
    """Products of what is there: the hypergraph's similarity is never formed."""
    return propagate(lambda f: MIXTURE * (graph @ f) + (1 - MIXTURE) * edges.product(f), labels, ALPHA)


def dense(graph, edges, labels: np.ndarray) -> np.ndarray:
    """The similarity of all nodes formed, as one matrix, and its linear system solved."""
    w = (MIXTURE * graph + (1 - MIXTURE) * edges.root.T @ edges.root).toarray()
    scale = 1 / np.sqrt(w.sum(axis=1))
    system = np.eye(len(w)) - ALPHA * scale[:, None] * w * scale
    return (1 - ALPHA) * np.linalg.solve(system, labels)


def measured(way: str, n: int, k: int) -> dict[str, float]:
    """Seconds, and megabytes beyond what the process holds, in a fresh process."""
    done = subprocess.run([sys.executable, __file__, way, str(n), str(k)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def alone(way: str, n: int, k: int) -> dict[str, float]:
    """What `measured` asks for; that dense and sparse agree is checked."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    graph, edges, labels = built(n, k)
    build = time.perf_counter() - started
    job = {"sparse": sparse, "dense": dense}[way]
    ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back, or it would hide what the job needs
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    started = time.perf_counter()
    found = job(graph, edges, labels)
    taken, extra = time.perf_counter() - started, memory("VmHWM") - before
    if way == "dense":
        assert np.allclose(found, sparse(graph, edges, labels), atol=1e-8)
    return {"seconds": taken, "megabytes": round(extra, 1), "build": round(build, 2), "incidences": edges.root.nnz}


def run(large: int = 20_000, small: int = 5_000, ks: tuple[int, ...] = (15, 30)) -> list[Row]:
    """Sparse against dense where dense fits, and how sparse grows to four times the nodes."""
    rows = []
    for k in ks:
        few, whole, many = measured("sparse", small, k), measured("dense", small, k), measured("sparse", large, k)
        job = f"hypergraph propagation, 3 views, k {k}, {small} nodes"
        told = {"megabytes": few["megabytes"], "dense megabytes": whole["megabytes"], "graphs built in": few["build"]}
        rows.append(row(job, few["seconds"], "one dense matrix", whole["seconds"], floor=">= 2", **told))
        job = f"the same at {large} nodes"
        told = {"seconds to build": many["build"], "megabytes": many["megabytes"], "incidences": many["incidences"]}
        told["of 4 x the memory"] = round(many["megabytes"] / (4 * few["megabytes"]), 2)
        rows.append(row(job, many["seconds"], f"4 x {small} nodes", 4 * few["seconds"], floor=">= 0.8: linear", **told))
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(alone(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
