"""A saved tagger, asked for the spans of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.jobs import Ask, Samples, SavedModel


def opened(folder: Path) -> Ask:
    """A row per text, of however many sentences: its spans, each with its class, characters and how sure it is."""
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
            answer = "; ".join(f"{span['class']} {span['text']!r} {span['probability']:.0%}" for span in spans)
            rows.append([{"answer": answer or "no span", "spans": spans}])
        return rows

    return ask


def read(path: str) -> Samples:
    """Texts of lines, CoNLL, brat, JSON lines or DocBin as they stand there, called by document and line."""
    from unseen.data.loaders.marked import read_marked
    from unseen.jobs.tagging.tagger import Sentence

    marked = read_marked(path, split=False)
    columns = marked.domain.columns
    names = [
        f"{document}:{line}" if line else document
        for document, line in zip(columns["document"].tolist(), columns["line"].tolist())
    ]
    texts = marked.domain.x.tolist()
    if marked.format == "conll":
        return Samples(names, [Sentence(text) for text in texts], marked.domain.skipped)
    there = [i for i, text in enumerate(texts) if marked.format != "text" or text.strip()]
    return Samples([names[i] for i in there], [texts[i] for i in there], marked.domain.skipped)


SAVED = SavedModel(
    what="a tagger",
    command="unseen tag run TEXTS --model {folder}",
    file="tagger.json",
    reads="text",
    tells="spans with their classes",
    opened=opened,
    read=read,
)
