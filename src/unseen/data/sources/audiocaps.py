"""Captions of sounds and names of sound events, which come along: AudioCaps' texts, and AudioSet's labels."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain

CREDIT = "AudioCaps by Kim, Kim, Lee and Kim, NAACL 2019 (MIT), its captions alone"
EVENTS_CREDIT = "AudioSet's labels by Google (CC BY 4.0)"
_HERE = Path(__file__).parent / "sounds"


def audiocaps(split: Literal["train", "val", "test"] = "train") -> Domain:
    """The captions of AudioCaps: 49,838 of as many sounds to learn from, and five each of 495 and of 975 sounds.

    The sounds themselves are not here: they are parts of videos.

    Parameters
    ----------
    split : {"train", "val", "test"}

    Returns
    -------
    Domain
        Texts, with the column ``clip``: a number of the sound.
    """
    if split not in ("train", "val", "test"):
        raise ValueError(f"split must be train, val or test; got {split!r}")
    frame = _table()
    own = frame[frame["split"] == split]
    return Domain(
        x=own["caption"].to_numpy().astype(np.str_),
        kind="text",
        ids=np.array([f"audiocaps/{i}" for i in own.index]),
        columns={"clip": own["clip"].to_numpy().astype(np.int64)},
        name=f"audiocaps {split}",
        credits=(CREDIT,),
    )


@functools.cache
def _table() -> Any:
    import pandas as pd

    return pd.read_parquet(_HERE / "audiocaps.parquet")


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
