"""What all loaders share: where data lie, how labels become classes, what happens to unreadable samples."""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import re
import struct
import unicodedata
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Skipped
from unseen.data.reading import is_local
from unseen.files import check_plain, sentence
from unseen.runtime import track

logger = logging.getLogger("unseen.data")

OnError = Literal["skip", "fail"]

LABEL_COLUMNS = ("label", "labels", "class", "category", "target", "y")
TEXT_COLUMNS = ("text", "sentence", "caption", "document", "content")
PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path")
ID_COLUMNS = ("id", "ids", "sample_id")
EDGE_COLUMNS = (("source", "target"), ("from", "to"), ("head", "tail"), ("src", "dst"), ("citing", "cited"))
"""Pairs of column names of a table of edges."""


def locate(path: str | os.PathLike[str]) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path on it; an error names the nearest one.

    A `.zip` that holds one folder and nothing beside it, as systems make it of a folder, stands for that folder. Names
    in it that are UTF-8 are read so, whether it says so or not: `zip` of Linux and macOS do not.
    """
    import fsspec

    url, packed = os.fspath(path), False
    if "://" not in url:
        check_plain(os.path.expanduser(url))  # noqa: PTH111 - a home that is none stays as it is
    if url.lower().endswith(".zip") and "::" not in url and not url.startswith("zip://"):
        url, packed = f"zip://::{url}", True
    try:
        fs, root = fsspec.core.url_to_fs(os.path.expanduser(url) if "://" not in url else url)  # noqa: PTH111
        if isinstance(getattr(fs, "zip", None), zipfile.ZipFile):
            _name_in_utf8(fs.zip)
    except ImportError as error:
        raise ImportError(f"{url!r} needs another package: {error}") from error
    except ValueError as error:
        raise ValueError(f"path {url!r} is not understood: {error}") from error
    except (zipfile.BadZipFile, NotImplementedError, struct.error) as error:
        raise ValueError(f"{os.fspath(path)} is not a .zip file that can be read: {sentence(error)}") from error
    try:
        if root and not fs.exists(root):
            if is_local(fs) and os.path.islink(root):  # noqa: PTH114 - of a text
                raise FileNotFoundError(f"path {os.fspath(path)!r} is a link that leads to nothing")
            raise FileNotFoundError(f"path {os.fspath(path)!r} does not exist{_nearest(fs, root, os.fspath(path))}")
        return fs, _only_folder(fs) if packed else root
    except IndexError as error:  # a member without a name
        raise ValueError(f"{os.fspath(path)} is not a .zip file that can be read: a file in it has no name") from error


def _name_in_utf8(archive: zipfile.ZipFile) -> None:
    """Give members whose names are UTF-8 these names, where `zipfile` took them to be of code page 437."""
    for info in archive.filelist:
        if not info.flag_bits & SAYS_UTF8 and not info.filename.isascii():
            with contextlib.suppress(UnicodeError):
                archive.NameToInfo.pop(info.filename, None)
                info.filename = info.filename.encode("cp437").decode("utf-8")
            archive.NameToInfo[info.filename] = info


SAYS_UTF8 = 1 << 11
"""The bit of a member's flags by which an archive says that the name is UTF-8."""


def _only_folder(archive: Any) -> str:
    """The one folder at the top of an archive; the top itself if there is anything else."""
    entries = [(entry["name"].strip("/"), entry["type"]) for entry in archive.ls("", detail=True)]
    shown = [(name, kind) for name, kind in entries if not name.startswith(".") and name != "__MACOSX"]
    return shown[0][0] if len(shown) == 1 and shown[0][1] == "directory" else ""


def _nearest(fs: Any, root: str, path: str) -> str:
    """A hint at the existing neighbour whose name is most like the missing one, from where `path` begins."""
    parent, _, name = root.rstrip("/").rpartition("/")
    try:
        names = {entry.rstrip("/").rpartition("/")[2]: entry for entry in fs.ls(parent or "/", detail=False)}
    except (OSError, ValueError):
        return ""
    close = max(((likeness(name, other), other) for other in names), default=(0.0, ""))
    if close[0] <= 0:
        return ""
    relative = "://" not in path and not path.startswith(("/", "~")) and is_local(fs)
    meant = str(Path(path.rstrip("/")).with_name(close[1])) if relative else names[close[1]]
    return f"; did you mean {meant!r}?"


