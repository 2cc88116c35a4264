"""`Apart`: what strangers wrote is read in a copy of this process, which may die of it."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

SECONDS, MEMORY = 10.0, 2**30
"""Of a processor, and bytes beside what the process had before, that one piece of work may take."""

PATIENCE = 10
"""How many times the seconds of a processor an answer is waited for: others may have it, or the process may hang."""

Work = Callable[..., Any]


class TooMuch(RuntimeError):  # noqa: N818
    """A piece of work took more time or memory than it may, or ended its process."""


class Apart:
    """Does one piece of work after the other in a copy of this process, made anew after a piece that it died of.

    A parser in C cannot be stopped from outside of it but by the end of its process.

    Parameters
    ----------
    work : callable
        A function of a module: from bytes, and texts, to what JSON can say.
    seconds : float, > 0
        Of a processor, for each piece.
    memory : int, > 0
        Bytes beside what the process had before.
    """

    def __init__(self, work: Work, *, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self.work, self.seconds, self.memory = work, seconds, memory
        kind = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
        self._context: Any = multiprocessing.get_context(kind)
        self._process: Any = None
        self._pipe: Connection | None = None

    def __call__(self, content: bytes, *texts: str) -> Any:
        """What the work makes of this.

        Raises
        ------
        TooMuch
            If it took more than it may.
        ValueError
            If the work raised something; its message says what.
        """
        pipe = self._begun()
        try:
            pipe.send_bytes(json.dumps(texts).encode())
            pipe.send_bytes(content)
            if not pipe.poll(PATIENCE * self.seconds):
                raise EOFError("no answer")
            failed, made = json.loads(pipe.recv_bytes())
        except (EOFError, OSError) as error:
            self.close()
            raise TooMuch(f"it took more than {self.seconds:g} s or {self.memory / 2**30:g} GiB") from error
        except BaseException:  # the answer to this piece must not be taken for that to the next
            self.close()
            raise
        if failed:
            raise ValueError(made)
        return made

    def _begun(self) -> Connection:
        if self._pipe is None:
            mine, theirs = self._context.Pipe()
            with theirs, contextlib.ExitStack() as undone:
                undone.callback(mine.close)
                process = self._context.Process(
                    target=_serve, args=(theirs, mine, self.work, self.seconds, self.memory), daemon=True
                )
                process.start()
                undone.pop_all()
            self._process, self._pipe = process, mine
        return self._pipe

    def close(self) -> None:
        """End the process, if there is one; another piece of work begins a new one."""
        if self._pipe is None:
            return
        self._pipe.close()
        self._process.kill()
        self._process.join()
        self._pipe = self._process = None


def _serve(pipe: Connection, theirs: Connection, work: Work, seconds: float, memory: int) -> None:
    """Answer pieces of work until nobody asks."""
    theirs.close()  # else this copy would hold its own line open
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks is told, and closes the line
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # it ends the process, also in the middle of a parser
    with contextlib.suppress(OSError):  # where nothing tells how much there is, there is no bound
        there = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        mine = there + memory if most == resource.RLIM_INFINITY else min(there + memory, most)
        resource.setrlimit(resource.RLIMIT_AS, (mine, most))
    while True:
        try:
            texts, content = json.loads(pipe.recv_bytes()), pipe.recv_bytes()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            answer = json.dumps([False, work(content, *texts)])
        except MemoryError:
            return
        except Exception as error:
            answer = json.dumps([True, f"{type(error).__name__}: {error}"])
        signal.setitimer(signal.ITIMER_PROF, 0)
        pipe.send_bytes(answer.encode())
