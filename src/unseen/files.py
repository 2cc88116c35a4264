"""Files of others: only plain ones are opened, and whatever a reader dies of becomes one sentence."""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

LONGEST = 300
"""Characters of what a reader says that a message repeats."""

_PACKAGE = Path(__file__).parent

_SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def sentence(error: BaseException) -> str:
    """What an error says, in one line that can be understood without a traceback."""
    said = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is" + (f" ({said})" if said else "")
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeError):
        return f"it is not UTF-8 text: {said}"
    if isinstance(error, KeyError):
        return f"a part called {said} is missing"
    if isinstance(error, IndexError):
        return f"it ends before a part that it announces ({said})"
    if isinstance(error, (EOFError, AssertionError, StopIteration)) and not said:
        return "it ends too early or holds what it should not"
    return said[:LONGEST] if said else f"a {type(error).__name__}"


@contextlib.contextmanager
def named(path: str | os.PathLike[str], what: str, advice: str = "", also: tuple[str, ...] = ()) -> Iterator[None]:
    """Make one `ValueError` of whatever the block raises: it names the file, says what is wrong and what to do.

    What says so already passes, and so does what is not about content: a file that is missing or forbidden, a package
    that is not installed, a network that is not there. An `OSError` of the system (a full disk, a broken one) stays one
    and gets the name.

    Parameters
    ----------
    path : path
        The file.
    what : str
        What it should have been: "a NumPy file".
    advice : str
        What to do about it, as the end of a sentence.
    also : tuple of str
        Other names of the file by which a message may have called it.
    """
    name = os.fspath(path)
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError, ConnectionError, ImportError, NameError):
        raise
    except Exception as error:
        said = str(error)
        told = any(len(word) > 2 and word in said for word in (name, Path(name).name, *also))
        if isinstance(error, OSError) and error.errno is not None:
            if not told and error.filename is None:
                error.filename = name
            raise
        if isinstance(error, ValueError) and _is_ours(error):
            if told or type(error) is not ValueError:
                raise
            raise ValueError(f"{name}: {said}") from error
        end = f"; {advice}" if advice else ""
        raise ValueError(f"{name} is not {what} that can be read: {sentence(error)}{end}") from error


def _is_ours(error: Exception) -> bool:
    """Whether an error was raised in this package, and so says what it means."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(_PACKAGE)


def reads(what: str, advice: str = "") -> Callable[[F], F]:
    """Decorate a function whose first argument is a path, so that its errors are `named`."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def reading(*args: Any, **kwargs: Any) -> Any:
            path = args[0] if args else next(iter(kwargs.values()), None)
            if not isinstance(path, (str, os.PathLike)):
                return function(*args, **kwargs)
            with named(path, what, advice):
                return function(*args, **kwargs)

        return cast(F, reading)

    return decorate


def check_plain(path: str | os.PathLike[str]) -> None:
    """Raise `ValueError` for a pipe, a socket or a device: whoever opens one may wait for ever."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - follows links, as opening does
    except OSError:
        return  # opening tells it better
    special = _SPECIAL.get(stat.S_IFMT(mode))
    if special:
        raise ValueError(f"{os.fspath(path)} is {special}, not a file; only plain files are read")


def inside(path: Path, folder: Path) -> bool:
    """Whether a path leads into a folder, links followed; False where links go round in a circle."""
    try:
        return path.resolve().is_relative_to(folder)
    except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        return False
