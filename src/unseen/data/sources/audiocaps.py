"""Captions of sounds, AudioCaps' texts, which are read from the user's folder; and AudioSet's names of sound events."""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.sources.downloads import SourceUnavailable
from unseen.runtime import data_folder

CREDIT = (
    "AudioCaps by Kim, Kim, Lee and Kim, NAACL 2019, its captions alone (its authors: free to use for academic "
    "purposes only; they are not in this package)"
)
EVENTS_CREDIT = "AudioSet's labels by Google (CC BY 4.0)"
COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")
WHERE = (
    "get train.csv, val.csv and test.csv from the folder dataset of https://github.com/cdjkim/audiocaps and lay them "
    'into a folder audiocaps below the one that UNSEEN_DATA names; its authors say "free to use for academic purposes '
    'only", so they are not in this package'
)
_HERE = Path(__file__).parent / "sounds"


def audiocaps(split: Literal["train", "val", "test"] = "train", folder: str | os.PathLike[str] | None = None) -> Domain:
    """The captions of AudioCaps, from your folder: one of each sound to learn from, five of those of val and test.

    The sounds themselves are parts of videos, and are not read.

    Parameters
    ----------
    split : {"train", "val", "test"}
    folder : path, optional
        Where train.csv, val.csv and test.csv lie; `audiocaps_folder` if absent.

    Returns
    -------
    Domain
        Texts, with the column ``clip``: which sound of which video each tells of.

    Raises
    ------
    SourceUnavailable
        If the file is not there; the message says where to get it and under which terms.
    ValueError
        If it lacks a column, or a row a caption.
    """
    if split not in ("train", "val", "test"):
        raise ValueError(f"split must be train, val or test; got {split!r}")
    file = (audiocaps_folder() if folder is None else Path(folder)) / f"{split}.csv"
    if not file.is_file():
        raise SourceUnavailable(f"AudioCaps' captions are not here, there is no file {str(file)!r}: {WHERE}")
    stat = file.stat()
    frame = _table(file.resolve(), stat.st_mtime_ns, stat.st_size)
    return Domain(
        x=frame["caption"].to_numpy().astype(np.str_),
        kind="text",
        ids=np.array([f"audiocaps/{caption_id}" for caption_id in frame["audiocap_id"]], dtype=np.str_),
        columns={"clip": (frame["youtube_id"] + " " + frame["start_time"]).to_numpy().astype(np.str_)},
        name=f"audiocaps {split}",
        credits=(CREDIT,),
    )


def audiocaps_folder() -> Path:
    """Where AudioCaps' captions are looked for: ``audiocaps`` below `unseen.runtime.data_folder`."""
    return data_folder() / "audiocaps"


@functools.lru_cache(maxsize=8)
def _table(file: Path, changed: int, size: int) -> Any:
    """A file of captions; read once for as long as it stays as it is."""
    import pandas as pd

    try:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
    except ValueError as error:  # of pandas, too, and of what is no UTF-8
        raise ValueError(f"{file.name} of AudioCaps cannot be read: {error}") from error
    lacking = [name for name in COLUMNS if name not in frame]
    if lacking:
        raise ValueError(f"{str(file)!r} must have the columns {', '.join(COLUMNS)}; it lacks {', '.join(lacking)}")
    frame["caption"] = frame["caption"].str.split().str.join(" ")
    empty = int((frame["caption"] == "").sum())
    if empty or frame.empty:
        raise ValueError(f"{str(file)!r} must hold captions; {empty} of {len(frame)} are empty")
    return frame


def sound_events() -> ClassSpace:
    """The 527 sound events of AudioSet: short names in lower case, and what AudioSet calls them as descriptions."""
    labels = json.loads((_HERE / "events.json").read_text(encoding="utf-8"))["labels"]
    names = [_short(label) for label in labels]
    taken = {name for name in names if names.count(name) > 1}
    return ClassSpace(
        names=tuple(label.lower() if name in taken else name for name, label in zip(names, labels)),
        descriptions=tuple(labels),
    )


def _short(label: str) -> str:
    """The first of several names, without what stands in brackets: "Vehicle horn, car horn" is a vehicle horn."""
    return re.sub(r"\s*\([^)]*\)", "", label).partition(",")[0].strip().lower()
