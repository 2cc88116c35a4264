"""Captions in shares, which this process, several, or Ray's workers read and work through by themselves."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unseen.methods.curation.concept_frequency.postings import CHUNK, chunks
from unseen.scale import Engine, cluster, each
from unseen.scale.actors import places

Setting = TypeVar("Setting")
Result = TypeVar("Result")
Span = tuple[int, int]
"""From where on, and up to where: bytes, rows or shards, as a source counts them."""

EACH = 4
"""Shares per process: one that is held up takes fewer."""


@runtime_checkable
class Source(Iterable[pa.Array], Protocol):
    """Captions that any process can read a share of.

    Attributes
    ----------
    bad : list of str
        What could not be read of the last share, and why.
    empty : list of int
        Of each piece that was read of it, how many captions say nothing (`without_words`).
    """

    bad: list[str]
    empty: list[int]

    def shares(self, processes: int) -> Iterable[Span]:
        """Spans that follow each other and make up the whole."""

    def read(self, share: Span) -> Iterator[pa.Array]:
        """The texts of a span, in pieces of any length."""


@dataclasses.dataclass
class Rows:
    """A `Source` of captions that are in memory."""

    pieces: Sequence[pa.Array]
    bad: list[str] = dataclasses.field(default_factory=list)
    empty: list[int] = dataclasses.field(default_factory=list)

    def __iter__(self) -> Iterator[pa.Array]:
        return iter(self.pieces)

    def shares(self, processes: int) -> list[Span]:
        return evenly(sum(map(len, self.pieces)), EACH * processes)

    def read(self, share: Span) -> Iterator[pa.Array]:
        return within_span(self.pieces, share)


def without_words(piece: pa.Array) -> int:
    """How many captions of a piece are missing, or nothing but white space."""
    said = pc.sum(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(piece)), 0)).as_py()
    return len(piece) - (said or 0)


def evenly(n: int, k: int) -> list[Span]:
    """`n` things in at most `k` spans that are as long as each other."""
    ends = np.linspace(0, n, max(min(n, k), 1) + 1).astype(int).tolist()
    return list(zip(ends, ends[1:]))


def within_span(pieces: Iterable[pa.Array], span: Span, first: int = 0) -> Iterator[pa.Array]:
    """What of the pieces lies in a span of rows, where the first piece begins with the row `first`."""
    for piece in pieces:
        start, stop = max(span[0] - first, 0), min(span[1] - first, len(piece))
        if start < stop:
            yield piece.slice(start, stop - start)
        first += len(piece)
        if first >= span[1]:
            return


def each_share(
    function: Callable[[Setting, Iterable[pa.Array]], Result],
    captions: Iterable[str | None] | pa.Array | pa.ChunkedArray | Source,
    setting: Setting,
    *,
    chunk: int = CHUNK,
    processes: int = 1,
    engine: Engine | None = None,
) -> Iterator[Result]:
    """Yield ``function(setting, chunks)`` for every share of the captions, in their order.

    Parameters
    ----------
    function : callable
        Of a module, so that other processes find it; it is given the chunks of a share, one at a time.
    captions : iterable of n str or None, column of Arrow, or Source
        One process reads them as they come. Several read a source each for themselves; what is none is held in memory
        first and inherited (with Ray, sent once).
    setting : picklable
    chunk : int, > 0
        Captions that are read at once.
    processes : int, > 0
        Forked where the system forks (nothing is imported again), else spawned.
    engine : Engine, optional
        This machine's processes if absent. With Ray a source must be found under the same path on every machine.

    Raises
    ------
    ValueError
        If chunk or processes are less than 1, or processes are asked for beside Ray.
    """
    engine = engine or Engine()
    if chunk < 1 or processes < 1:
        raise ValueError(f"chunk and processes must be at least 1; got {chunk} and {processes}")
    if processes > 1 and engine.name == "ray":
        raise ValueError(f"processes={processes} is for engine 'process'; Ray takes all of its processors")
    if processes == 1 and engine.name == "process":
        yield function(setting, chunks(captions, chunk))
        return
    source = captions if isinstance(captions, Source) else Rows(list(chunks(captions, chunk)))
    work = _Work(function, setting, source, chunk)
    source.bad.clear()
    source.empty.clear()
    for result, bad, empty in _on_ray(work, engine) if engine.name == "ray" else _in_processes(work, processes):
        source.bad.extend(bad)
        source.empty.extend(empty)
        yield result


@dataclasses.dataclass(frozen=True)
class _Work(Generic[Setting, Result]):
    """What every worker is given once."""

    function: Callable[[Setting, Iterable[pa.Array]], Result]
    setting: Setting
    source: Source
    chunk: int


Share = tuple[Result, list[str], list[int]]
"""The result of a share, what could not be read of it, and how many captions of its pieces say nothing."""


def _done(work: _Work[Any, Result], share: Span) -> Share[Result]:
    work.source.bad.clear()
    work.source.empty.clear()
    result = work.function(work.setting, chunks(work.source.read(share), work.chunk))
    return result, list(work.source.bad), list(work.source.empty)


def _on_ray(work: _Work[Any, Result], engine: Engine) -> Iterator[Share[Result]]:
    with cluster(engine) as ray:
        shares = list(work.source.shares(places(engine, ray.cluster_resources())))
        yield from each(_done, shares, work, engine=engine, label="captions")


def _in_processes(work: _Work[Any, Result], processes: int) -> Iterator[Share[Result]]:
    """Forked processes inherit the work; spawned ones are sent it."""
    kind = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(kind)
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_hold, initargs=(work,))
    try:
        waiting = deque(pool.submit(_done_here, share) for share in work.source.shares(processes))
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


_held: list[_Work[Any, Any]] = []


def _hold(work: _Work[Any, Any]) -> None:
    _held[:] = [work]


def _done_here(share: Span) -> Share[Any]:
    return _done(_held[0], share)
