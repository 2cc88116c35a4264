"""Where and how work runs: device, threads, folder, progress, seeds. No method has such an argument."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import os
import random
import sys
import threading
import time
import types
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from unseen.files import about, beside, put

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Runtime:
    """The settings that are in force; read them with `current()`.

    Attributes
    ----------
    device : str
        A torch device, such as ``"cpu"`` or ``"cuda:0"``.
    threads : int
        Threads of one fit. One, unless told otherwise: results are then equal on every machine of a kind.
    folder : Path or None
        Where training stages keep their checkpoints. None keeps none.
    progress : bool
        Whether long work shows a bar on standard error.
    precision : {"fp32", "bf16"}
        What training computes in. bf16 is slower on most CPUs.
    work : str
        A hash of what is being done: method, hyperparameters and inputs. Checkpoints are of use to the same work
        only; `Method` sets it.
    """

    device: str = "cpu"
    threads: int = 1
    folder: Path | None = None
    progress: bool = False
    precision: str = "fp32"
    work: str = ""


_current: contextvars.ContextVar[Runtime] = contextvars.ContextVar("unseen_runtime", default=Runtime())  # noqa: B039 - frozen


def current() -> Runtime:
    """Return the settings in force."""
    return _current.get()


@contextlib.contextmanager
def runtime(
    *,
    device: str | None = None,
    threads: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    precision: str | None = None,
) -> Iterator[Runtime]:
    """Say where and how the work inside the block runs; what is not named stays as it was.

    Raises
    ------
    ValueError
        If a setting is not among those that `Runtime` tells, or this machine has no such device.

    Examples
    --------
    >>> import unseen
    >>> with unseen.runtime(threads=2) as settings:
    ...     settings.threads
    2
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    if precision not in (None, "fp32", "bf16"):
        raise ValueError(f"precision must be 'fp32' or 'bf16', got {precision!r}")
    if device is not None:
        _check_device(device)
    given = {"device": device, "threads": threads, "progress": progress, "precision": precision}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if folder is not None:
        changes["folder"] = Path(folder)
    token = _current.set(dataclasses.replace(_current.get(), **changes))
    try:
        yield _current.get()
    finally:
        _current.reset(token)


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise ValueError(f"device must be one of this machine, such as 'cpu'; got {device!r} ({reason})") from error


@contextlib.contextmanager
def without_checkpoints() -> Iterator[None]:
    """Run the block with no checkpoint folder, whatever the surroundings say."""
    token = _current.set(dataclasses.replace(_current.get(), folder=None))
    try:
        yield
    finally:
        _current.reset(token)


@contextlib.contextmanager
def identified(work: str) -> Iterator[None]:
    """Name the work that the block does, within what surrounds it."""
    token = _current.set(dataclasses.replace(_current.get(), work=f"{_current.get().work}/{work}"))
    try:
        yield
    finally:
        _current.reset(token)


@contextlib.contextmanager
def limited_threads() -> Iterator[None]:
    """Run the block on the runtime's threads: on small tables more of them wait for each other."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(current().threads)
    try:
        with threadpool_limits(current().threads):
            yield
    finally:
        torch.set_num_threads(before)


_generators = threading.RLock()
"""Who holds it may seed the generators that all threads of this process draw from."""


def _new_lock() -> None:
    """A fork has a copy of the lock, which nobody in it would ever let go."""
    global _generators
    _generators = threading.RLock()


os.register_at_fork(after_in_child=_new_lock)


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed torch, NumPy and Python, limit the threads, and put everything back afterwards.

    The generators are those of the whole process: of several threads one is in such a block, and the others wait. A
    block may stand in another one of its thread; it must not wait for a thread that has one of its own.
    """
    with _generators:
        yield from _seeded(seed)


def _seeded(seed: int) -> Iterator[None]:
    import numpy as np
    import torch

    before = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    try:
        with limited_threads():
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


def leads() -> bool:
    """Whether this is the first of the processes that a launcher has started, the one that speaks; alone it is."""
    return int(os.environ.get("WORLD_SIZE", "1")) < 2 or int(os.environ.get("RANK", "0")) == 0


