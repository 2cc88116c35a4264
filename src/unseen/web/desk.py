"""Runs that the browser started: processes that outlive the app, are found again by their files, and can go on."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from unseen.files import read_object
from unseen.web.job import ANSWER, DATA, JOB, LOCK, OUTCOME, OUTPUT, PROGRESS, write

AT_ONCE = 2
"""Runs that are under way at once."""

LAST_SECONDS = 5.0
"""What a run that is stopped has to end, before it is killed."""

State = Literal["running", "done", "failed", "stopped"]
Task = Literal["compare", "recommend"]

PREFIX: dict[Task, str] = {"compare": "run", "recommend": "advice"}
"""How jobs are called that nobody named."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A run that the browser started.

    Attributes
    ----------
    name : str
    state : {"running", "done", "failed", "stopped"}
        Stopped by the user, or ended by something else before it was done; either can go on.
    inputs : mapping
        What it was given.
    command : str
        The same on a terminal.
    why : str
        What went wrong, in a sentence.
    progress : mapping
        See `unseen.web.progress.Progress.told`; empty before the first.
    task : {"compare", "recommend"}
        Whether methods are run, or the data are looked at to say which to try first.
    """

    name: str
    state: State
    inputs: Mapping[str, Any]
    command: str
    why: str = ""
    progress: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    task: Task = "compare"


class Desk:
    """Starts, finds, stops and continues runs.

    Parameters
    ----------
    runs : path
        Folder of all runs; each has a folder of its own in it.
    program : sequence of str
        What does a job, called with its folder.
    """

    def __init__(self, runs: Path, program: Sequence[str] = (sys.executable, "-m", "unseen.web.job")) -> None:
        self.runs, self.program = runs.resolve(), list(program)
        self.folder = self.runs / ".web" / "jobs"
        self._own: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def all(self) -> list[Job]:
        """All jobs, the newest first."""
        if not self.folder.is_dir():
            return []
        files = [file for file in self.folder.glob(f"*/{JOB}") if not file.parent.is_symlink()]
        names = [file.parent.name for file in sorted(files, key=lambda file: -file.stat().st_mtime)]
        return [job for name in names if (job := self.get(name)) is not None]

    def get(self, name: str) -> Job | None:
        """A job by its name; None if there is none."""
        folder = self._place(name)
        if folder is None:
            return None
        running = self._running(folder)  # before its files are read, which are whole once it has ended
        record, ended, progress = (_json_object(folder / file) for file in (JOB, OUTCOME, PROGRESS))
        if not record:
            return None
        state: State = "stopped"
        if running:
            state = "running"
        elif ended:
            state = ended["state"]
        task = record.get("task", "compare")
        return Job(name, state, record["inputs"], record["command"], ended.get("why", ""), progress, task)

    def answer(self, name: str) -> dict[str, Any]:
        """What a job found that looked at data, as `unseen.compare.recommended.Advice` tells it; empty before."""
        folder = self._place(name)
        return {} if folder is None else _json_object(folder / ANSWER)

    def start(self, name: str, inputs: Mapping[str, Any], task: Task = "compare") -> str:
        """Start a run, or another task, and return its name, which is made up where none is given.

        Raises
        ------
        ValueError
            If the name cannot be a folder's, is taken, or too many runs are under way.
        """
        with self._lock:
            self._room()
            name = name.strip() or self._free(PREFIX[task])
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", name):
                what = "letters a to z, digits, hyphens, dots and underscores, at most 60; the first a letter or digit"
                raise ValueError(f"name: {what}; got {name!r}")
            if (self.runs / name).exists() or (self.folder / name).exists():
                raise ValueError(f"name: there is a run {name!r} already; choose another name")
            out = self.runs / name
            (self.folder / name).mkdir(parents=True)
            line = command(inputs, out if task == "compare" else None, task)
            record = {"task": task, "inputs": dict(inputs), "out": str(out), "command": line}
            write(self.folder / name / JOB, record)
            self._begin(name)
        return name

    def go_on(self, name: str) -> None:
        """Start a run again that was stopped or failed; what it has done is not done again."""
        with self._lock:
            job = self._job(name)
            if job.state in ("running", "done"):
                raise ValueError(f"run {name!r} is {job.state}")
            self._room()
            self._begin(name)

    def stop(self, name: str) -> None:
        """End a run; it can go on later."""
        with self._lock:
            folder = self.folder / self._job(name).name
            pid = self._pid(folder)
            if pid is None:
                return
            threading.Thread(target=_end, args=(pid, folder, self._own.get(name)), daemon=True).start()
        until = time.monotonic() + LAST_SECONDS + 1
        while self._running(folder) and time.monotonic() < until:
            time.sleep(0.05)

    def forget(self, name: str) -> None:
        """Take a run from the list that is not under way and gave no result, with what it left."""
        with self._lock:
            job = self._job(name)
            if job.state == "running":
                raise ValueError(f"run {name!r} is under way; stop it first")
            out = self.runs / name
            unfinished = job.state != "done" and not (out / "results.json").exists() and (out / "config.json").is_file()
            if job.task == "compare" and unfinished:
                shutil.rmtree(out, ignore_errors=True)
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def used(self) -> set[str]:
        """Places that runs read."""
        return {str(job.inputs[word]) for job in self.all() for word in DATA if word in job.inputs}

    # -- parts ---------------------------------------------------------------------------------------------

    def _place(self, name: str) -> Path | None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", name):
            return None
        folder = self.folder / name
        return folder if folder.is_dir() and not folder.is_symlink() else None

    def _job(self, name: str) -> Job:
        job = self.get(name)
        if job is None:
            raise ValueError(f"there is no run {name!r} that was started here")
        return job

    def _room(self) -> None:
        if sum(job.state == "running" for job in self.all()) >= AT_ONCE:
            raise ValueError(f"{AT_ONCE} runs are under way, which is all at once; wait for one, or stop one")

    def _free(self, prefix: str) -> str:
        n = 1
        while (self.runs / f"{prefix}-{n}").exists() or (self.folder / f"{prefix}-{n}").exists():
            n += 1
        return f"{prefix}-{n}"

    def _begin(self, name: str) -> None:
        folder = self.folder / name
        (folder / OUTCOME).unlink(missing_ok=True)
        (folder / PROGRESS).unlink(missing_ok=True)
        with (folder / OUTPUT).open("wb") as output:
            self._own[name] = subprocess.Popen(  # noqa: S603 - this program, and a folder of ours
                [*self.program, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # it goes on when the app ends
            )

    def _running(self, folder: Path) -> bool:
        process = self._own.get(folder.name)
        starting = process is not None and process.poll() is None and not (folder / OUTCOME).exists()
        return starting or _is_held(folder / LOCK)

    def _pid(self, folder: Path) -> int | None:
        """The process that does a job, which is also the number of its group; None if none does."""
        process = self._own.get(folder.name)
        if process is not None and process.poll() is None:
            return process.pid
        if not _is_held(folder / LOCK):
            return None
        content = (folder / LOCK).read_text(encoding="utf-8").strip()
        return int(content) if content.isdigit() and int(content) > 1 else None


def _json_object(file: Path) -> dict[str, Any]:
    try:
        value = read_object(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_held(file: Path) -> bool:
    try:
        with file.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _end(pid: int, folder: Path, process: subprocess.Popen[bytes] | None) -> None:
    """End a group of processes, kindly first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)
        until = time.monotonic() + LAST_SECONDS
        while time.monotonic() < until:
            if process is not None:
                process.poll()
            if not _is_held(folder / LOCK) and (process is None or process.returncode is not None):
                return
            time.sleep(0.05)


def command(inputs: Mapping[str, Any], out: Path | None, task: Task = "compare") -> str:
    """What does the same on a terminal."""
    parts = ["unseen", task]
    for key, value in inputs.items():
        parts += [f"--{key.replace('_', '-')}", str(value)]
    return shlex.join(parts if out is None else [*parts, "--out", str(out)])
