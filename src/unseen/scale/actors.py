"""One map over numbered items by actors of Ray Data: what is dear to build is built once per actor."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unseen.runtime import Runtime, current, runtime
from unseen.scale import Engine, cluster

Shared = TypeVar("Shared")
Numbers = NDArray[np.int64]
Compute = Callable[[Numbers], NDArray[Any]]


def rows(
    build: Callable[[Shared], Compute], n: int, shared: Shared, *, size: int, engine: Engine
) -> Iterator[tuple[Numbers, NDArray[Any]]]:
    """Yield the rows that actors compute for the numbers 0 to n - 1, as they come, with their numbers.

    Parameters
    ----------
    build : callable
        From `shared` to a function from numbers (k,) to their rows (k, ...); called once in every actor.
    n : int, >= 1
        How many rows there are.
    shared : picklable
        What travels once to every machine.
    size : int, >= 1
        Numbers that an actor is given at a time.
    engine : Engine
        Ray; `cpus` and `gpus` are those of an actor. An actor that dies is started anew, and what it was given is
        done again, `retries` times at most. An error of the work itself is not retried.

    Raises
    ------
    ImportError
        If Ray is not installed.
    """
    with cluster(engine) as ray, _quiet() as data:
        pieces = [np.arange(start, min(start + size, n)) for start in range(0, n, size)]
        results = data.from_numpy(pieces).map_batches(
            _Actor,
            batch_size=size,
            batch_format="numpy",
            fn_constructor_args=(build, [ray.put(shared)], current()),
            compute=data.ActorPoolStrategy(size=min(len(pieces), places(engine, ray.cluster_resources()))),
            num_cpus=engine.cpus,
            num_gpus=engine.gpus,
            max_restarts=engine.retries,
            max_task_retries=engine.retries,
        )
        try:
            for batch in results.iter_batches(batch_size=None, batch_format="numpy"):
                yield batch["number"], batch["row"]
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None


def places(engine: Engine, resources: dict[str, float]) -> int:
    """How many actors fit into the resources of a cluster; at least one."""
    wanted = {"CPU": engine.cpus, "GPU": engine.gpus}
    return max(1, int(min((resources.get(kind, 0) // need for kind, need in wanted.items() if need), default=1)))


def everywhere(function: Callable[[Any], Any], item: Any, *, engine: Engine) -> list[Any]:
    """``function(item)`` on every machine of the cluster."""
    with cluster(engine) as ray:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        remote = ray.remote(num_cpus=0)(function)
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        strategies = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
        return ray.get([remote.options(scheduling_strategy=strategy).remote(item) for strategy in strategies])


class _Actor:
    """Computes rows in a worker of Ray, under the caller's settings."""

    def __init__(self, build: Callable[[Any], Compute], kept: list[Any], settings: Runtime) -> None:
        import ray

        self.settings = settings
        with self._settings():
            self.compute = build(ray.get(kept[0]))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        with self._settings():
            return {"number": batch["data"], "row": self.compute(batch["data"])}

    def _settings(self) -> contextlib.AbstractContextManager[Runtime]:
        at = self.settings
        return runtime(device=at.device, threads=at.threads, precision=at.precision, progress=False)


@contextlib.contextmanager
def _quiet() -> Iterator[Any]:
    """Ray Data without bars, whose errors are those of the work; its settings are put back."""
    import ray.data

    context = ray.data.DataContext.get_current()
    changes = {"enable_progress_bars": False, "raise_original_map_exception": True}
    before = {name: getattr(context, name) for name in changes}
    try:
        for name, value in changes.items():
            setattr(context, name, value)
        yield ray.data
    finally:
        for name, value in before.items():
            setattr(context, name, value)