def likeness(name: str, other: str) -> float:
    """How alike a name that is missing and one that is there are, in [0, 1]; 0 where neither is meant for the other.

    One of at least three letters begins the other, or they share three quarters of their letters in order, or three
    fifths if their first ones are equal.
    """
    a, b = name.casefold(), other.casefold()
    ratio = difflib.SequenceMatcher(None, b, a).ratio()
    begins = min(len(a), len(b)) >= 3 and (a.startswith(b) or b.startswith(a))
    return ratio if begins or ratio >= (0.6 if a[:1] == b[:1] else 0.75) else 0.0


def find_column(columns: Sequence[str], wanted: str | None, argument: str, usual: Sequence[str] = ()) -> str | None:
    """The column called `wanted`, or the first that is called as `usual`; `ValueError` lists the columns."""
    if wanted is not None:
        wanted = str(wanted)  # of a data frame perhaps a number
        for name in (wanted, unicodedata.normalize("NFC", wanted).strip()):
            if name in columns:
                return name
        close = difflib.get_close_matches(wanted, columns, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{argument} {wanted!r} is not there{hint or '.'} The columns are: {', '.join(columns)}")
    folded = {column.casefold(): column for column in reversed(columns)}
    return next((folded[name] for name in usual if name in folded), None)


def refuse_edges(columns: Sequence[str], values: Callable[[str], Sequence[Any]]) -> None:
    """Raise `ValueError` where a table holds the edges of a graph and nothing else: such rows are no samples.

    Two columns, called as those of edges are, where a tenth of the second's values are among the first's: those of a
    label are not among the texts.
    """
    if len(columns) == 2 and (columns[0].casefold(), columns[1].casefold()) in EDGE_COLUMNS:
        first, second = ({str(value) for value in values(column)} for column in columns)
        if 10 * len(first & second) >= len(second):
            raise ValueError(f"its columns {columns[0]} and {columns[1]} are the edges of a graph; {NODES}")


NODES = "nodes of a graph with texts are named by `unseen nodes`, which also writes their vectors, a side of pairs"
"""Where to go with a graph."""


ABOVE = "put the table into a folder above its files, and write their paths from there"
"""What to do where a table names files that lie elsewhere."""


def inside(path: str, fix: str = "") -> str:
    """A relative path in normal form; `ValueError` if it is none or leads out of its folder, with what to do."""
    path = path.replace("\\", "/")
    parts = PurePosixPath(path).parts
    if not parts:
        raise ValueError(f"{path!r} names no file" if path else "the path is empty")
    absolute = path.startswith("/") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", path)
    if absolute or ".." in parts:
        why = "is absolute, and must be relative" if absolute else "leads out of its folder"
        raise ValueError(f"{path!r} {why}" + (f": {fix}" if fix else ""))
    return "/".join(parts)


def inspect(
    items: Sequence[Any], check: Callable[[Any], None], name: Callable[[Any], str], *, threads: int = 8
) -> list[Skipped]:
    """Run `check` on all items in threads and return those that raise, in order; a long look shows how far it is."""

    def failure(item: Any) -> Skipped | None:
        try:
            check(item)
        except Exception as error:  # whatever a reader dies of: the sample is left out and told
            return Skipped(name(item), sentence(error))
        return None

    with ThreadPoolExecutor(threads) as pool:
        results = pool.map(failure, items)
        return [bad for bad in (next(results) for _ in track(items, "looking at files")) if bad is not None]


def settle(skipped: Sequence[Skipped], on_error: OnError, name: str) -> tuple[Skipped, ...]:
    """Apply the user's choice to unreadable samples: count and name them, or refuse the data."""
    if skipped and on_error == "fail":
        first = skipped[0]
        raise ValueError(f"{name}: {len(skipped)} unreadable, the first {first.where!r}: {first.why}")
    if skipped:
        logger.warning(
            "%s: skipped %d unreadable, the first %s: %s",
            name,
            len(skipped),
            skipped[0].where,
            skipped[0].why,
        )
    return tuple(skipped)


def row_and_id(i: int | np.integer[Any], ids: Sequence[Any] | NDArray[Any] | None = None) -> str:
    """What a row of a table is called, counted from 1 as in a spreadsheet, with its id, by which tables name it."""
    return f"row {i + 1} (id {f'{i:06d}' if ids is None else ids[int(i)]})"


def unique_ids(names: Sequence[str]) -> NDArray[np.str_] | None:
    """The names as sample ids; None if they repeat."""
    return np.array(names, dtype=np.str_) if len(set(names)) == len(names) else None
