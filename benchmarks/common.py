"""What every benchmark shares: medians, environments of peers, and a table of ratios."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
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


def processor(job: Callable[[], Any]) -> float:
    """Seconds of processors that a job takes here and in the processes that it starts and waits for."""
    before = _used()
    job()
    return _used() - before


def _used() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def processor_in_turns(*jobs: Callable[[], Any], repeats: int = 5) -> list[float]:
    """Median processor seconds of several jobs that take turns; others on the machine count less than in wall time."""
    taken = [[processor(job) for job in jobs] for _ in range(repeats)]
    return [statistics.median(times) for times in zip(*taken)]


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


def environment(folder: Path, needs: Sequence[str]) -> Path | None:
    """The Python of a new environment of a peer's own; None, with the reason printed, where it cannot be had."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    return python if _installed(python, needs) else None


def importable(folder: Path, needs: Sequence[str]) -> bool:
    """Put packages into `folder`, without what they depend on, for this process alone; False where there are none."""
    done = _installed(Path(sys.executable), needs, "--no-deps", "--target", str(folder))
    if done:
        sys.path.append(str(folder))
    return done


def _installed(python: Path, needs: Sequence[str], *options: str) -> bool:
    order = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options, *needs]
    done = subprocess.run(order, capture_output=True, text=True)
    if done.returncode:
        print(f"{needs[0]} is left out: {(done.stderr.strip().splitlines() or ['pip failed'])[-1]}")
    return not done.returncode


def called(python: Path, program: str, *arguments: str) -> bool:
    """Run a program in a peer's environment; False, with its last word printed, where it fails."""
    done = subprocess.run([str(python), "-I", "-c", program, *arguments], capture_output=True, text=True)
    if done.returncode:
        print(f"a peer is left out: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}")
    return not done.returncode


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    from unseen.encoders.states import processor

    packages = ("unseen", "torch", "numpy", "scikit-learn", "timm", "onnxruntime", "faiss-cpu")
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load before": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "versions": versions,
    }
