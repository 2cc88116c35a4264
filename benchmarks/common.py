"""What every benchmark shares: medians, peak memory of a fresh process, and a table of ratios."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def seconds(job: Callable[[], Any], repeats: int = 5, warm: int = 1) -> float:
    """Median seconds of a job, after `warm` runs that do not count."""
    for _ in range(warm):
        job()
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        job()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def in_turns(*jobs: Callable[[], Any], repeats: int = 5) -> list[float]:
    """Median seconds of several jobs that take turns, so that a busy machine slows all of them alike."""
    taken: list[list[float]] = [[] for _ in jobs]
    for turn in range(repeats + 1):
        for job, times in zip(jobs, taken):
            started = time.perf_counter()
            job()
            if turn:
                times.append(time.perf_counter() - started)
    return [statistics.median(times) for times in taken]


def row(job: str, ours: float, peer: str, peers: float, *, unit: str = "s", floor: str = "", **more: Any) -> Row:
    """A line of the table: our figure, the peer's in the same run, and peer / ours (above 1: we are faster)."""
    return {
        "job": job,
        "ours": float(f"{ours:.4g}"),
        "peer": peer,
        "peers": float(f"{peers:.4g}"),
        "unit": unit,
        "ratio": round(peers / ours if unit == "s" else ours / peers, 3),
        "asked": floor,
        **more,
    }


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    packages = ("unseen", "torch", "numpy", "scikit-learn", "timm", "onnxruntime", "faiss-cpu")
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load before": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
