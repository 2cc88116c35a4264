"""A saved captioner, asked for the captions of sounds."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.jobs import Ask, SavedModel

log = logging.getLogger(__name__)


def opened(folder: Path) -> Ask:
    """A row per sound: its caption, and the events that are heard in it, the likeliest first."""
    from unseen.jobs.captioning.captioner import Captioner

    captioner = Captioner.load(folder)

    def ask(sounds: Sequence[Any], top: int) -> list[list[dict[str, Any]]]:
        return [
            [
                {
                    "answer": heard.caption,
                    "seconds": round(heard.seconds, 3),
                    "events": [{"class": name, "score": round(float(score), 6)} for name, score in heard.events[:top]],
                }
            ]
            for heard in captioner.listen(sounds)
        ]

    return ask


def read(path: str) -> tuple[Sequence[Any], Sequence[Any]]:
    """Sounds of a folder, a file or a table; those that cannot be captioned are left out and told."""
    from unseen.data.sounds import read_sounds
    from unseen.jobs.captioning.job import sounds_of

    paths, names, _, unread = sounds_of(path)
    for one in unread:
        log.warning("%s is left out: %s", one.where, one.why)
    kept = []
    for name, (_, sound, why) in zip(names, read_sounds(paths)):
        if sound is None:
            log.warning("%s is left out: %s", name, why)
        else:
            kept.append((name, sound))
    if not kept:
        raise ValueError(f"{path} holds no sound that can be captioned")
    return [name for name, _ in kept], [sound for _, sound in kept]


SAVED = SavedModel(
    what="a captioner of sounds",
    command="unseen caption SOUNDS --model {folder}",
    holds=lambda place: (place / "captioner.json").is_file(),
    reads="audio",
    tells="captions",
    opened=opened,
    read=read,
)
