"""Items done in processes beside this one, which works on them, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from unseen.runtime import Runtime, current, runtime, track

Item = TypeVar("Item")
Result = TypeVar("Result")
Shared = TypeVar("Shared")


def beside(
    function: Callable[[Shared, Item], Result], items: Sequence[Item], shared: Shared, helpers: int, label: str
) -> Iterator[Result]:
    """Yield ``function(shared, item)`` for every item, in their order; `helpers` other processes take part.

    This process begins alone; the others start when it has worked for `ALONE` seconds, and take items from the front
    while it takes them from the end. They never run the program that called (no guard of ``__main__`` is needed).
    """
    started, pool = time.monotonic(), None
    futures: dict[int, Any] = {}
    own: dict[int, Any] = {}
    try:
        for place in track(range(len(items)), label):
            if pool is None and time.monotonic() - started > ALONE and len(items) - place > 1:
                pool = _pool(min(helpers, len(items) - place - 1), function, shared)
                futures = {k: pool.submit(_done, items[k]) for k in range(place, len(items))}
            if pool is None:
                yield function(shared, items[place])
                continue
            while place not in own and not futures[place].done():
                last = next(
                    (k for k in reversed(range(place, len(items))) if k not in own and futures[k].cancel()), None
                )
                if last is None:  # all that is left runs elsewhere
                    break
                own[last] = function(shared, items[last])
            yield own.pop(place) if place in own else futures[place].result()
    finally:
        if pool is not None:
            pool.shutdown(wait=False, kill_workers=True)


ALONE = 2.0
"""Seconds of work from which on it is worth to start a process, which takes as long."""


def _pool(helpers: int, function: Callable[[Any, Any], Any], shared: Any) -> Any:
    from loky import ProcessPoolExecutor

    return ProcessPoolExecutor(helpers, initializer=_begin, initargs=(function, shared, current()))


_work: list[Any] = []


def _begin(function: Callable[[Any, Any], Any], shared: Any, settings: Runtime) -> None:
    _work[:] = [function, shared, settings]


def _done(item: Any) -> Any:
    function, shared, settings = _work
    with runtime(
        device=settings.device, threads=settings.threads, precision=settings.precision, folder=settings.folder
    ):
        return function(shared, item)
