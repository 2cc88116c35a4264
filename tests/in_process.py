"""The command line in the process of the tests: what `main` says and ends with, without two seconds of imports."""

from __future__ import annotations

import contextlib
import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import shapes
from unseen.cli import main


def unseen(folder: Path, *arguments: object, code: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, as `subprocess.run` would; `code` is what it must end with, where that is asked."""
    order = ["unseen", *map(str, arguments)]
    said, told, ended = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told), _as_in_a_process(folder, order):
        try:
            main()
        except SystemExit as end:
            ended = int(end.code or 0)
    assert code is None or ended == code, told.getvalue()[-2000:]
    return subprocess.CompletedProcess(order, ended, said.getvalue(), told.getvalue())


@contextlib.contextmanager
def _as_in_a_process(folder: Path, order: list[str]) -> Iterator[None]:
    """The words and the folder of a process, and nobody who checks types or takes records before the command does."""
    level = logging.root.level
    with pytest.MonkeyPatch.context() as patch, shapes.unchecked():
        patch.chdir(folder)
        patch.setattr(sys, "argv", order)
        patch.setenv("COLUMNS", "120")
        patch.setenv("NO_COLOR", "1")
        patch.setattr(logging.root, "handlers", [])
        yield
    logging.root.setLevel(level)
