"""What adaptation and generalization cost: epochs beside plain training, and banks of neighbours."""

from __future__ import annotations

import copy
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import Row, in_turns, row
from loki import memory
from torch import nn

from unseen import catalogue, methods
from unseen.claims.shifts import small_network
from unseen.data.domain import Domain
from unseen.methods.base import signatures
from unseen.methods.checks import REGIONS
from unseen.methods.needs import Domains
from unseen.nn.classifier import Classifier, feature_classifier
from unseen.nn.neighbours import nearest
from unseen.runtime import reproducible

CLASSES, WIDTH, SIDE, BATCH = 10, 1280, 16, 64
SIZES = (500, 2_000)
STEPS = {"fewshot-sfda": 32, "distill-similar": 32, "fixmatch": 32}
"""Methods whose length is counted in steps, and the labelled samples of one."""
SLUGS = {
    "features": (
        "shot", "aad", "fixmatch", "glc", "sfda2", "fewshot-sfda", "distill-similar", "meta-dmoe", "tram", "udim",
        "smos",
    ),
    "pictures": (
        "shot", "aad", "fixmatch", "glc", "sfda2", "fewshot-sfda", "distill-similar", "meta-dmoe", "tram", "udim",
        "smos", "crafting-shifts",
    ),
    "regions": ("ugt",),
}  # fmt: skip
"""By what is trained: a bottleneck and a head on features of 1,280 values, a small network on pictures, or kernels over
16 regions of 128 values."""
REGION, N_REGIONS = 128, 16


def run(sizes: tuple[int, ...] = SIZES) -> list[Row]:
    """Epochs and banks."""
    torch.set_num_threads(1)
    epochs = [line for kind in SLUGS for line in epoch_rows(kind, sizes)]
    return [*epochs, *bank_rows()]


# -- an epoch ----------------------------------------------------------------------------------------------


def domain(kind: str, n: int, seed: int) -> Domain:
    """Samples around ten centres; those of regions are the mean of what their regions are."""
    rng = np.random.default_rng(seed)
    shape = {"features": (WIDTH,), "pictures": (1, SIDE, SIDE), "regions": (N_REGIONS, REGION)}[kind]
    y = np.arange(n) % CLASSES
    x = np.random.default_rng(0).normal(size=(CLASSES, *shape))[y] + 2 * rng.normal(size=(n, *shape))
    x = x.astype(np.float32)
    if kind == "regions":
        return Domain(x=x.mean(axis=1), y=y, kind="features", columns={REGIONS: x}, name=f"d{seed}")
    return Domain(x=x, y=y, kind="features" if kind == "features" else "image", name=f"d{seed}")


def network(kind: str) -> Classifier:
    """What is adapted, or what plain training trains beside a method that has a network of its own."""
    with reproducible(0):
        if kind == "pictures":
            return small_network(CLASSES)
        return feature_classifier(WIDTH if kind == "features" else REGION, CLASSES)


def epoch_rows(kind: str, sizes: tuple[int, ...]) -> list[Row]:
    """Seconds of a further epoch of each method beside one of plain training on as many samples, and its growth."""
    rows = []
    for slug in SLUGS[kind]:
        taken = [epoch(slug, kind, n) for n in sizes]
        for n, (own, peer) in zip(sizes, taken):
            rows.append(row(f"an epoch of {slug}, {n} {kind}", own, "an epoch of plain training", peer))
        growth = f"4 x an epoch of {sizes[0]}"
        rows.append(
            row(f"an epoch of {slug}, {sizes[-1]} {kind}", taken[-1][0], growth, 4 * taken[0][0], floor=">= 0.8")
        )
    return rows


def epoch(slug: str, kind: str, n: int, more: int = 4) -> tuple[float, float]:
    """Seconds per epoch of `more` further epochs, and of a bare loop over the same samples, in turns."""
    source, target, support = (domain(kind, n, seed) for seed in range(3))
    card, base = methods.get(slug).card, network(kind)
    word, first, epochs = ("steps", n // STEPS[slug], n // STEPS[slug]) if slug in STEPS else ("epochs", 2, 1)
    quick = {key: value for key, value in card.smoke.items() if "epochs" in key or "steps" in key or key == "project"}
    words = set(signatures(methods.get(slug))[0].required) | ({"model"} if slug == "meta-dmoe" else set())

    def fit(length: int) -> None:
        given: dict[str, Any] = {"source": source, "target": target.unlabeled(), "support": support}
        given |= {"model": copy.deepcopy(base), "teachers": {"a": copy.deepcopy(base), "b": network(kind)}}
        for need in card.needs:
            if isinstance(need, Domains):
                given |= need.example(given)
        method = catalogue.make(slug, "default", 0, **{**quick, word: length})
        method.fit(**{key: value for key, value in given.items() if key in words})

    bare = plain_epoch(copy.deepcopy(base), source)
    short, long, peer = in_turns(lambda: fit(first), lambda: fit(first + more * epochs), bare, repeats=3)
    return max(long - short, 1e-6) / more, peer


def plain_epoch(net: nn.Module, source: Domain) -> Callable[[], None]:
    """One pass of stochastic gradient descent on the labels."""
    x, y = torch.as_tensor(source.x), torch.as_tensor(source.labels)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)

    def job() -> None:
        net.train()
        for index in torch.randperm(len(y)).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(net(x[index]), y[index]).backward()
            optimizer.step()

    return job


# -- banks of neighbours -----------------------------------------------------------------------------------


def bank(n: int, width: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit rows, and a batch of queries."""
    rng = torch.Generator().manual_seed(0)
    rows, queries = (F.normalize(torch.randn(size, width, generator=rng), dim=1) for size in (n, BATCH))
    return rows, queries


def bank_rows(sizes: tuple[int, ...] = (25_000, 100_000), k: int = 5) -> list[Row]:
    """The nearest five of a batch of 64, by the product with all rows, beside faiss's flat index."""
    rows, taken = [], []
    for n in sizes:
        table, queries = bank(n)
        jobs: list[Callable[[], Any]] = [lambda: nearest(queries, table, k)]
        if importlib.util.find_spec("faiss") is not None:
            import faiss

            faiss.omp_set_num_threads(1)
            index = faiss.IndexFlatIP(table.shape[1])
            index.add(table.numpy())
            jobs.append(lambda: index.search(queries.numpy(), k))
        own, *peer = in_turns(*jobs)
        taken.append(own)
        extra = {"peak MB": float(_in_fresh_process(n)), "bank MB": round(table.nbytes / 2**20, 1)}
        rows += [row(f"nearest 5 of {n}, batch 64", own, "faiss, flat", found, floor=">= 1", **extra) for found in peer]
    job = f"nearest 5 of {sizes[-1]}, batch 64"
    return [*rows, row(job, taken[-1], f"4 x those of {sizes[0]}", 4 * taken[0], floor=">= 0.8")]


def _in_fresh_process(n: int) -> str:
    command = [sys.executable, "-c", f"import adaptation; print(adaptation.peak({n}))"]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent).stdout


def peak(n: int) -> float:
    """Megabytes that a search needs beyond the bank (Linux: the high-water mark is reset)."""
    table, queries = bank(n)
    nearest(queries[:1], table[:100], 5)
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    nearest(queries, table, 5)
    return round(memory("VmHWM") - before, 1)
