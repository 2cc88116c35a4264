"""One map over items, in this process or on Ray; it knows none of the nouns of the library."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar

from unseen.runtime import Runtime, current, runtime, track
from unseen.scale.processes import beside

Item = TypeVar("Item")
Result = TypeVar("Result")
Shared = TypeVar("Shared")

NAMES = ("process", "ray")
MOST_WORKERS = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Engine:
    """Where work over many items runs.

    Parameters
    ----------
    name : {"process", "ray"}
        This process, or Ray: all cores of this machine, or a cluster.
    address : str, optional
        Of a running Ray cluster, such as ``auto`` or ``ray://head:10001``; Ray is started here if absent.
    cpus, gpus : float, >= 0
        What Ray sets aside for an item; fractions let several share one.
    retries : int, >= 0
        How often an item is done again whose worker or machine died. An error of the work itself is not retried.
    workers : int, >= 0
        Of the engine "process": how many processes of this machine take part, this one among them; 0 is one for each
        core, up to 8. Functions, items and results must then be picklable, and results are the same bits.

    Raises
    ------
    ValueError
        If a setting is out of range, or an address is given without Ray.
    """

    name: Literal["process", "ray"] = "process"
    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    retries: int = 3
    workers: int = 1

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"engine must be one of {', '.join(NAMES)}; got {self.name!r}")
        if self.address is not None and self.name != "ray":
            raise ValueError(f"address={self.address!r} is for engine 'ray'; the engine is {self.name!r}")
        for key in ("cpus", "gpus", "retries", "workers"):
            if getattr(self, key) < 0:
                raise ValueError(f"{key} must be at least 0; got {getattr(self, key)}")

    def helpers(self, items: int) -> int:
        """How many processes beside this one may take part in so many items, with the engine "process"."""
        return min(self.workers or min(os.cpu_count() or 1, MOST_WORKERS), items) - 1


def each(
    function: Callable[[Shared, Item], Result],
    items: Sequence[Item],
    shared: Shared,
    *,
    engine: Engine | None = None,
    label: str = "working",
    weights: Sequence[float] = (),
) -> Iterator[Result]:
    """Yield ``function(shared, item)`` for every item, in their order; `weights` are for `unseen.runtime.track`.

    With Ray, `shared` travels once and must not be changed; function, items and results must be picklable. Device,
    threads and precision are those of the caller wherever an item is done, so that results are the same bits.

    Raises
    ------
    ImportError
        If Ray is wanted and not installed.
    """
    engine = engine or Engine()
    if engine.name == "process":
        helpers = engine.helpers(len(items))
        if helpers > 0:
            yield from beside(function, items, shared, helpers, label, weights)
            return
        for item in track(items, label, weights):
            yield function(shared, item)
        return
    with cluster(engine) as ray:
        kept = ray.put(shared)
        options = {"num_cpus": engine.cpus, "num_gpus": engine.gpus, "max_retries": engine.retries}
        remote = ray.remote(**options)(_done_there)
        results = [remote.remote(function, [kept], item, current()) for item in items]
        for result in track(results, label, weights):
            yield ray.get(result)


def _done_there(function: Callable[[Any, Any], Any], kept: list[Any], item: Any, settings: Runtime) -> Any:
    """An item in a worker of Ray, under the caller's settings."""
    with runtime(device=settings.device, threads=settings.threads, precision=settings.precision, progress=False):
        return function(_unpacked(kept[0]), item)


@functools.lru_cache(maxsize=1)
def _unpacked(reference: Any) -> Any:
    """What all items share, which a worker unpacks for the first of them only."""
    import ray

    return ray.get(reference)


@contextlib.contextmanager
def cluster(engine: Engine) -> Iterator[Any]:
    """Ray, connected, or None for this process; a cluster that was started for the block ends with it."""
    if engine.name == "process":
        yield None
        return
    try:
        import ray
    except ImportError as error:
        raise ImportError("engine 'ray' needs Ray: pip install 'unseen[scale]'") from error
    if ray.is_initialized():
        yield ray
        return
    ray.init(address=engine.address, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    try:
        yield ray
    finally:
        ray.shutdown()
