"""The command line, thin: it reads arguments, calls the library, and prints."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator

import typer

from unseen import jobs
from unseen.console import COMMANDS, app, asked, in_flags, say
from unseen.files import SPEAKING, sentence
from unseen.runtime import leads, share_one_heap

from unseen.cli import (  # isort: skip  # noqa: F401 - each adds its commands
    job, known, trust, carry, annotate, explain, shift, curate, explore,
)  # fmt: skip
from unseen.cli.panels import arrange  # isort: skip

jobs.add_commands()
arrange()
COMMANDS[:] = app.registered_commands


class _Spoken(logging.Formatter):
    """A warning in the words of the command."""

    def format(self, record: logging.LogRecord) -> str:
        return in_flags(super().format(record), asked(tuple(sys.argv[1:])))


def _once() -> Callable[[logging.LogRecord], bool]:
    """Lets a message through that is none of the last hundred: what every fit of many says is said once."""
    said: deque[str] = deque(maxlen=100)

    def is_new(record: logging.LogRecord) -> bool:
        new = record.getMessage() not in said
        if new:
            said.append(record.getMessage())
        return new

    return is_new


def _quiet() -> None:
    """Show warnings of this library only, each once, without where in the source they come from.

    Of several processes of a launcher the first one shows them; what fails within the work is told by all.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Spoken("note: %(message)s"))
    handler.addFilter(lambda record: record.name.startswith("unseen") or record.levelno >= logging.ERROR)
    handler.addFilter(lambda record: leads() or record.levelno >= logging.ERROR)
    handler.addFilter(_once())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    if not sys.warnoptions and not os.environ.get("UNSEEN_TRACEBACK"):
        warnings.simplefilter("ignore")
        os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of processes that help


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """Of a command that is named first, that one alone: to build all fifty takes a quarter of a second, every time."""
    whole = app.registered_commands[:], app.registered_groups[:]
    if named := [command for command in app.registered_commands if command.name == name]:
        app.registered_commands[:], app.registered_groups[:] = named, []
    try:
        yield
    finally:
        app.registered_commands[:], app.registered_groups[:] = whole


def _said(error: Exception) -> tuple[str, bool]:
    """What an error says, and whether that is meant for whoever gave the command."""
    if loop := re.match(r"Symlink loop from (.+)", str(error)):  # a RuntimeError of pathlib before Python 3.13
        return f"{loop[1]} is a link that leads to itself", True
    if isinstance(error, SPEAKING):
        return re.sub(r"^\[Errno -?\d+\] ", "", str(error)), True
    return f"{type(error).__name__}: {sentence(error)}", False


WAIT = 10.0
"""Seconds that another process of a launcher than the first one waits before it tells what is wrong with a command."""


def _let_the_first_speak() -> None:
    """Wait, where another process of a launcher is the first one: it tells the same, and the launcher ends this one.

    Who is still there afterwards is alone with it, as with a file that its machine lacks, and must tell it.
    """
    if not leads():
        time.sleep(WAIT)


def _call() -> None:
    """Run the command that is asked for; what typer says of its arguments is said by the first process alone."""
    if leads():
        app()
        return
    try:
        code = app(standalone_mode=False)
    except Exception as error:
        if not hasattr(error, "show"):
            raise
        _let_the_first_speak()
        error.show()
        raise SystemExit(getattr(error, "exit_code", 1)) from error
    raise SystemExit(code if isinstance(code, int) else 0)


def main() -> None:
    """Run the command line; a mistake of the user is one line, not a traceback."""
    share_one_heap()
    _quiet()
    try:
        with _alone(next(iter(sys.argv[1:]), "")):
            _call()
    except Exception as error:  # whatever it is, it is told in a sentence
        if os.environ.get("UNSEEN_TRACEBACK"):
            raise
        text, meant = _said(error)
        if meant:
            _let_the_first_speak()
        typer.echo(f"unseen: {in_flags(text, asked(tuple(sys.argv[1:])), error=True)}", err=True)
        if not meant:
            say("(UNSEEN_TRACEBACK=1 shows where this came from)")
        raise SystemExit(1) from error
