"""Load what the user has: `load` looks at a path and reads it as a `Domain`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import parse_qsl

import numpy as np

from unseen import plugins
from unseen.arguments import SWITCH, TEXT, Check, are_texts, check_arguments, is_frame, way_out, whole
from unseen.data.classes import ClassSpace
from unseen.data.clips import FRAMES, Segment, check_segment, clip_files
from unseen.data.domain import Domain
from unseen.data.images import IMAGE_SUFFIXES
from unseen.data.loaders.arrays import load_arrays
from unseen.data.loaders.common import ID_COLUMNS, NODES, OnError, find_column, locate
from unseen.data.loaders.folder import load_folder, text_files, verify_text
from unseen.data.loaders.huggingface import MARKERS, load_huggingface
from unseen.data.loaders.matlab import ZeroShot, load_mat, load_zsl
from unseen.data.loaders.table import TABLE_SUFFIXES, load_table
from unseen.data.loaders.webdataset import expand_shards, load_shards
from unseen.data.reading import is_local, open_file
from unseen.data.sounds import SOUND_SUFFIXES, check_sound, sound_files
from unseen.data.video_formats import VIDEO_SUFFIXES
from unseen.files import named

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ZeroShot", "find_column", "load", "load_zsl", "samples_of"]


COLUMN = Check("the name of a column", lambda value: type(value) in (str, int))
CHECKS = {
    "labels_column": COLUMN.or_none(),
    "text_column": COLUMN.or_none(),
    "path_column": COLUMN.or_none(),
    "name": TEXT.or_none(),
    "check": SWITCH,
    "allow_outside": SWITCH,
    "frames": whole(2),
    "features": Check("a list of names of columns", are_texts),
    "like": Check("the sample_column of a Domain", lambda value: len(value) in (0, 2) and are_texts(value)),
}
"""What the arguments of `load` must be, beside `path`, `classes` and `on_error`."""


def load(
    path: str | os.PathLike[str] | pd.DataFrame,
    *,
    labels_column: str | int | None = None,
    text_column: str | int | None = None,
    path_column: str | int | None = None,
    classes: ClassSpace | Sequence[str] | None = None,
    name: str | None = None,
    on_error: OnError = "skip",
    check: bool = True,
    allow_outside: bool = False,
    frames: int = FRAMES,
    features: Sequence[str] = (),
    like: Sequence[str] = (),
) -> Domain:
    """Load your data, whatever they are: `kind` and labels follow from what is at `path`.

    Parameters
    ----------
    path : path, fsspec URL or pandas.DataFrame
        A data frame is read as a table is, with paths from the working directory or of any place. Else one of: a folder
        of class folders (perhaps below ``train``, ``val``, ``test``, which become the column ``split``), a flat folder
        of pictures, videos, sounds or ``.txt`` files (no labels), such a folder in a ``.zip`` (not of sounds); clips as
        folders of frames (``class/clip/frame_0001.jpg``); one such file; a CSV, TSV, JSON-lines or Parquet table with
        feature columns, a text column or a path column (of pictures, sounds, folders of frames, or videos, perhaps with
        ``start`` and ``end`` in seconds); ``.npy`` or ``.npz``; WebDataset shards (``shards-{000..003}.tar``, ``*.tar``
        or a folder of them); a folder written by Hugging Face ``datasets``; a MATLAB file of features; what an
        installed package reads (entry points ``unseen.loaders``, named by suffix: functions ``(fs, path, *, classes,
        name) -> Domain``). Behind a local path, ``?label=COLUMN``, ``text=`` and ``path=``, with & between, name
        columns as the next three arguments do.
    labels_column, text_column, path_column : str or int, optional
        Columns of a table (fields of the ``.json`` in shards) that do not have a usual name. Labels may be
        missing: an empty cell or -1. Paths are relative to the table's folder.
    classes : ClassSpace or sequence of names, optional
        What the labels index; the names found, in natural order, if absent.
    name : str, optional
        What reports call the data; the last part of `path` if absent.
    on_error : {"skip", "fail"}
        Whether unreadable samples are left out and listed in `Domain.skipped`, or refused.
    check : bool
        Whether to look at the header and the end of every picture now. Without it a broken one is found when
        read.
    allow_outside : bool
        Whether a table may name files outside its folder.
    frames : int, >= 2
        Frames of a clip: one from the middle of each of as many equal parts.
    features : sequence of str
        Columns of a table that are features, though they are called as labels usually are (``y``, ``class``): those of
        other data (`Domain.feature_names`) or of a model that is to read these.
    like : ("text" or "path", name)
        Where the samples of other data stood (`Domain.sample_column`): there they are read from, if a table has that
        column and no other one is named.

    Raises
    ------
    FileNotFoundError
        If nothing is at `path`; the nearest name is given.
    ValueError
        If there is no sample, a column is not there, or, under ``on_error="fail"``, a sample cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> import tempfile, pathlib
    >>> table = pathlib.Path(tempfile.mkdtemp(), "rocks.csv")
    >>> _ = table.write_text("hardness,density,label\\n7,2.6,quartz\\n1,2.7,talc\\n3,2.7,\\n")
    >>> load(table)
    Domain('rocks', 3 x features, 2 labelled)
    """
    given = dict(locals())
    check_arguments(CHECKS, {name: given[name] for name in CHECKS}, "load")
    if on_error not in get_args(OnError):
        raise ValueError(f"on_error must be 'skip' or 'fail'; got {on_error!r}")
    columns = {"labels_column": labels_column, "text_column": text_column, "path_column": path_column}
    columns = {role: None if column is None else str(column) for role, column in columns.items()}
    if is_frame(path):
        fs, root = locate(".")
        settings = {"classes": classes, "name": name or "data", "on_error": on_error, "check": check, "frames": frames}
        settings |= {"allow_outside": True, "features": features, "like": like}
        return load_table(fs, f"{root}/data", rows_of=_with_ids(path), **columns, **settings)  # type: ignore[arg-type]
    if not isinstance(path, (str, os.PathLike)):
        how = way_out(path) or ": Domain(x=..., y=...) makes samples of arrays"
        raise TypeError(f"path must be a path, a URL or a pandas.DataFrame; got {type(path).__name__}{how}")
    url = os.fspath(path)
    if not url:
        raise ValueError("path must not be empty")
    url, named_columns = _columns_behind(url)
    options: dict[str, Any] = columns | named_columns
    last = url.rstrip("/").rpartition("/")[2]
    common: dict[str, Any] = {"classes": classes, "name": name or PurePosixPath(last).stem or last or "data"}
    reading: dict[str, Any] = {"on_error": on_error, "check": check}

    is_pattern = url.endswith(".tar") and any(sign in last for sign in "{*?")
    fs, root = locate(url.rpartition("/")[0] or ".") if is_pattern else locate(url)
    suffix = PurePosixPath(root).suffix.lower()
    if suffix[1:] in plugins.found("loaders") and not is_known(suffix) and not fs.isdir(root):
        _only(options)
        return _foreign(suffix[1:], fs, root, common)
    with named(url, "data", also=(common["name"],)):
        of_tables = {"allow_outside": allow_outside, "frames": frames, "features": features, "like": like}
        return _load(fs, root, last if is_pattern else "", options, common, reading, of_tables)


def _with_ids(frame: Any) -> Any:
    """A data frame whose index is a column of ids, where it says more than the numbers of the rows."""
    import pandas as pd

    plain = isinstance(frame.index, (pd.RangeIndex, pd.MultiIndex)) or not frame.index.is_unique
    known = {str(name).strip().casefold() for name in frame.columns} & set(ID_COLUMNS)
    return frame if plain or known else frame.reset_index(names="id")


def _columns_behind(url: str) -> tuple[str, dict[str, str]]:
    """A local path without the names of columns behind it, and these."""
    place, sign, query = url.partition("?")
    if not sign or "://" in url or url.endswith(".tar") or Path(url).exists():
        return url, {}
    columns = dict(parse_qsl(query, keep_blank_values=True))
    words = {"label": "labels_column", "text": "text_column", "path": "path_column"}
    unknown = next((key for key in columns if key not in words), query if not columns else None)
    if unknown is not None or not all(columns.values()):
        raise ValueError(
            f"path {url!r}: behind ? stand {', '.join(f'{word}=COLUMN' for word in words)}, with & between; "
            f"got {unknown or query!r}"
        )
    return place, {words[key]: column for key, column in columns.items()}


def _load(
    fs: Any, root: str, pattern: str, options: dict[str, Any], common: Any, reading: Any, of_tables: Mapping[str, Any]
) -> Domain:
    """What lies at `root`, or the shards there that a pattern names, as what it says that it is."""
    suffix = PurePosixPath(root).suffix.lower()
    if pattern or suffix == ".tar":
        shards = expand_shards(fs, f"{root}/{pattern}") if pattern else [root]
        return load_shards(fs, shards, **_only(options, "labels_column", "text_column"), **common, **reading)
    if fs.isdir(root) or not root:
        names = [entry.rstrip("/").rpartition("/")[2] for entry in fs.ls(root, detail=False)]
        return _load_folder(fs, root, names, options, common, reading, of_tables["frames"])
    if suffix in TABLE_SUFFIXES:
        return load_table(fs, root, **options, **common, **reading, **of_tables)
    _only(options)
    if suffix in (".npy", ".npz"):
        return load_arrays(fs, root, **common, on_error=reading["on_error"])
    if suffix == ".mat":
        return load_mat(fs, root, **common)
    if suffix in IMAGE_SUFFIXES or suffix == ".txt":
        return _load_one(fs, root, common["name"])
    if suffix in VIDEO_SUFFIXES:
        check_segment(fs, Segment(root))
        ids = np.array([root.rpartition("/")[2]])
        return Domain(
            x=clip_files([Segment(root)], fs, frames=of_tables["frames"]), kind="clip", ids=ids, name=common["name"]
        )
    if suffix in SOUND_SUFFIXES and is_local(fs):
        check_sound(root)
        return Domain(x=sound_files([root]), kind="audio", ids=np.array([Path(root).name]), name=common["name"])
    if suffix == ".pt":
        raise ValueError(f"path {root!r} holds tensors or a graph, and cannot be loaded as samples; {NODES}")
    others = (f".{name}" for name in plugins.found("loaders"))
    known = ", ".join(sorted({*TABLE_SUFFIXES, ".npy", ".npz", ".mat", ".tar", ".zip", *others}))
    raise ValueError(
        f"path {root!r} is of no type that can be loaded; expected a folder, a picture, a video, a sound, a .txt file, "
        f"or {known}"
    )


def samples_of(data: Any, **options: Any) -> Domain:
    """Samples that a caller gave: a `Domain` as it is, else what `load` reads there, with its options and errors."""
    return data if isinstance(data, Domain) else load(data, **options)


def is_known(suffix: str) -> bool:
    """Whether `load` reads files whose names end like this."""
    return suffix in {
        ".npy",
        ".npz",
        ".mat",
        ".tar",
        *TABLE_SUFFIXES,
        *IMAGE_SUFFIXES,
        *VIDEO_SUFFIXES,
        *SOUND_SUFFIXES,
    }


def _foreign(suffix: str, fs: Any, path: str, common: dict[str, Any]) -> Domain:
    """Load by a function of another package (entry points ``unseen.loaders``, named by suffix)."""
    domain = plugins.load("loaders", suffix)(fs, path, **common)
    if not isinstance(domain, Domain):
        raise TypeError(f"the loader of .{suffix} files must return a Domain; got {type(domain).__name__}")
    return domain


def _load_folder(
    fs: Any, root: str, names: list[str], options: dict[str, Any], common: Any, reading: Any, frames: int
) -> Domain:
    """A folder as what the names in it say that it is."""
    if MARKERS & set(names):
        return load_huggingface(root, **_only(options, "labels_column", "text_column"), **common, **reading)
    if "res101.mat" in names:
        raise ValueError(f"{root!r} is a zero-shot benchmark; read it with unseen.data.loaders.load_zsl")
    visible = sorted(entry for entry in names if not entry.startswith("."))
    if any(entry.endswith(".tar") for entry in visible) and not any(fs.isdir(f"{root}/{e}") for e in visible):
        shards = [f"{root}/{entry}" for entry in visible if entry.endswith(".tar")]
        return load_shards(fs, shards, **_only(options, "labels_column", "text_column"), **common, **reading)
    _only(options)
    return load_folder(fs, root, **common, **reading, frames=frames)


def _load_one(fs: Any, path: str, name: str) -> Domain:
    """One picture, or one text, as a domain of one sample."""
    from unseen.data.images import image_files, verify

    ids = np.array([path.rpartition("/")[2]])
    if path.lower().endswith(".txt"):
        verify_text(fs, path)
        return Domain(x=text_files([path], fs), kind="text", ids=ids, name=name)
    with open_file(fs, path) as file:
        verify(file)
    return Domain(x=image_files([path], fs), kind="image", ids=ids, name=name)


def _only(options: dict[str, Any], *allowed: str) -> dict[str, Any]:
    """The options that apply; `ValueError` if one was given that does not."""
    for key, value in options.items():
        if value is not None and key not in allowed:
            raise ValueError(f"{key} does not apply to data of this type; got {value!r}")
    return {key: options[key] for key in allowed}
