"""A saved tagger, asked for the spans of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.jobs import SavedModel


def answers(folder: Path, inputs: Sequence[str], top: int) -> list[dict[str, Any]]:
    """A row per text: its spans, each with its class and how sure it is; `top` has no say."""
    from unseen.jobs.tagging.job import run
    from unseen.jobs.tagging.tagger import Tagger

    tagger = Tagger.load(folder)
    rows = []
    for path in inputs:
        found = run(path, tagger)
        domain = found.read.domain
        ids = range(len(domain)) if domain.ids is None else domain.ids.tolist()
        for identity, text, marks in zip(ids, domain.x.tolist(), found.marks):
            spans = [
                {
                    "class": tagger.classes.names[mark.label],
                    "start": mark.start,
                    "end": mark.stop,
                    "text": text[mark.start : mark.stop],
                    "probability": round(mark.confidence, 6),
                }
                for mark in marks
            ]
            told = "; ".join(f"{span['class']} {span['text']!r} {span['probability']:.0%}" for span in spans)
            rows.append({"id": identity, "answer": told or "no span", "spans": spans})
    return rows


SAVED = SavedModel(
    "a tagger", "unseen tag run TEXTS --model {folder}", lambda place: (place / "tagger.json").is_file(), answers
)
