"""Work on all units or shards, in process or on Ray: what fails is tried again at the end, then reported."""

from __future__ import annotations

import contextlib
import errno
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from unseen.curation.stages import Job
from unseen.scale import Engine, each

log = logging.getLogger(__name__)

ATTEMPTS = 2
"""How often a shard is tried in a run before it is reported."""


class Failure(NamedTuple):
    """A shard or unit that could not be done, and why."""

    stage: str
    number: int
    error: str
    wrong: bool = False
    """Whether it is the input's own fault, which another try would meet again."""


class DiskFull(Exception):  # noqa: N818 - it ends the run early, with its books
    """No more can be written; `failures` are those met until then."""

    def __init__(self, failures: list[Failure]) -> None:
        super().__init__("the disk is full")
        self.failures = failures


_PART = re.compile(r"\d+ requested and \d+ written")
"""What NumPy says, without a number of the error, if the disk took a part of an array."""


def is_full(error: BaseException) -> bool:
    """Whether an error says that no more can be written."""
    if not isinstance(error, OSError):
        return False
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or (error.errno is None and bool(_PART.search(str(error))))


@contextlib.contextmanager
def told_if_full(what: str) -> Iterator[None]:
    """Say what could not be written if the disk is full."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        message = f"the disk is full, so {what} could not be written: free some space and run the same command again"
        raise OSError(errno.ENOSPC, message) from error


def run_each(
    name: str, function: Callable[[Job, Any], int], job: Job, items: Sequence[Any], engine: Engine | None
) -> list[Failure]:
    """Do all items; those that fail once more at the end; what fails then. A full disk ends it at once.

    What fails by a `ValueError` would do so again, and is not tried twice.
    """
    failed: list[tuple[Any, _Told]] = []
    again, full = list(items), False
    for attempt in range(ATTEMPTS):
        if not again or full:
            break
        if attempt:
            log.warning("%s: trying %d of %d again", name, len(again), len(items))
            failed = [(item, outcome) for item, outcome in failed if outcome.wrong]
        for item, outcome in zip(again, _each(name, function, job, again, engine)):
            if outcome.error:
                failed.append((item, outcome))
            if outcome.full:
                full = True
                break
        again = [item for item, outcome in failed if not outcome.wrong]
    failures = [Failure(name, getattr(item, "number", item), outcome.error, outcome.wrong) for item, outcome in failed]
    for failure in failures:
        log.warning("%s of shard %s failed: %s", name, failure.number, failure.error)
    if full:
        raise DiskFull(failures)
    return failures


class _Told(NamedTuple):
    """What went wrong with an item, or nothing; whether the disk is full."""

    error: str
    full: bool = False
    wrong: bool = False


def _each(
    name: str, function: Callable[[Job, Any], int], job: Job, items: Sequence[Any], engine: Engine | None
) -> Iterator[_Told]:
    """What became of every item; if a worker of Ray is lost for good, that is told of it and of all after it."""
    done = 0
    try:
        for outcome in each(_guarded, [(function, item) for item in items], job, engine=engine, label=name):
            done += 1
            yield outcome
    except Exception as error:
        if engine is None or engine.name != "ray" or not type(error).__module__.startswith("ray."):
            raise
        for _ in items[done:]:
            yield _Told(f"a worker of Ray was lost: {type(error).__name__}: {error}".splitlines()[0])


def _guarded(job: Job, task: tuple[Callable[[Job, Any], int], Any]) -> _Told:
    """Do one item; what went wrong, or nothing."""
    function, item = task
    try:
        function(job, item)
    except ValueError as error:
        log.debug("a shard failed", exc_info=True)
        return _Told(str(error) or type(error).__name__, wrong=True)
    except Exception as error:  # a shard's failure is reported, and does not take the others down
        log.debug("a shard failed", exc_info=True)
        if is_full(error):
            return _Told(f"the disk is full, so the run stopped here: {error}", full=True)
        return _Told(f"{type(error).__name__}: {error}")
    return _Told("")
