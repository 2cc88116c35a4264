"""A run as a process of its own: `python -m unseen.web.job FOLDER` does what `FOLDER/job.json` says, or goes on."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from unseen.files import SPEAKING, read_object, sentence
from unseen.runtime import replacing, runtime, watched
from unseen.web.progress import Progress

JOB, LOCK, PROGRESS, OUTCOME, OUTPUT = "job.json", "lock", "progress.json", "outcome.json", "output.txt"
"""Files of a job: what to do, who does it, how far it is, how it ended, what it printed."""

ANSWER = "answer.json"
"""What there is to try first, of a job that looks at data and trains nothing."""

PATIENCE = 2.0
"""Seconds within which a page that looks at the lock lets it go."""

DATA = ("source", "target", "support")


def held(folder: Path) -> IO[str]:
    """The lock of a job, with the number of this process in it; `ValueError` if another process does the job."""
    lock = (folder / LOCK).open("a+", encoding="utf-8")
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                lock.close()
                raise ValueError("this run is under way already") from None
            time.sleep(0.05)
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def write(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, all or nothing."""
    with replacing(file) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def work(folder: Path) -> None:
    """Do a job until it is done or cannot be; how it ended stands in its folder."""
    record = read_object(folder / JOB)
    inputs, task = record["inputs"], record.get("task", "compare")
    progress = Progress(folder / PROGRESS, domains=sum(word in inputs for word in DATA), task=task)
    try:
        with runtime(progress=False), watched(progress):
            if task == "recommend":
                from unseen.compare.recommended import advise

                write(folder / ANSWER, advise(**inputs, say=progress.say).to_json())
            else:
                from unseen.compare import compare

                compare(**inputs, out=record["out"], command=record["command"], say=progress.say)
    except Exception as error:
        speaks = isinstance(error, SPEAKING)
        why = str(error) if speaks else f"{type(error).__name__}: {sentence(error)}"
        write(folder / OUTCOME, {"state": "failed", "why": why, "seconds": progress.told()["seconds"]})
        if not speaks:
            raise
        return
    write(folder / OUTCOME, {"state": "done", "why": "", "seconds": progress.told()["seconds"]})


def main(folder: Path) -> None:
    """Do a job alone."""
    with held(folder):
        (folder / OUTCOME).unlink(missing_ok=True)
        work(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
