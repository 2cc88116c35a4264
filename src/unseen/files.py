"""Files: only plain ones are opened, what a reader dies of becomes a sentence, and what is written is there or not."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import fcntl
import functools
import json
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
Record = TypeVar("Record")

LONGEST = 300
"""Characters of what a reader says that a message repeats."""

LARGEST_JSON = 256 * 2**20
"""Bytes of a file that tells how something was made."""

LONGEST_MESSAGE = 800
"""Characters of a message that repeats what stands in a file."""

_PACKAGE = Path(__file__).parent

_SPECIAL = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class WrongTypeError(TypeError):
    """An argument is of another type than it must be: a mistake of whoever gave it, told as a `ValueError` is."""


class SourceUnavailable(RuntimeError):  # noqa: N818
    """A data source cannot be had here; the message is one line that names the fix."""


SPEAKING = (ValueError, OSError, ImportError, WrongTypeError, SourceUnavailable)
"""Errors whose text is meant for whoever made the mistake; of others it is told what kind of error they are, too."""


def sentence(error: BaseException) -> str:
    """What an error says, in one line that can be understood without a traceback."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is" + (f" ({text})" if text else "")
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if type(error).__name__ == "UnpicklingError":  # torch's own words advise to read it unsafely
        return "it is damaged, or holds more than tensors and plain values"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8"
    if isinstance(error, UnicodeError):
        return f"it is not UTF-8 text: {text}"
    if isinstance(error, KeyError):
        return f"a part called {text} is missing"
    if isinstance(error, IndexError):
        return f"it ends before a part that it announces ({text})"
    if isinstance(error, (EOFError, AssertionError, StopIteration)) and not text:
        return "it ends too early or holds what it should not"
    if len(text) > LONGEST:
        text = text[:LONGEST].rpartition(" ")[0] + " ..." if " " in text[:LONGEST] else text[:LONGEST]
    return text or f"a {type(error).__name__}"


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
        text = str(error)
        names_it = any(len(word) > 2 and _calls(text, word) for word in (name, Path(name).name, *also))
        if isinstance(error, OSError) and error.errno is not None:
            if not names_it and error.filename is None:
                error.filename = name
            raise
        if isinstance(error, ValueError) and _is_ours(error):
            if (names_it and len(text) <= LONGEST_MESSAGE) or type(error) is not ValueError:
                raise
            kept = text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]} ..."
            raise ValueError(kept if names_it and name in kept else f"{name}: {kept}") from error
        end = f"; {advice}" if advice else ""
        raise ValueError(f"{name} is not {what} that can be read: {sentence(error)}{end}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of parsers in Rust, which is no `Exception`
            raise
        raise ValueError(f"{name} is not {what} that can be read: its parser gave up on it") from error


def _calls(said: str, name: str) -> bool:
    """Whether a message names a file; one that is called as a word is (masks, one) where it begins, or in quotes."""
    if any(sign in name for sign in "./\\"):
        return name in said
    return said.startswith(f"{name}:") or repr(name) in said


def _is_ours(error: Exception) -> bool:
    """Whether an error was raised in this package, and so says what it means; none of a text that is none was."""
    if isinstance(error, UnicodeError):
        return False
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
                if "://" not in os.fspath(path):
                    check_plain(path)
                return function(*args, **kwargs)

        return cast(F, reading)

    return decorate


@contextlib.contextmanager
def saved(folder: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Make one `ValueError` of whatever the block dies of, in which a folder that was saved is read.

    Parameters
    ----------
    folder : path
    what : str
        What it should hold: "a saved model".
    """
    try:
        with named(folder, what, "save it anew, or take another copy"):
            yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ValueError(f"{os.fspath(folder)} is not {what}, or not all of it: {error}") from error


def loads(what: str) -> Callable[[F], F]:
    """Decorate what reads a saved folder, its first path: it is `recovered` before, its errors are those of `saved`."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def loading(*args: Any, **kwargs: Any) -> Any:
            paths = (value for value in (*args, *kwargs.values()) if isinstance(value, (str, os.PathLike)))
            folder = next(paths, None)
            if folder is None:
                return function(*args, **kwargs)
            with saved(recovered(folder), what):
                return function(*args, **kwargs)

        return cast(F, loading)

    return decorate


@contextlib.contextmanager
def about(path: str | os.PathLike[str], hidden: Path | None = None) -> Iterator[None]:
    """Give an error of the system the name of the file that is written: it has none, or one of a `hidden` folder."""
    try:
        yield
    except OSError as error:
        name = error.filename
        if error.errno is not None and (name is None or (hidden is not None and hidden in Path(str(name)).parents)):
            error.filename = os.fspath(path)
        raise


def check_plain(path: str | os.PathLike[str]) -> None:
    """Raise `ValueError` for a pipe, a socket or a device: whoever opens one may wait for ever; and for no path."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - follows links, as opening does
    except OSError:
        return  # opening tells it better
    except ValueError as error:  # a zero byte in it
        raise ValueError(f"{os.fspath(path)!r} is no path: {error}") from error
    special = _SPECIAL.get(stat.S_IFMT(mode))
    if special:
        raise ValueError(f"{os.fspath(path)} is {special}, not a file; only plain files are read")


def read_plain(path: str | os.PathLike[str]) -> str:
    """The text of a file; `ValueError` with its name if it is a pipe, a socket or a device, or no UTF-8."""
    with named(path, "a text"):
        check_plain(path)
        return Path(path).read_text(encoding="utf-8-sig")


def read_json(path: str | os.PathLike[str], largest: int | None = None) -> Any:
    """What a JSON file holds; `ValueError` with its name if it is no plain file, too large, damaged or too deep.

    Parameters
    ----------
    path : path
    largest : int, optional
        Bytes; `LARGEST_JSON` if absent.
    """
    most = LARGEST_JSON if largest is None else largest
    with named(path, "a JSON file"):
        check_plain(path)
        if (size := os.stat(path).st_size) > most:  # noqa: PTH116
            raise ValueError(f"it has {size:,} bytes; at most {most:,} are read as JSON")
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))


def read_object(path: str | os.PathLike[str], largest: int | None = None) -> dict[str, Any]:
    """What a JSON file of an object holds, by its keys; `ValueError` as `read_json`, or if it holds anything else."""
    value = read_json(path, largest)
    if not isinstance(value, dict):
        raise ValueError(f"{os.fspath(path)} is damaged: it holds {type(value).__name__}, not an object with keys")
    return value


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (int, float), "bool": (bool,), "dict": (dict,), "list": (list,),
    "tuple": (tuple,), "Mapping": (dict,),
}  # fmt: skip


def check_kinds(record: Record) -> Record:
    """The dataclass itself, made of a file; `TypeError` if a field is of another kind than its type begins with."""
    for field in dataclasses.fields(cast(Any, record)):
        kind, value = re.split(r"\W", str(field.type), maxsplit=1)[0], getattr(record, field.name)
        if value is None and "None" in str(field.type).split("|")[-1]:
            continue
        if kind in _KINDS and not isinstance(value, _KINDS[kind]):
            raise TypeError(f"{field.name} must be a {kind}; got {value!r:.50}")
    return record


_NOISE = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


def is_hidden(path: str) -> bool:
    """Whether a relative path has a name that begins with a dot, or is what systems put into folders unasked."""
    return any(part.startswith(".") or part.lower() in _NOISE for part in path.split("/"))


class Below(NamedTuple):
    """What lies below a folder: files by their relative names, and (name, reason) of what is not read."""

    files: list[str]
    refused: list[tuple[str, str]]


def walk(root: str | os.PathLike[str], *, ignore: Callable[[str], bool] = lambda _: False) -> Below:
    """Every file below a folder, symbolic links followed; the names alone decide what is read and in which order.

    A link to a file is read under the name of the link. Of a folder to which several names lead, the one is read that
    needs no link, or else the first in order; the others are refused, and so is a folder in which `root` itself lies. A
    link to a folder that it lies in is passed over: all that it leads to is read.

    Parameters
    ----------
    root : path
    ignore : callable
        From a relative name to whether it is passed over, with all that is below it.
    """
    top = Path(root)
    real = top.resolve()
    below = Below([], [])
    read_as = {real: "."}
    links = _walk_unlinked(top, "", read_as, below, ignore)
    while links:
        where = links.pop(0)
        target = (top / where).resolve()
        if target in read_as and not (top / where).parent.resolve().is_relative_to(target):
            below.refused.append((where, f"it links to a folder that is read as {read_as[target]!r}"))
        elif target not in read_as and real.is_relative_to(target):
            below.refused.append((where, "it links to a folder that this one lies in"))
        elif target not in read_as:
            read_as[target] = where
            links += _walk_unlinked(top, where, read_as, below, ignore)
    return Below(sorted(below.files), sorted(below.refused))


def _walk_unlinked(
    top: Path, start: str, read_as: dict[Path, str], below: Below, ignore: Callable[[str], bool]
) -> list[str]:
    """Put the files below `start` into `below`; the links to folders that were met, in order."""
    links: list[str] = []
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        try:
            names = sorted(entry.name for entry in os.scandir(top / folder))
        except OSError as error:
            below.refused.append((folder or ".", error.strerror or str(error)))
            continue
        for name in names:
            where = f"{folder}/{name}" if folder else name
            path = top / where
            if ignore(where):
                continue
            try:
                mode = path.stat().st_mode
            except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
                below.refused.append((where, "it links to nothing" if path.is_symlink() else "it cannot be read"))
                continue
            if special := _SPECIAL.get(stat.S_IFMT(mode)):
                below.refused.append((where, f"it is {special}, not a file; only plain files are read"))
            elif not stat.S_ISDIR(mode):
                below.files.append(where)
            elif path.is_symlink():
                links.append(where)
            elif (real := path.resolve()) in read_as:
                below.refused.append((where, f"the folder is read as {read_as[real]!r}"))
            else:
                read_as[real] = where
                waiting.append(where)
    return links


# -- writing -----------------------------------------------------------------------------------------------

_LITTER = re.compile(r"\.(?P<name>.+)\.(?P<what>partial|old)-[0-9a-f]{8}")
_LONGEST_NAME = 200
_EXCHANGE, _HERE = 2, -100
"""RENAME_EXCHANGE (and macOS' RENAME_SWAP), and AT_FDCWD."""

_swept: set[Path] = set()


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """An empty hidden folder beside `path`, held for the block and removed after it.

    What killed processes left there is swept first, once per process and place: a folder that nobody holds.
    """
    if path.parent.resolve() not in _swept:
        sweep(path.parent)
        _swept.add(path.parent.resolve())
    while True:
        folder = path.with_name(f".{path.name[:_LONGEST_NAME]}.partial-{uuid.uuid4().hex[:8]}")
        folder.mkdir()
        descriptor = _hold(folder, wait=True)
        if folder.exists():  # nobody swept it before it was held
            break
        _let_go(descriptor)
    try:
        yield folder
    finally:
        _remove(folder)
        _let_go(descriptor)


def put(new: Path, place: Path) -> None:
    """Put the folder `new` in the place of another or of none; the other is then called as `new` was.

    Both change places at once where the system can do that: a kill leaves one or the other. Where it cannot, the old
    one is moved aside for a moment, and put back by the next who opens or writes it (`recovered`).
    """
    if not place.exists() and not place.is_symlink():
        new.rename(place)
        return
    if exchange(new, place):
        return
    old = place.with_name(f".{place.name[:_LONGEST_NAME]}.old-{uuid.uuid4().hex[:8]}")
    descriptor = _hold(place, wait=True)
    try:
        place.rename(old)
        try:
            new.rename(place)
        except OSError:
            old.rename(place)
            raise
        _remove(old)
    finally:
        _let_go(descriptor)


def exchange(folder: Path, other: Path) -> bool:
    """Let two folders change places at once; False where the system or the disk cannot do that."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
    except (OSError, TypeError):
        return False
    names = os.fsencode(folder), os.fsencode(other)
    if rename := getattr(library, "renameat2", None):
        failed = rename(_HERE, names[0], _HERE, names[1], _EXCHANGE)
    elif rename := getattr(library, "renamex_np", None):
        failed = rename(*names, _EXCHANGE)
    else:
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM):
        return False
    raise OSError(number, os.strerror(number), os.fspath(other))


def recovered(place: str | os.PathLike[str]) -> Path:
    """The same place, where a killed process may have left its folder aside: it is put back."""
    place = Path(place)
    if not place.exists() and place.parent.is_dir():
        sweep(place.parent)
    return place


def place_of_bundle(folder: str | os.PathLike[str]) -> Path:
    """Where a saved classifier lies: in the folder, or in `model` below that of a run."""
    inside = recovered(Path(folder) / "model")
    return inside if (inside / "bundle.json").exists() else recovered(folder)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder, and put back what they had put aside; leave what is held."""
    try:
        there = [Path(entry.path) for entry in os.scandir(folder) if _LITTER.fullmatch(entry.name)]
    except OSError:
        return
    for path in there:
        descriptor = _hold(path, wait=False)
        if descriptor is None:
            continue
        try:
            litter = _LITTER.fullmatch(path.name)
            assert litter is not None
            place = path.with_name(litter["name"])
            if litter["what"] == "old" and not place.exists():
                with contextlib.suppress(OSError):
                    path.rename(place)
            else:
                _remove(path)
        finally:
            _let_go(descriptor)


def _hold(folder: Path, *, wait: bool) -> int | None:
    """Hold a folder, as others see by trying; None if another process does, or no folder can be held here."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _let_go(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    """Remove a folder, or a link in its place."""
    if folder.is_symlink():
        folder.unlink(missing_ok=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def refuse_lost(folder: Path, written: Collection[str], mark: str) -> None:
    """Raise `FileExistsError` if `folder` holds something of a name that is to be `written`, and not by an earlier run.

    An earlier run is known by its file `mark`. Files of other names are nobody's business.
    """
    if (folder / mark).exists():
        return
    if lost := sorted(name for name in written if (folder / name).exists()):
        raise FileExistsError(
            f"{folder} holds other files, such as {lost[0]!r}, which would be lost; name a new or an empty folder"
        )
