"""`Pairs`: samples of two modalities that belong together."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.tasks.base import text_array
from unseen.files import reads


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Pairs:
    """Two domains of equal length whose samples belong together, row by row.

    Parameters
    ----------
    left, right : Domain
        The two sides: pictures and their captions, sentences and their translations, photos and sketches.
    ids : array of n strings, optional
        A stable id of every pair; those of `left` if absent.
    columns : mapping of name to array of shape (n, ...)
        Everything else that is known of each pair.
    name : str, optional
        What reports call the pairs; the name of `left` if absent.

    Raises
    ------
    TypeError
        If a side is no `Domain`.
    ValueError
        If lengths differ or ids repeat.
    """

    left: Domain
    right: Domain
    ids: NDArray[np.str_] | None = None
    columns: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        for side in ("left", "right"):
            if not isinstance(getattr(self, side), Domain):
                raise TypeError(f"{side} must be a Domain; got {type(getattr(self, side)).__name__}")
        n = len(self.left)
        if len(self.right) != n:
            raise ValueError(f"left and right must be of equal length; got {n} and {len(self.right)}")
        ids = np.asarray(self.left.ids if self.ids is None else self.ids, dtype=np.str_)
        columns = {key: np.asarray(column) for key, column in self.columns.items()}
        for key, values in [("ids", ids), *columns.items()]:
            if len(values) != n:
                raise ValueError(f"{key} has {len(values)} entries, there are {n} pairs")
        if len(np.unique(ids)) != n:
            raise ValueError("ids must be unique")
        for key, value in (("ids", ids), ("columns", columns), ("name", self.name or self.left.name)):
            object.__setattr__(self, key, value)

    def __len__(self) -> int:
        return len(self.left)

    def __repr__(self) -> str:
        return f"Pairs({self.name!r}, {len(self)} x {self.left.kind} and {self.right.kind})"

    def replace(self, **changes: Any) -> Pairs:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def take(self, index: Any) -> Pairs:
        """Return the pairs at `index` (integers, booleans or a slice), in that order."""
        assert self.ids is not None
        return self.replace(
            left=self.left.take(index),
            right=self.right.take(index),
            ids=self.ids[index],
            columns={key: column[index] for key, column in self.columns.items()},
        )

    def called(self, *names: str) -> str | None:
        """The column that is called as one of these names, the first that is there, whatever its capitals; or None."""
        folded = {key.strip().casefold(): key for key in reversed(list(self.columns))}
        return next((folded[name] for name in names if name in folded), None)

    def swap(self) -> Pairs:
        """Return the pairs with left and right exchanged."""
        return self.replace(left=self.right, right=self.left)


@reads("a table of pairs", "write it as CSV with a column for either side")
def read_pairs(
    path: str | os.PathLike[str],
    *,
    left: str,
    right: str,
    name: str | None = None,
    on_error: str = "skip",
    check: bool = True,
    allow_outside: bool = False,
) -> Pairs:
    """Read pairs from a table with a column for either side.

    A column whose entries end like files of pictures or of sounds holds paths relative to the table's folder; any other
    holds texts. A pair is left out, and listed in `left.skipped` or `right.skipped`, if one of its sides cannot be
    read.

    Parameters
    ----------
    path : path or fsspec URL
        A CSV, TSV, JSON-lines or Parquet file.
    left, right : str
        The columns of the two sides. All other columns are kept.
    on_error, check, allow_outside
        See `unseen.data.loaders.load`.
    """
    from unseen.data.images import IMAGE_SUFFIXES
    from unseen.data.loaders.common import find_column, locate, settle
    from unseen.data.loaders.table import as_column, as_texts, picture_column, read_frame, sound_column
    from unseen.data.sounds import SOUND_SUFFIXES

    if on_error not in ("skip", "fail"):
        raise ValueError(f"on_error must be 'skip' or 'fail'; got {on_error!r}")
    if left == right:
        raise ValueError(f"left and right must be two columns; got {left!r} twice")
    fs, file = locate(path)
    frame = read_frame(fs, file, [left, right])
    title = name or PurePosixPath(file).stem
    if not len(frame):
        raise ValueError(f"{title}: the table has no rows")
    readable = np.ones(len(frame), dtype=bool)
    sides: list[Any] = []
    x: Any
    for argument, column in (("left", left), ("right", right)):
        find_column(list(frame.columns), column, argument)
        endings = [PurePosixPath(str(value)).suffix.lower() for value in frame[column]]
        if np.mean([ending in IMAGE_SUFFIXES for ending in endings]) >= 0.9:
            kind = "image"
            x, valid, skipped = picture_column(fs, file, frame[column], check, allow_outside)
        elif np.mean([ending in SOUND_SUFFIXES for ending in endings]) >= 0.9:
            kind = "audio"
            x, valid, skipped = sound_column(fs, file, frame[column], check, allow_outside)
        else:
            _check_texts(frame[column], argument)
            kind, x, skipped = "text", as_texts(frame[column]), []
            valid = np.ones(len(frame), dtype=bool)
        readable &= valid
        sides.append((kind, x, valid, settle(skipped, on_error, title)))  # type: ignore[arg-type]
    rows = np.flatnonzero(readable)
    if not len(rows):
        raise ValueError(f"{title}: none of the {len(frame)} pairs can be read")
    ids = np.array([f"{row:06d}" for row in rows])
    domains = [
        Domain(x=x[readable[valid]], kind=kind, ids=ids, name=f"{title}, {column}", skipped=skipped)
        for (kind, x, valid, skipped), column in zip(sides, (left, right))
    ]
    others = [column for column in frame.columns if column not in (left, right)]
    columns = {column: as_column(frame[column])[rows] for column in others}
    return Pairs(domains[0], domains[1], ids=ids, columns=columns, name=title)


NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
"""A number as a text."""


def _check_texts(column: Any, argument: str) -> None:
    """`ValueError` where a side that would be read as texts holds measurements or rows of numbers.

    Whole numbers, such as years, pass: they may be words.
    """
    if not (any(isinstance(cell, (list, tuple, np.ndarray)) for cell in column) or _are_measured(column)):
        return
    raise ValueError(
        f"{argument}: the column {str(column.name)!r} holds numbers, and a side of a table must be texts or paths; "
        "write the features of each side into a file of its own (.npy), rows in one order, and name the two files"
    )


def _are_measured(column: Any) -> bool:
    """Whether each cell that is filled is a number or a row of them, and some have fractions."""
    cells = [text for text in column.dropna().astype(str).str.strip() if text]
    if not all(NUMBER.fullmatch(part) for text in cells for part in re.split(r"[,;\s]+", text.strip("[]() "))):
        return False
    return any("." in text for text in cells)


CAPTIONED = {
    "image": ("image", "picture", "img", "file", "filename", "filepath", "path"),
    "text": ("text", "caption", "title", "description", "txt"),
}
"""Names by which the columns of pictures and of their captions are found."""


@reads("a table of pictures and captions", "write it as CSV with the columns image and text")
def read_captioned(path: str | os.PathLike[str], *, image: str | None = None, text: str | None = None) -> Pairs:
    """Pictures (left) and their captions (right) of a table, whose columns are found by name where none is told.

    Raises
    ------
    ValueError
        If no column has such a name, or the sides are no pictures and texts.
    """
    from unseen.data.loaders.common import locate
    from unseen.data.loaders.table import read_frame

    fs, file = locate(path)
    columns = [str(column) for column in read_frame(fs, file, []).columns]
    chosen = {"image": image, "text": text}
    for side, names in CAPTIONED.items():
        matches = [column for name in names for column in columns if column.lower() == name]
        if chosen[side] is None and not matches:
            raise ValueError(f"{side}: no column is called {' or '.join(names)}; name one of {', '.join(columns)}")
        chosen[side] = chosen[side] or matches[0]
    pairs = read_pairs(path, left=str(chosen["image"]), right=str(chosen["text"]))
    if pairs.left.kind != "image" or pairs.right.kind != "text":
        raise ValueError(
            f"pairs must be of pictures and texts; column {chosen['image']!r} holds {pairs.left.kind}, "
            f"column {chosen['text']!r} {pairs.right.kind}"
        )
    return pairs


def captioned_clips(clips: Domain, column: str = "caption") -> Pairs:
    """Clips (left) and what a column says of each (right), as a table with path, start, end and caption gives them.

    Parameters
    ----------
    clips : Domain
        Of kind clip, from `unseen.data.loaders.load` or made ready for a network.
    column : str

    Raises
    ------
    ValueError
        If they are no clips, there is no such column, or it says nothing of a clip.
    """
    if clips.kind != "clip":
        raise ValueError(f"clips must be of kind clip; {clips.name} is of kind {clips.kind!r}")
    if column not in clips.columns:
        existing = ", ".join(clips.columns) or "none"
        raise ValueError(f"column {column!r} is not there; {clips.name} has {existing}")
    captions = text_array(clips.columns[column])
    empty = [str(name) for name, text in zip(clips.ids, captions) if text.strip().lower() in ("", "nan", "none")]  # type: ignore[arg-type]
    if empty:
        raise ValueError(f"column {column!r} must have a text of each clip; that of {empty[0]!r} is empty")
    texts = Domain(x=captions, kind="text", ids=clips.ids, name=f"{clips.name}, {column}")
    others = {key: values for key, values in clips.columns.items() if key != column}
    return Pairs(clips.unlabeled(), texts, ids=clips.ids, columns=others, name=clips.name)
