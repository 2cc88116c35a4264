"""A saved captioner, asked for the captions of sounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.jobs import Ask, Samples, SavedModel, samples_of


def opened(folder: Path) -> Ask:
    """A row per sound: its caption, and the events that are heard in it, the likeliest first.

    The answer is the nearest caption where the decoder is the small one, which a search beats (docs/caption.md).
    """
    from unseen.jobs.captioning.captioner import Captioner

    captioner = Captioner.load(folder)

    def ask(sounds: Sequence[Any], top: int) -> list[list[dict[str, Any]]]:
        return [
            [
                {
                    "answer": heard.nearest if captioner.searches else heard.caption,
                    "caption": heard.caption,
                    "nearest": heard.nearest,
                    "seconds": round(heard.seconds, 3),
                    "events": [{"class": name, "score": round(float(score), 6)} for name, score in heard.events[:top]],
                }
            ]
            for heard in captioner.listen(sounds)
        ]

    return ask


def read(path: str) -> Samples:
    """Sounds of a folder, a file or a table; those that cannot be captioned are left out and told by the loader."""
    from unseen.data.loaders import load

    domain = load(path)
    if domain.kind != "audio":
        raise ValueError(f"{path} must hold sounds; it holds {domain.kind}")
    return samples_of(domain)


SAVED = SavedModel(
    what="a captioner of sounds",
    command="unseen caption SOUNDS --model {folder}",
    file="captioner.json",
    reads="audio",
    tells="captions",
    opened=opened,
    read=read,
)
