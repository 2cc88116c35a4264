"""A column of a table that names clips: videos, parts of them with a start and an end, or folders of frames."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.data import clips, video
from unseen.data.domain import Lazy, Skipped
from unseen.data.images import IMAGE_SUFFIXES
from unseen.data.loaders.cells import EMPTY
from unseen.data.loaders.common import inspect, place_of
from unseen.data.reading import open_file
from unseen.data.video import VIDEO_SUFFIXES
from unseen.files import sentence

if TYPE_CHECKING:
    import pandas as pd


def clip_column(
    fs: Any,
    table: str,
    column: pd.Series[Any],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    check: bool,
    allow_outside: bool,
    frames: int,
) -> tuple[Lazy, NDArray[np.bool_], list[Skipped]]:
    """Clips that rows name, relative to the table; which rows can be read; why the others cannot.

    `starts` and `ends` are seconds, not a number where there is none. The ends of a file are looked at once for all its
    parts; then each part is decoded, and kept for later as far as there is room.
    """
    names = [str(value) for value in column]
    seconds: dict[str, float] = {}

    def test(name: str) -> None:
        path = place_of(fs, table, allow_outside, name)
        if fs.isdir(path):
            clips.check_frames(clips.pictures_in(fs, path))
        elif not fs.exists(path):
            raise ValueError("the file does not exist")
        elif check:
            with open_file(fs, path) as file:
                seconds[name] = video.probe(file).seconds

    bad = {entry.where: entry for entry in inspect(list(dict.fromkeys(names)), test, lambda name: name)}
    items: list[Any] = []
    skipped: list[Skipped] = []
    readable = np.zeros(len(names), dtype=bool)
    for i, name in enumerate(names):
        try:
            if name in bad:
                raise ValueError(bad[name].why)
            path = place_of(fs, table, allow_outside, name)
            if fs.isdir(path):
                if starts[i] > 0 or not np.isnan(ends[i]):
                    raise ValueError("it is a folder of frames, which has no times: a start and an end are of videos")
                items.append(tuple(clips.pictures_in(fs, path)))
            else:
                end = None if np.isnan(ends[i]) else float(ends[i])
                segment = clips.Segment(path, 0.0 if np.isnan(starts[i]) else float(starts[i]), end)
                if check:
                    clips.bounds(segment, seconds[name])
                items.append(segment)
            readable[i] = True
        except ValueError as error:
            skipped.append(Skipped(f"row {i + 1}: {name}", sentence(error)))
    if len({type(item) for item in items}) > 1:
        raise ValueError(f"{column.name} must name videos, or folders of frames; it names both")
    if check:
        places = [f"row {i + 1}: {names[i]}" for i in np.flatnonzero(readable)]
        look = clips.Look(fs, frames)
        damaged = inspect(range(len(items)), lambda at: look.inside(items[at]), places.__getitem__)
        lost = {entry.where for entry in damaged}
        whole = np.array([place not in lost for place in places], dtype=bool)
        items = [item for item, fine in zip(items, whole) if fine]
        readable[readable] = whole
        skipped += damaged
    if items and isinstance(items[0], tuple):
        return clips.frame_folders(items, fs, frames=frames), readable, skipped
    return clips.clip_files(items, fs, frames=frames), readable, skipped


def seconds_of(frame: pd.DataFrame, column: str | None) -> NDArray[np.float64]:
    """Times of a column, not a number where there is none; a `ValueError` names what is no number."""
    import pandas as pd

    if column is None:
        return np.full(len(frame), np.nan)
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=np.float64)
    filled = np.array([str(value).strip() not in ("", *EMPTY) for value in frame[column]])
    if (filled & np.isnan(values)).any():
        row = int(np.flatnonzero(filled & np.isnan(values))[0])
        raise ValueError(f"{column} must hold seconds; row {row + 1} has {str(frame[column].iloc[row])!r}")
    return values


def are_clips(fs: Any, table: str, column: pd.Series[Any], allow_outside: bool = False) -> bool:
    """Whether a column names clips: most paths end as videos do, or the first is a folder."""
    suffixes = [PurePosixPath(str(value)).suffix.lower() for value in column]
    if np.mean([suffix in VIDEO_SUFFIXES for suffix in suffixes]) >= 0.5:
        return True
    if suffixes[0] in IMAGE_SUFFIXES:
        return False
    try:
        return bool(fs.isdir(place_of(fs, table, allow_outside, str(column.iloc[0]))))
    except ValueError:  # it leads out of its folder, as is said of each row later
        return False
