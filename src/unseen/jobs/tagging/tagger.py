"""A fitted tagger in a folder of JSON and safetensors: it marks spans in files, in a fresh process."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unseen.data.classes import ClassSpace
from unseen.data.loaders.marked import sentence_ends
from unseen.files import read_json
from unseen.jobs import saved_model
from unseen.methods.span_taggers import Marked, SpanTagger
from unseen.nn.state import load_state, save_state, write_folder

ABOUT, METHOD = "tagger.json", "method"
FORMAT = 1


class Sentence(str):
    """A text that is one sentence, whatever signs stand in it."""

    __slots__ = ()


@dataclasses.dataclass
class Tagger:
    """From texts to spans.

    Parameters
    ----------
    method : SpanTagger
        Fitted.
    facts : mapping
        What is known of its training.
    """

    method: SpanTagger
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def slug(self) -> str:
        """Of its method."""
        return self.method.card.slug

    @property
    def classes(self) -> ClassSpace:
        """What spans are of."""
        return ClassSpace(names=self.method.names_)

    def mark(self, texts: Sequence[str]) -> list[list[Marked]]:
        """The spans of each text, with how sure each is.

        A tagger learns from sentences, so texts are cut into these first, but not a `Sentence`.
        """
        places = [[(0, len(text))] if isinstance(text, Sentence) else [*sentence_ends(text)] for text in texts]
        parts = [str(text[a:b]) for text, spans in zip(texts, places) for a, b in spans]
        marks = iter(self.method.mark(parts) if parts else ())
        return [
            [
                Marked(mark.start + a, mark.stop + a, mark.label, mark.confidence)
                for a, _ in spans
                for mark in next(marks)
            ]
            for spans in places
        ]

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write it, all or nothing."""
        about = {"format": FORMAT, "method": self.slug, "classes": list(self.method.names_), **self.facts}

        def write(place: Path) -> None:
            save_state(place / METHOD, {"method": self.method})
            (place / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")

        return write_folder(folder, write)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Tagger:
        """Read what `save` wrote; `ValueError` if the folder holds no tagger."""
        place = Path(folder)
        if not place.is_dir():
            raise ValueError(
                f"model must be a folder that `unseen tag train` wrote; there is no folder {str(folder)!r}"
            )
        if not (place / ABOUT).exists():
            other = saved_model(place)
            held = f"it has no {ABOUT}" if other is None else f"it is {other[0].what}"
            raise ValueError(f"model: {str(folder)!r} was not written by `unseen tag train`: {held}")
        try:
            about = read_json(place / ABOUT)
            if about["format"] != FORMAT:
                raise ValueError(f"it is of format {about['format']!r}")
            method = load_state(place / METHOD)["method"]
            if not isinstance(method, SpanTagger):
                raise ValueError(f"it holds a {type(method).__name__}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"model: {str(folder)!r} was not written by `unseen tag train`: {error}") from error
        return cls(method, {key: value for key, value in about.items() if key not in ("format", "method", "classes")})
