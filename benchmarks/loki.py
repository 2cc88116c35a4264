"""Loki's rule over many classes, against the bare product of its sizes; and a tree, in time linear in its nodes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from common import Row, in_turns, row, seconds

from unseen.data.classes import ClassSpace
from unseen.data.label_metrics import EmbeddingMetric, TreeMetric
from unseen.methods.zero_shot.loki import Loki

B, K, D = 256, 1000, 384


def fitted(n: int) -> tuple[Loki, torch.Tensor]:
    """A rule over n classes with embeddings, of which K are observed, and B probabilities."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n, D)).astype(np.float32)
    classes = ClassSpace(names=tuple(map(str, range(n))), metric=EmbeddingMetric(vectors), seen=np.arange(K))
    return Loki().fit(classes=classes), torch.softmax(torch.randn(B, K), dim=1)


def run(sizes: tuple[int, ...] = (25_000, 100_000)) -> list[Row]:
    """Seconds of `predict` beside B x D x N, and extra memory of a fresh process."""
    torch.set_num_threads(1)
    rows = []
    for n in sizes:
        rule, p = fitted(n)
        left, right = torch.randn(B, D), torch.randn(D, n)
        own, bare = in_turns(lambda: rule.predict(p), lambda: left @ right)
        alone = subprocess.run([sys.executable, __file__, str(n)], capture_output=True, text=True, check=True)
        job = f"Loki over {n} classes, B {B}, K {K}"
        told = {"megabytes": float(alone.stdout)}
        rows.append(row(job, own, "bare B x D x N product", bare, floor=">= 0.83", **told))
    sizes = (75_000, 300_000)
    trees = [seconds(tree(n), repeats=3) for n in sizes]
    job, peer = f"Loki on a tree of {sizes[1]} classes", f"4 x the tree of {sizes[0]}"
    rows.append(row(job, trees[1], peer, 4 * trees[0], floor=">= 0.8: linear"))
    return rows


def tree(n: int):
    """A random recursive tree of n nodes, 1,000 of them observed; predict 4 samples."""
    rng = np.random.default_rng(0)
    parents = np.r_[-1, rng.integers(0, np.arange(1, n))]
    metric = TreeMetric(parents)
    seen = rng.choice(n, 1000, replace=False)
    rule = Loki().fit(classes=ClassSpace(names=tuple(map(str, range(n))), metric=metric, seen=seen))
    p = torch.softmax(torch.randn(4, 1000), dim=1)
    return lambda: rule.predict(p)


def peak(n: int) -> float:
    """Megabytes that a prediction needs beyond what the process holds (Linux: the high-water mark is reset)."""
    rule, p = fitted(n)
    rule.predict(p[:1])
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    rule.predict(p)
    return round(memory("VmHWM") - before, 1)


def memory(key: str) -> float:
    """A line of /proc/self/status in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


if __name__ == "__main__":
    print(peak(int(sys.argv[1])))
