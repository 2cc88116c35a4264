"""Pairs as users have them: tables, shards, two files of features; what lacks a side is left out and counted."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.clips import FRAMES, Segment
from unseen.data.damage import undamaged
from unseen.data.domain import Domain
from unseen.data.images import IMAGE_SUFFIXES
from unseen.data.loaders import load, samples_of
from unseen.data.loaders.arrays import load_sides
from unseen.data.loaders.common import locate
from unseen.data.loaders.table import TABLE_SUFFIXES, are_clips, read_frame
from unseen.data.loaders.webdataset import ALONE
from unseen.data.pairs import Pairs, captioned_clips, read_pairs
from unseen.data.sounds import SOUND_SUFFIXES
from unseen.data.video_formats import VIDEO_SUFFIXES
from unseen.encoders.unread import unread
from unseen.evaluation.exam import Exam
from unseen.files import reads

COLUMNS = (
    ("image", "text"), ("image", "caption"), ("picture", "caption"), ("file_name", "text"), ("file_name", "caption"),
    ("path", "text"), ("path", "caption"), ("filepath", "caption"), ("video", "text"), ("video", "caption"),
    ("clip", "text"), ("clip", "caption"), ("left", "right"), ("source", "target"), ("first", "second"), ("a", "b"),
)  # fmt: skip
"""Usual names of the two columns of a table of pairs."""
VIDEO = "video file"
"""The column that says which video a clip is a part of."""
ROW = re.compile(r"row (\d+)(?: \(id .*\))?(?:: .*)?$")
"""Where a row that was left out stands."""
LANGUAGES = ("language", "lang", "locale")
"""Usual names of the column that says which language a pair is in."""


@dataclasses.dataclass(frozen=True)
class Read:
    """Pairs that have both sides, and how many there were without."""

    pairs: Pairs
    lacking: int


def read(
    paths: Sequence[str | os.PathLike[str]],
    *,
    left: str | None = None,
    right: str | None = None,
    frames: int = FRAMES,
) -> Read:
    """Read pairs.

    Parameters
    ----------
    paths : sequence of one or two paths
        A table (CSV, TSV, JSON lines, Parquet) with a column for each side, of which one may name videos (with
        ``start`` and ``end`` in seconds, parts of them); shards of pictures with texts (``shards-{000..003}.tar``, or a
        folder of them), which are read where they lie; an .npz with the arrays ``left`` and ``right``; or two paths,
        one for each side: files of features (.npy), or whatever `unseen.load` reads, row by row.
    left, right : str, optional
        The columns of a table; usual names, or the only two columns, if absent.
    frames : int, >= 2
        Frames of a clip.

    Raises
    ------
    ValueError
        If there are not two sides of equal length, or no pair has both.
    """
    if not 1 <= len(paths) <= 2:
        raise ValueError(f"pairs must be a table, shards, or a path for each of two sides; got {len(paths)} paths")
    if len(paths) == 2:
        if left or right:
            raise ValueError("left and right name the columns of one table; two paths are two sides")
        none_twice(paths)
        return _two_files(*paths)
    return _one(paths[0], left, right, frames)


def none_twice(paths: Sequence[Any]) -> None:
    """Raise `ValueError` where a file is named twice: as both sides, or as two tables of one corpus."""
    places = [os.path.realpath(os.fspath(path)) for path in paths if isinstance(path, (str, os.PathLike))]
    if len(set(places)) < len(places):
        twice = next(os.fspath(path) for path, place in zip(paths, places) if places.count(place) > 1)
        raise ValueError(f"pairs: {twice} is named twice; name it once if it is a table, else a path for each side")


@reads("a table of pairs", "write it as CSV with a column for either side")
def _one(place: str | os.PathLike[str], left: str | None, right: str | None, frames: int) -> Read:
    """Pairs of a table or of shards."""
    path = os.fspath(place)
    if PurePosixPath(path).suffix.lower() in TABLE_SUFFIXES:
        columns = _columns(path, left, right)
        fs, file = locate(path)
        frame = read_frame(fs, file, columns)
        for clips, texts in (columns, columns[::-1]):
            if _name_files(frame, texts) and not _name_files(frame, clips):
                continue  # a caption may be called as a folder
            if clips in frame and _name_clips(fs, file, frame[clips]):
                clips_read = _clips(path, clips, texts, frames)
                return clips_read if clips == columns[0] else Read(clips_read.pairs.swap(), clips_read.lacking)
        return _complete(read_pairs(path, left=columns[0], right=columns[1]))
    if left or right:
        raise ValueError(f"left and right name the columns of a table; {path!r} is none")
    if PurePosixPath(path).suffix.lower() == ".npz":
        return _arrays(path)
    return _shards(path)


def _arrays(path: str) -> Read:
    """The arrays ``left`` and ``right`` of a file, row by row."""
    fs, file = locate(path)
    sides = load_sides(fs, file, PurePosixPath(file).stem)
    if sides is None:
        raise ValueError(
            f"pairs: {path!r} must hold the arrays left and right, with as many rows (features or texts); or name two "
            "files, one for each side"
        )
    return _row_by_row(sides, (f"its array {side}" for side in ("left", "right")))


def _columns(path: str, left: str | None, right: str | None) -> tuple[str, str]:
    """The columns of both sides."""
    fs, file = locate(path)
    names = [str(name) for name in read_frame(fs, file).columns]
    if left and right:
        return left, right
    if left or right:
        others = [name for name in names if name != (left or right)]
        if len(others) != 1:
            raise ValueError(f"{'right' if left else 'left'} must name a column, too; there are {', '.join(names)}")
        return (left or others[0], right or others[0])
    folded = {name.casefold(): name for name in names}
    for first, other in COLUMNS:
        if first in folded and other in folded:
            return folded[first], folded[other]
    if len(names) == 2:
        return names[0], names[1]
    raise ValueError(f"left and right must name the columns of the two sides; {path!r} has {', '.join(names)}")


def _name_files(frame: Any, column: str) -> bool:
    """Whether most entries of a column end as files of pictures, sounds or videos."""
    endings = IMAGE_SUFFIXES | VIDEO_SUFFIXES | frozenset(SOUND_SUFFIXES)
    names = frame[column].astype(str) if column in frame else ()
    return bool(len(names)) and float(np.mean([PurePosixPath(name).suffix.lower() in endings for name in names])) >= 0.5


def _name_clips(fs: Any, file: str, column: Any) -> bool:
    """Whether a column names videos or folders of frames: its first entry and its last one, so that no text does."""
    filled = column[column.astype(str).str.strip() != ""]
    return len(filled) > 0 and are_clips(fs, file, filled) and are_clips(fs, file, filled[::-1])


def _clips(path: str, clips: str, texts: str, frames: int) -> Read:
    """Clips that a column names, perhaps parts of videos, with what another says of each."""
    domain = load(path, path_column=clips, frames=frames)
    captions = domain.columns.get(texts)
    if captions is None or captions.dtype.kind not in "UO":
        content = "labels or ids" if captions is None else "numbers"
        raise ValueError(f"right must name a column of captions; {texts!r} holds {content}")
    whole = np.array([text.strip().lower() not in ("", "nan", "none") for text in captions.tolist()], dtype=bool)
    if not whole.any():
        raise ValueError(f"pairs: each of the {len(domain)} clips lacks a caption; a text must not be empty")
    lacking = int((~whole).sum()) + len(domain.skipped)
    if all(isinstance(item, Segment) for item in domain.x.items):
        videos = np.array([item.path for item in domain.x.items], dtype=np.str_)
        domain = domain.replace(columns={**domain.columns, VIDEO: videos})
    pairs = captioned_clips(domain.take(np.flatnonzero(whole)), texts)
    return Read(pairs.replace(left=pairs.left.replace(skipped=domain.skipped)), lacking)


def _two_files(first: Any, second: Any) -> Read:
    """Row by row; a row that one side could not read is left out of both."""
    paths = [os.fspath(path) for path in (first, second)]
    return _row_by_row([load(path) for path in paths], paths)


def _row_by_row(sides: Sequence[Domain], of: Iterable[str]) -> Read:
    """Samples of both sides that stand in one row; `of` says where they were read."""
    paths = list(of)
    n, m = (len(side) + len(side.skipped) for side in sides)
    if n != m:
        raise ValueError(f"pairs: both sides must have as many samples; {paths[0]} has {n}, {paths[1]} has {m}")
    rows = [_rows(side, path) for side, path in zip(sides, paths)]
    both = np.intersect1d(rows[0], rows[1])
    if not len(both):
        raise ValueError(f"pairs: no row of {paths[0]} and {paths[1]} can be read on both sides")
    left, right = (side.unlabeled().take(np.searchsorted(kept, both)) for side, kept in zip(sides, rows))
    complete = _complete(Pairs(left, right, ids=np.array([f"{i:06d}" for i in both])))
    return Read(complete.pairs, n - len(complete.pairs))


def _rows(side: Domain, path: str) -> NDArray[np.intp]:
    """Which rows of its file the samples of a side are, ascending; of a folder nobody knows."""
    places = [None if Path(path).is_dir() else ROW.match(skipped.where) for skipped in side.skipped]
    lost = np.array([int(match[1]) - 1 for match in places if match], dtype=np.intp)
    n = len(side) + len(places)
    if len(lost) < len(places):
        raise ValueError(
            f"pairs: two paths stand beside each other row by row, and {len(places)} of {path} cannot be read, such as "
            f"{side.skipped[0].where}; remove them on both sides, or write a table of pairs"
        )
    return np.setdiff1d(np.arange(n), lost)


def _shards(path: str) -> Read:
    """Pictures or sounds of shards with the texts that stand beside them; a text without one lacks a side, too."""
    domain = load(path)
    if "text" not in domain.columns or domain.kind not in ("image", "audio"):
        raise ValueError(
            f"pairs: {path!r} holds {domain.kind} without a text beside each; name a table, shards of pictures or "
            "sounds with texts, or two paths"
        )
    texts = Domain(x=domain.columns["text"], kind="text", ids=domain.ids, name=f"{domain.name}, text")
    taken = _complete(Pairs(domain.unlabeled(), texts, ids=domain.ids, name=domain.name))
    files = IMAGE_SUFFIXES | frozenset(SOUND_SUFFIXES)
    lost = [s for s in domain.skipped if s.why == ALONE or PurePosixPath(s.where).suffix.lower() in files]
    return Read(taken.pairs, taken.lacking + len(lost))


def _complete(pairs: Pairs) -> Read:
    """The pairs of which neither side is an empty text; `ValueError` where all texts of a side are the same."""
    whole = np.ones(len(pairs), dtype=bool)
    for side in (pairs.left, pairs.right):
        if side.kind == "text":
            whole &= np.array([bool(str(text).strip()) for text in side.x])
    lacking = int((~whole).sum()) + len(pairs.left.skipped) + len(pairs.right.skipped)
    if not whole.any():
        raise ValueError(f"pairs: each of the {len(pairs)} pairs lacks a side; a text must not be empty")
    return Read(unlike(pairs if whole.all() else pairs.take(np.flatnonzero(whole))), lacking)


def undamaged_pairs(pairs: Pairs) -> Pairs:
    """The pairs whose clips can be decoded; others are `skipped` on the side of the clips, called by their video."""
    assert pairs.ids is not None
    names = pairs.ids
    if VIDEO in pairs.columns:
        videos = (PurePath(video).name for video in pairs.columns[VIDEO])
        names = np.array([f"{video} (pair {i})" for video, i in zip(videos, names)])
    for side in ("left", "right"):
        named = getattr(pairs, side).replace(ids=names)
        whole = undamaged(named)
        if whole is not named:
            kept = np.isin(names, np.asarray(whole.ids))
            pairs, names = pairs.take(np.flatnonzero(kept)), names[kept]
            pairs = pairs.replace(**{side: getattr(pairs, side).replace(skipped=whole.skipped)})
    return pairs


def unread_clips(clips: Domain, exam: Domain | None = None) -> list[str]:
    """Which clips, and which of an exam, could not be read."""
    parts = {"Clips": clips} if exam is None else {"Clips": clips, "Clips of the exam": exam}
    lost = {what: part.skipped for what, part in parts.items() if part.kind == "clip" and part.skipped}
    return [
        f"{what} that cannot be read: {len(skipped):,}, the first {skipped[0].where!r}: {skipped[0].why}."
        for what, skipped in lost.items()
    ]


def unlike(pairs: Pairs) -> Pairs:
    """The same pairs; `ValueError` where all texts of a side are the same."""
    for name, side in (("left", pairs.left), ("right", pairs.right)):
        if side.kind == "text" and len(texts := {str(text).strip() for text in side.x}) == 1 < len(pairs):
            raise ValueError(
                f"pairs: all samples of the {name} side are the same, {texts.pop()!r:.60}; nothing can be told apart "
                "by them"
            )
    return pairs


def language_of(pairs: Pairs, column: str | None) -> NDArray[np.str_] | None:
    """The language of each pair, if a column says so."""
    if column is None:
        column = pairs.called(*LANGUAGES)
    elif column not in pairs.columns:
        columns = f"there are {', '.join(pairs.columns)}" if pairs.columns else "there is no other column"
        raise ValueError(f"language {column!r} is no column of the pairs; {columns}")
    return None if column is None else np.asarray(pairs.columns[column], dtype=np.str_)


def held_out(pairs: Pairs, share: float) -> NDArray[np.bool_]:
    """Which pairs are asked about and never learnt, (n,): by the content of the left side, alike in all calls.

    Pairs with one left sample stay together, so that a picture is never on both sides.
    """
    return held_out_by(pairs.left.digests(), share)


def held_out_by(keys: NDArray[np.str_], share: float) -> NDArray[np.bool_]:
    """The same by a hexadecimal digest of each pair: pairs that share one stay together."""
    place = np.array([int(digest[:12], 16) / 16**12 for digest in keys.tolist()])
    values = np.unique(place)
    if len(values) < 4:
        raise ValueError(f"pairs must hold at least four samples that differ on the left side; got {len(values)}")
    least, most = values[1], values[-3]  # two at least on either side
    return place <= min(max(share, least), most)


def legible(reader: Any, texts: Domain, side: str, fix: str, by: str = "") -> tuple[int, list[str]]:
    """How many texts of a side are cut at the context of what reads them; a sentence if some cannot be spelt.

    Raises
    ------
    ValueError
        If none can be spelt, so that all are one; `fix` is what to do.
    """
    lost = unread(reader, texts.x, by)
    if lost.n and lost.unspelt == lost.n:
        raise ValueError(
            f"pairs: the {lost.n:,} texts on the {side} side, such as {lost.example!r}, are in signs that {lost.by} "
            f"does not know, and alike to it; {fix}"
        )
    spelt = dataclasses.replace(lost, cut=0)
    return lost.cut, [f"{line}." for line in spelt.lines(f"texts on the {side} side")]


def both_legible(pairs: Pairs, towers: Mapping[str, Any]) -> tuple[int, list[str]]:
    """The same of both sides of pairs, of which each that holds texts is read by its encoder."""
    sides = {side: getattr(pairs, side) for side, tower in towers.items() if tower is not None}
    counts = [
        legible(towers[side], texts, side, f"`{side}_encoder` must be one of their language")
        for side, texts in sides.items() if texts.kind == "text"
    ]  # fmt: skip
    return sum(cut for cut, _ in counts), [line for _, lines in counts for line in lines]


def exam_of(exam: str | os.PathLike[str] | Domain, kind: str, space: ClassSpace | None, what: str) -> Exam:
    """Labelled samples as an exam, whose classes are those that are asked about; `what` has samples of the same kind.

    Raises
    ------
    ValueError
        If they are of another kind or not labelled, or a class of theirs is not asked about.
    """
    domain = samples_of(exam)
    if domain.kind != kind:
        raise ValueError(f"exam must hold {kind}, as {what}; {domain.name!r} holds {domain.kind}")
    if domain.y is None or domain.classes is None or not domain.labeled.any():
        raise ValueError(f"exam must be labelled; {domain.name!r} is not: name a folder of class folders, or a table")
    domain = domain.take(domain.labeled)
    classes = domain.classes
    assert classes is not None
    if space is not None:
        missing = [name for name in classes.names if name not in space.names]
        if missing:
            raise ValueError(f"exam has the class {missing[0]!r}, which is not among classes")
        place = np.array([space.names.index(name) for name in classes.names])
        domain = domain.replace(y=place[domain.labels], classes=space)
    return Exam(domain, space or classes)
