"""A saved model, tried on one picture, video, sound, text, table or vector."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from markupsafe import Markup

from unseen.bundle import Bundle
from unseen.jobs import SavedModel, kinds, saved_model
from unseen.report import words
from unseen.serving.limits import MAX_TEXT, SENT, Limits
from unseen.serving.model import KINDS, Answer, Served
from unseen.serving.rows import ServedRows
from unseen.web.markup import folded, items, joined, paragraph
from unseen.web.shelf import MODEL

TOP = 5
"""Classes that are named, and rows that are ranked."""

FILES_OF_ROOMS = tuple(sorted({kind.file for kind in kinds() if kind.opened is not None}))
"""By which folders of models that name no classes, such as taggers, may be known."""

KEPT = 4
"""Models that stay in memory."""


class Models:
    """Saved models, each read once and again only when its folder was written anew.

    Parameters
    ----------
    limits : Limits
        Pixels of a picture.
    trust : bool
        Whether encoders may be loaded that can run code.
    """

    def __init__(self, limits: Limits, *, trust: bool = False) -> None:
        self.limits = limits
        self.trust = trust
        self._lock = threading.Lock()
        self._served: OrderedDict[tuple[Path, int], Served | ServedRows] = OrderedDict()

    def open(self, folder: Path) -> Served | ServedRows:
        """The model of a folder; `ValueError` if it cannot be read or tried."""
        with self._lock:
            return self._open(folder)

    def _open(self, folder: Path) -> Served | ServedRows:
        kind = _room(folder)
        key = (folder, (folder / (MODEL if kind is None else kind.file)).stat().st_mtime_ns)
        if key not in self._served:
            self._served[key] = (
                Served(Bundle.load(folder, trust=self.trust), max_pixels=self.limits.pixels)
                if kind is None
                else ServedRows.of(kind, folder, max_pixels=self.limits.pixels)
            )
        self._served.move_to_end(key)
        while len(self._served) > KEPT:
            self._served.popitem(last=False)
        return self._served[key]

    def answer(self, folder: Path, sample: bytes | str) -> Answer | list[dict[str, Any]]:
        """What the model says of a picture, video, sound or table as a file, of a text, or of the numbers of a vector.

        Raises
        ------
        ValueError
            If the model reads another kind, or the sample cannot be read.
        """
        with self._lock:
            served = self._open(folder)
            if isinstance(sample, bytes) != (served.kind in SENT):
                raise ValueError(f"the model reads {served.kind}")
            content = sample if isinstance(sample, bytes) else _typed(sample, served)
            try:
                prepared = served.prepare(content)
            except ValueError as error:
                raise ValueError(f"the sample {error}") from error
            return served.predict([prepared], top=TOP)[0]


def _room(folder: Path) -> SavedModel | None:
    """The kind of a model that names no classes; None of a classifier."""
    saved = None if (folder / MODEL).exists() else saved_model(folder)
    return None if saved is None or saved[1] != folder else saved[0]


def can_be_tried(folder: Path) -> bool:
    """Whether a folder holds a classifier, or what answers about one sample in another way."""
    if (folder / MODEL).exists():
        return True
    written = [file.stat().st_mtime_ns for name in FILES_OF_ROOMS if (file := folder / name).exists()]
    return bool(written) and _answers(folder, max(written))


@functools.lru_cache(4096)
def _answers(folder: Path, written: int) -> bool:
    kind = _room(folder)
    return kind is not None and kind.opened is not None


def _typed(text: str, served: Served | ServedRows) -> str | list[float]:
    """A text as it is, or the numbers in it."""
    if served.kind == "text":
        if not text.strip():
            raise ValueError("the field has no text: write or paste one to try")
        if len(text) > MAX_TEXT:
            raise ValueError(f"the text must have at most {MAX_TEXT:,} characters; it has {len(text):,}")
        return text
    cut = text[: 64 * (served.width + 1)]
    vector = []
    for word in cut.replace(",", " ").split():
        try:
            vector.append(float(word))
        except ValueError as error:
            raise ValueError(f"{word[:40]!r} is no number: give numbers with commas or spaces between") from error
    if len(vector) != served.width or len(cut) < len(text):
        raise ValueError(f"the vector must have {served.width} numbers; it has {len(vector)}")
    return vector


def about(served: Served | ServedRows) -> Markup:
    """What the model is, in a line, and whom it owes credit."""
    if isinstance(served, ServedRows):
        return paragraph(f"{served.summary()}.", "quiet")
    bundle = served.bundle
    card = bundle.method.card
    name = f"{card.slug} ({card.title})" if card.title else card.slug
    line = paragraph(
        f"{name}; {words.count(len(bundle.classes), 'class', 'classes')}; reads {KINDS[served.kind]}.", "quiet"
    )
    return joined([line, folded("Credits", items(bundle.credits)) if bundle.credits else ""])