def data_folder() -> Path:
    """Where a user's data lie, which nothing can make again: ``UNSEEN_DATA``, else the platform's folder for data."""
    import platformdirs

    return Path(os.environ.get("UNSEEN_DATA") or platformdirs.user_data_dir("unseen"))


def cache_folder() -> Path:
    """Where everything lies that can be made again: ``UNSEEN_CACHE``, else the platform's folder for caches."""
    import platformdirs

    return Path(os.environ.get("UNSEEN_CACHE") or platformdirs.user_cache_dir("unseen"))


def share_one_heap() -> bool:
    """Let all threads take memory from one heap; it must be said before there are threads that did.

    Else glibc gives each thread a heap of its own that holds nothing above 64 MB: the maps of a batch of pictures are
    asked of the system anew for every layer. Statistics of two domains beside each other, 2 cores, one run of each:
    11.3 s, of which the system took 9.4 of a processor; with one heap 7.2 s and 0.4.

    Returns
    -------
    bool
        Whether it was done.
    """
    return tell_malloc({-8: 1})  # M_ARENA_MAX of malloc.h


def tell_malloc(settings: Mapping[int, int]) -> bool:
    """Set what glibc's malloc goes by, for the whole process; not without glibc or with ``UNSEEN_KEEP_MEMORY=0``."""
    if os.environ.get("UNSEEN_KEEP_MEMORY") == "0" or not sys.platform.startswith("linux"):
        return False
    import ctypes

    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or not hasattr(library, "gnu_get_libc_version"):
        return False
    return all(library.mallopt(name, value) == 1 for name, value in settings.items())


@contextlib.contextmanager
def replacing(file: str | os.PathLike[str]) -> Iterator[Path]:
    """A file of the same name in a hidden folder beside, for the block to write: it becomes `file`, or nothing is left.

    An error of the system, such as a full disk, names `file`.
    """
    file = Path(file)
    with beside(file) as part, about(file, part):
        yield part / file.name
        (part / file.name).replace(file)


@contextlib.contextmanager
def replacing_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """An empty folder beside `folder` for the block to fill: it then becomes `folder`, or nothing is left.

    It changes places with what was there before, at once where the system can do that: whenever the process is killed,
    one of the two is there, whole. What a kill leaves beside it is removed by the next one who writes there.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with beside(folder) as part:
        yield part
        put(part, folder)


def refuse_file(folder: Path) -> None:
    """Raise `FileExistsError` where a file stands in the place of a folder that is to be written."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; a folder is written there")


