"""A saved tagger, asked for the spans of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.jobs import Ask, SavedModel, ids_and_samples


def opened(folder: Path) -> Ask:
    """A row per text: its spans, each with its class, characters and how sure it is."""
    from unseen.jobs.tagging.tagger import Tagger

    tagger = Tagger.load(folder)

    def ask(texts: Sequence[str], _: int) -> list[list[dict[str, Any]]]:
        rows = []
        for text, marks in zip(texts, tagger.mark(texts)):
            spans = [
                {
                    "class": tagger.classes.names[mark.label],
                    "start": int(mark.start),
                    "end": int(mark.stop),
                    "text": text[mark.start : mark.stop],
                    "probability": round(float(mark.confidence), 6),
                }
                for mark in marks
            ]
            told = "; ".join(f"{span['class']} {span['text']!r} {span['probability']:.0%}" for span in spans)
            rows.append([{"answer": told or "no span", "spans": spans}])
        return rows

    return ask


def read(path: str) -> tuple[Sequence[Any], Sequence[Any]]:
    """Texts of lines, CoNLL, brat, JSON lines or DocBin."""
    from unseen.data.loaders.marked import read_marked

    return ids_and_samples(read_marked(path).domain)


SAVED = SavedModel(
    what="a tagger",
    command="unseen tag run TEXTS --model {folder}",
    file="tagger.json",
    reads="text",
    tells="spans with their classes",
    opened=opened,
    read=read,
)
