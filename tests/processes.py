"""Processes of their own for less: each begins where torch and pandas are imported and nothing of this package is.

Of what a small command takes, two seconds of three are the import of libraries. Here one process per worker has them
imported, and every program runs in a fork of it: with its own arguments, folder, environment and modules of `unseen`.
What asks for the very start of a process, for its imports or for the libraries', takes `subprocess` itself.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LIBRARIES = ("numpy", "pandas", "torch", "pyarrow", "safetensors.torch", "PIL.Image", "sklearn.linear_model")

spent = 0.0
"""Seconds of a processor that the programs took, which the system counts as no child's of this process."""


def run(
    order: Sequence[Any],
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = False,
    capture_output: bool = True,
    text: bool = True,
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run`, of a program that is given as ``[sys.executable, "-m" or "-c", what, *arguments]``."""
    global spent
    words = [os.fspath(word) for word in order]
    if words[0] != sys.executable or words[1] not in ("-m", "-c") or not (capture_output and text):
        raise ValueError(f"order must be of this python, with -m or -c, and its output is taken; got {words[:2]}")
    environment = dict(os.environ if env is None else env)
    with tempfile.TemporaryDirectory() as folder:
        asked = {"words": words[1:], "cwd": os.fspath(cwd or Path.cwd()), "env": environment, "out": folder}
        server = _server()
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code, seconds = json.loads(server.stdout.readline())
        spent += seconds
        said, told = (Path(folder, name).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
    done = subprocess.CompletedProcess(words, code, said, told)
    if check:
        done.check_returncode()
    return done


@functools.cache
def _server() -> Any:
    """The process that forks, made when it is first asked for."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # no thread is there when it forks
    server = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    atexit.register(server.communicate)  # it ends where nobody asks any more
    return server


def _serve() -> None:
    """Fork for every line of the input; only in a fork it returns, once the program has run."""
    for name in LIBRARIES:
        __import__(name)
    gc.freeze()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            answers.close()
            _program(**asked)
            return
        _, status, usage = os.wait4(child, 0)
        answers.write(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime]) + "\n")
        answers.flush()


def _program(words: list[str], cwd: str, env: dict[str, str], out: str) -> None:
    """What the interpreter does with its command line."""
    for number, name in enumerate((os.devnull, "stdout", "stderr")):
        place = os.open(Path(out, name), os.O_RDWR | os.O_CREAT)
        os.dup2(place, number)
        os.close(place)
    began = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.chdir(cwd)
    os.environ.clear()  # in the order that was asked for, too
    os.environ.update(env)
    own = [place for place in sys.path[1:] if place not in began]
    asked = [place for place in env.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:] = [cwd if words[0] == "-m" else "", *asked, *own]
    sys.argv[:] = [words[0], *words[2:]]
    if words[0] == "-m":
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        space = sys.modules["__main__"].__dict__
        for name in set(space) - {"__builtins__", "__name__", "__doc__", "__loader__", "__spec__", "__package__"}:
            del space[name]
        space["__annotations__"] = {}
        exec(compile(words[1], "<string>", "exec"), space)


if __name__ == "__main__":
    _serve()