@contextlib.contextmanager
def replacing_files(folder: str | os.PathLike[str], names: Collection[str]) -> Iterator[Path]:
    """An empty folder for the block to write what has these `names` into: it takes the place of that in `folder`.

    All at once, so that a reader finds files and folders of one run; files of other names stay. Where `folder` holds
    other folders, which cannot be in two places, or cannot itself be moved, one is replaced after the other.
    """
    folder = Path(folder)
    refuse_file(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fixed = folder.is_symlink() or folder.is_mount() or (folder.is_dir() and not os.access(folder.parent, os.W_OK))
    with beside(folder / "files" if fixed else folder) as part:
        yield part
        others = [entry for entry in folder.iterdir() if entry.name not in names] if folder.is_dir() else []
        if fixed or not all(_linked(entry, part) for entry in others):
            _one_by_one(part, folder, names)
        else:
            if folder.is_dir():
                part.chmod(folder.stat().st_mode)
            put(part, folder)


def _linked(entry: Path, part: Path) -> bool:
    """Give a file a second name in another folder; False where that cannot be."""
    try:
        os.link(entry, part / entry.name, follow_symlinks=False)
    except (OSError, NotImplementedError):
        return False
    return True


def _one_by_one(part: Path, folder: Path, names: Collection[str]) -> None:
    for name in names:
        if (part / name).is_dir():
            put(part / name, folder / name)
        elif (part / name).exists():
            (part / name).replace(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)


_seconds: contextvars.ContextVar[dict[str, float] | None] = contextvars.ContextVar("unseen_stages", default=None)


@contextlib.contextmanager
def stages() -> Iterator[dict[str, float]]:
    """Collect the seconds of every `stage` that the block goes through, by name."""
    seconds: dict[str, float] = {}
    token = _seconds.set(seconds)
    try:
        yield seconds
    finally:
        _seconds.reset(token)


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Give a part of the work a name; its seconds are counted where `stages` asks for them."""
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds = _seconds.get()
        if seconds is not None:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began


Seen = Callable[[str, int, int], None]
_seen: contextvars.ContextVar[Seen | None] = contextvars.ContextVar("unseen_watcher", default=None)


@contextlib.contextmanager
def watched(seen: Seen) -> Iterator[None]:
    """Tell `seen` of all long work that the block does: its label, the items that are done, and how many there are.

    Examples
    --------
    >>> from unseen.runtime import track, watched
    >>> with watched(print):
    ...     found = list(track("ab", "letters"))
    letters 0 2
    letters 1 2
    letters 2 2
    """
    token = _seen.set(seen)
    try:
        yield
    finally:
        _seen.reset(token)


def _told(items: Sequence[T], label: str, seen: Seen) -> Generator[T, None, None]:
    seen(label, 0, len(items))
    for done, item in enumerate(items, 1):
        yield item
        seen(label, done, len(items))


def track(items: Sequence[T], label: str, weights: Sequence[float] = ()) -> Generator[T, None, None]:
    """Yield the items; if the runtime asks for progress, show how far this is on standard error, or tell who watches.

    A terminal has one bar. Elsewhere (a pipe, a log) a plain line is written every few seconds, one for all that is
    at work: ``fitting: 12 of 45, 14 s, about 38 s left``. `weights` say how long each item takes beside the others,
    about; all alike if absent.
    """
    if (seen := _seen.get()) is not None:
        yield from _told(items, label, seen)
        return
    if not (current().progress and leads()):
        yield from items
        return
    if not sys.stderr.isatty():
        yield from _in_lines(items, label, weights)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    each = weights or [1.0] * len(items)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(label), total=sum(each))
        for item, weight in zip(items, each):
            yield item
            bar.advance(task, weight)


FIRST_LINE, NEXT_LINE = 2.0, 5.0
"""Seconds of work after which progress is first told in a line, and then again."""


@dataclasses.dataclass
class _AtWork:
    """A `track` that writes lines: what it is of, how far it is, how far it was when last told, and since when."""

    label: str
    of: int
    weights: Sequence[float] = ()
    done: int = 0
    reported: int = 0
    began: float = dataclasses.field(default_factory=lambda: time.monotonic())


_at_work: list[_AtWork] = []
_last_line = 0.0


def _in_lines(items: Sequence[T], label: str, weights: Sequence[float] = ()) -> Generator[T, None, None]:
    """The items; a line about all that is at work, the outermost first, where none was written for a while."""
    global _last_line
    mine = _AtWork(label, len(items), weights)
    _at_work.append(mine)
    try:
        for item in items:
            now = time.monotonic()
            if now - _at_work[0].began >= FIRST_LINE and now - _last_line >= NEXT_LINE:
                _last_line = now
                sys.stderr.write(_how_far(_at_work, now) + "\n")
                sys.stderr.flush()
            yield item
            mine.done += 1
    finally:
        _at_work.remove(mine)


def _how_far(work: Sequence[_AtWork], now: float) -> str:
    """A line: the outermost work with its seconds and those left at its pace; where it stands still, what it does."""
    first = work[0]
    seconds, moves, first.reported = now - first.began, first.done != first.reported, first.done
    weights = first.weights or [1.0] * first.of
    left = ""
    if first.done:
        left = f", about {seconds * sum(weights[first.done :]) / sum(weights[: first.done]):.0f} s left"
    inner = "" if moves else "".join(f"; {task.label}: {task.done} of {task.of}" for task in work[1:])
    return f"{first.label}: {first.done} of {first.of}, {seconds:.0f} s{left}{inner}"


class _CallableModule(types.ModuleType):
    """Lets `unseen.runtime` be both this module and the context manager in it."""

    def __call__(self, **settings: Any) -> contextlib.AbstractContextManager[Runtime]:
        return runtime(**settings)


sys.modules[__name__].__class__ = _CallableModule
