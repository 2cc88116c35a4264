"""Items done in processes beside this one, which works on them, too."""

from __future__ import annotations

import contextlib
import logging
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from logging.handlers import QueueHandler
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from unseen.runtime import Runtime, current, runtime, track

Item = TypeVar("Item")
Result = TypeVar("Result")
Shared = TypeVar("Shared")


def beside(
    function: Callable[[Shared, Item], Result],
    items: Sequence[Item],
    shared: Shared,
    helpers: int,
    label: str,
    weights: Sequence[float] = (),
) -> Iterator[Result]:
    """Yield ``function(shared, item)`` for every item, in their order; `helpers` other processes take part.

    This process begins alone; the others start when it has worked for `ALONE` seconds, and take items from the front
    while it takes them from the end. There are fewer where memory is short: each may take as much as this one did at
    its most. They never run the program that called (no guard of ``__main__`` is needed). What is logged in them is
    logged here, when the item is yielded.
    """
    started, pool = time.monotonic(), None
    futures: dict[int, Any] = {}
    done: dict[int, Any] = {}
    try:
        for place in track(range(len(items)), label, weights):
            if pool is None and time.monotonic() - started > ALONE and len(items) - place > 1:
                several = _affordable(min(helpers, len(items) - place - 1))
                pool = _pool(several, function, shared) if several else None
            if pool is not None and not futures:
                futures = {k: pool.submit(_done, items[k]) for k in range(place, len(items))}
            if pool is None:
                yield function(shared, items[place])
                continue
            while place not in done and not futures[place].done():
                last = next(
                    (k for k in reversed(range(place, len(items))) if k not in done and futures[k].cancel()), None
                )
                if last is None:  # all that is left runs elsewhere
                    break
                done[last] = function(shared, items[last])
            yield done.pop(place) if place in done else _told(*futures[place].result())
    finally:
        if pool is not None:
            pool.shutdown(wait=False, kill_workers=True)


ALONE = 2.0
"""Seconds of work from which on it is worth to start a process, which takes as long."""


def _affordable(helpers: int) -> int:
    """As many of some processes as memory is left for, if each takes what this one took at its most."""
    left = _memory_left()
    if left is None:
        return helpers
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return min(helpers, left // most)


def _memory_left() -> int | None:
    """Bytes that processes of this machine, or of this container, may still take; None where nothing tells."""
    contents: dict[Path, str] = {}
    for file in (MEMORY, *(GROUP / name for name in ("memory.max", "memory.current"))):
        with contextlib.suppress(OSError):
            contents[file] = file.read_text()
    machine = re.search(r"^MemAvailable:\s*(\d+) kB", contents.get(MEMORY, ""), re.MULTILINE)
    left = [] if machine is None else [1024 * int(machine[1])]
    most, taken = (contents.get(GROUP / name, "").strip() for name in ("memory.max", "memory.current"))
    if most.isdigit() and taken.isdigit():
        left.append(max(0, int(most) - int(taken)))
    return min(left, default=None)


MEMORY, GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
"""Where Linux tells how much memory is left, of the machine and of a container."""


def _pool(helpers: int, function: Callable[[Any, Any], Any], shared: Any) -> Any:
    from loky import ProcessPoolExecutor

    return ProcessPoolExecutor(helpers, initializer=_begin, initargs=(function, shared, current()), env=KEEPS)


KEEPS = {"LOKY_MAX_MEMORY_LEAK_SIZE": "2e9"}
"""A process that keeps what items share, such as a model, grows and leaks nothing: with loky's 300 MB it is ended, and
another one begins from nothing."""


_work: list[Any] = []


def _begin(function: Callable[[Any, Any], Any], shared: Any, settings: Runtime) -> None:
    _work[:] = [function, shared, settings]


def _done(item: Any) -> tuple[Any, list[logging.LogRecord]]:
    """What the function makes of an item, and what was logged meanwhile."""
    function, shared, settings = _work
    logged: SimpleQueue[logging.LogRecord] = SimpleQueue()
    logging.root.handlers[:] = [QueueHandler(logged)]
    with runtime(
        device=settings.device, threads=settings.threads, precision=settings.precision, folder=settings.folder
    ):
        result = function(shared, item)
    return result, [logged.get() for _ in range(logged.qsize())]


def _told(result: Any, logged: list[logging.LogRecord]) -> Any:
    """The result, once what was logged is logged here."""
    for record in logged:
        logging.getLogger(record.name).handle(record)
    return result
