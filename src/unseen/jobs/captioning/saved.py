"""A saved captioner, asked for the captions of sounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.jobs import SavedModel


def answers(folder: Path, inputs: Sequence[str], top: int) -> list[dict[str, Any]]:
    """A row per sound: its caption, and up to `top` events that are heard in it; what is left out is told."""
    from unseen.jobs.captioning.captioner import Captioner
    from unseen.jobs.captioning.job import caption

    captioner = Captioner.load(folder)
    rows = []
    for path in inputs:
        found = caption(path, captioner)
        for heard in found.heard:
            events = [{"class": name, "score": round(float(score), 6)} for name, score in heard.events[:top]]
            rows.append({"id": heard.name, "answer": heard.caption, "seconds": heard.seconds, "events": events})
        rows += [{"id": one.where, "answer": f"left out: {one.why}", "skipped": True} for one in found.skipped]
    return rows


SAVED = SavedModel(
    "a captioner of sounds",
    "unseen caption SOUNDS --model {folder}",
    lambda place: (place / "captioner.json").is_file(),
    answers,
)
