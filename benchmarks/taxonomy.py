"""Mapping phrases over a large taxonomy, beside the bare product and faiss; how node2vec grows with the nodes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import Row, in_turns, row, seconds

from unseen.data.words import wordllama
from unseen.methods.zero_shot.text2node.mappers import mapping_function
from unseen.methods.zero_shot.text2node.method import Text2Node, nearest_nodes
from unseen.nn.node2vec import WalkGraph, node2vec
from unseen.runtime import reproducible

N, D, K = 10_000, 128, 5
WORDS = ("acute", "chronic", "heart", "failure", "of", "left", "right", "ventricle", "fracture", "initial", "closed")


def unit(n: int, seed: int) -> torch.Tensor:
    """Random directions, (n, D)."""
    return F.normalize(torch.randn(n, D, generator=torch.Generator().manual_seed(seed)), dim=1)


def run(nodes: tuple[int, ...] = (25_000, 100_000)) -> list[Row]:
    """The search for 10,000 vectors, the whole way from phrases, and the vectors of the nodes."""
    torch.set_num_threads(1)
    return [*search_rows(nodes), *phrase_rows(nodes[-1]), *node_rows(nodes)]


def search_rows(sizes: tuple[int, ...]) -> list[Row]:
    """The K nearest of each of N vectors; memory is that of a fresh process beyond its inputs."""
    rows = []
    for n in sizes:
        z, bank = unit(N, 0), unit(n, 1)
        blocks = torch.split(z, max(1, 2**24 // n))
        jobs = [lambda: nearest_nodes(z, bank, K), lambda: [part @ bank.T for part in blocks]]
        peers = ["bare product in blocks"]
        if importlib.util.find_spec("faiss") is not None:
            jobs.append(lambda: flat(z, bank))
            peers.append("faiss flat")
        own, *others = in_turns(*jobs, repeats=2)
        told = {"phrases per second": round(N / own), "megabytes": alone(n)}
        job = f"{N} vectors to the nearest {K} of {n} nodes"
        rows += [row(job, own, peer, figure, **told) for peer, figure in zip(peers, others)]
        last = own
        if n == sizes[0]:
            first = own
    rows.append(row(f"the search over {sizes[-1]} nodes", last, f"4 x that over {sizes[0]}", 4 * first, floor=">= 0.8"))
    return rows


def flat(z: torch.Tensor, bank: torch.Tensor) -> Any:
    """Exact inner product search by faiss."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(D)
    index.add(bank.numpy())
    return index.search(z.numpy(), K)


def phrase_rows(n: int) -> list[Row]:
    """From strings to nodes: tokens, the mapping function, the search."""
    rng = np.random.default_rng(0)
    texts = np.array([" ".join(rng.choice(WORDS, rng.integers(3, 12))) for _ in range(N)])
    rows = []
    for kind in ("cnn", "bilstm"):
        method = Text2Node(mapper=kind)
        method.nodes_, method.words_ = unit(n, 1), wordllama()
        method.mapper_ = mapping_function(kind, method.words_.dim, D, method.hidden).eval()
        whole = seconds(lambda: method.rank(texts, K), repeats=1)
        search = seconds(lambda: nearest_nodes(unit(N, 0), method.nodes_, K), repeats=1)
        job = f"{N} phrases to {n} nodes by {kind}"
        rows.append(row(job, whole, "the search alone", search, **{"phrases per second": round(N / whole)}))
    return rows


def node_rows(sizes: tuple[int, ...]) -> list[Row]:
    """Walks, and an epoch of skip-gram, on random trees."""
    walks, vectors = [], []
    for n in sizes:
        edges = np.stack([np.arange(1, n), np.random.default_rng(0).integers(0, np.arange(1, n))], axis=1)
        started = time.perf_counter()
        WalkGraph(edges, n).walks(10, 20, 1.0, 4.0, np.random.default_rng(0))
        walks.append(time.perf_counter() - started)
        with reproducible(0):
            started = time.perf_counter()
            node2vec(edges, n, dim=D, q=4.0, window=3, epochs=1)
            vectors.append(time.perf_counter() - started)
    what = (("10 walks of 20 nodes from each of", walks), ("node2vec, an epoch, over", vectors))
    return [row(f"{job} {sizes[-1]} nodes", t[1], f"4 x {sizes[0]} nodes", 4 * t[0], floor=">= 0.8") for job, t in what]


def alone(n: int) -> float:
    """Megabytes that the search needs beyond its inputs, in a fresh process."""
    done = subprocess.run([sys.executable, __file__, str(n)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def peak(n: int) -> float:
    """The same, in this process (Linux: the high-water mark is reset)."""
    z, bank = unit(N, 0), unit(n, 1)
    nearest_nodes(z[:1], bank, K)
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    nearest_nodes(z, bank, K)
    return round(memory("VmHWM") - before, 1)


def memory(key: str) -> float:
    """A line of /proc/self/status in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


if __name__ == "__main__":
    print(peak(int(sys.argv[1])))
