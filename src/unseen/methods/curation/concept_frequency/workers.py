"""Chunks of captions in one process or several, in their order."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

import pyarrow as pa

Setting = TypeVar("Setting")
Result = TypeVar("Result")

AHEAD = 2
"""Chunks per process that wait to be read, at most: memory does not grow with the corpus."""


def each_chunk(
    function: Callable[[Setting, pa.Array], Result], chunks: Iterable[pa.Array], setting: Setting, processes: int = 1
) -> Iterator[Result]:
    """Yield ``function(setting, chunk)`` for every chunk, in their order, whatever the number of processes.

    Parameters
    ----------
    function : callable
        Of a module, so that other processes find it.
    processes : int, >= 1
        Forked where the system forks (nothing is imported again), else spawned.
    """
    if processes == 1:
        for chunk in chunks:
            yield function(setting, chunk)
        return
    kind = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context(kind)) as pool:
        for chunk in chunks:
            waiting.append(pool.submit(function, setting, _alone(chunk)))
            if len(waiting) >= AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _alone(chunk: pa.Array) -> pa.Array:
    """A chunk without the column that it is a slice of, which would travel along."""
    return pa.concat_arrays([chunk]) if chunk.offset or chunk.nbytes < sum(_sizes(chunk)) else chunk


def _sizes(chunk: pa.Array) -> list[int]:
    return [buffer.size for buffer in chunk.buffers() if buffer is not None]
