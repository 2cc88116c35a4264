"""A saved model, tried on one picture, video, text or vector."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from markupsafe import Markup

from unseen.bundle import Bundle
from unseen.report import words
from unseen.serving.limits import FILES, MAX_TEXT, Limits
from unseen.serving.model import KINDS, Answer, Served
from unseen.web.markup import folded, items, joined, paragraph
from unseen.web.shelf import MODEL

TOP = 5
"""Classes that are named."""

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
        self._served: OrderedDict[tuple[Path, int], Served] = OrderedDict()

    def open(self, folder: Path) -> Served:
        """The model of a folder; `ValueError` if it cannot be read or tried."""
        with self._lock:
            return self._open(folder)

    def _open(self, folder: Path) -> Served:
        key = (folder, (folder / MODEL).stat().st_mtime_ns)
        if key not in self._served:
            self._served[key] = Served(Bundle.load(folder, trust=self.trust), max_pixels=self.limits.pixels)
        self._served.move_to_end(key)
        while len(self._served) > KEPT:
            self._served.popitem(last=False)
        return self._served[key]

    def answer(self, folder: Path, sample: bytes | str) -> Answer:
        """What the model says of the file of a picture or video, of a text, or of the numbers of a vector.

        Raises
        ------
        ValueError
            If the model reads another kind, or the sample cannot be read.
        """
        with self._lock:
            served = self._open(folder)
            if isinstance(sample, bytes) != (served.kind in FILES):
                raise ValueError(f"the model reads {served.kind}")
            told = sample if isinstance(sample, bytes) else _typed(sample, served)
            try:
                prepared = served.prepare(told)
            except ValueError as error:
                raise ValueError(f"the sample {error}") from error
            return served.predict([prepared], top=TOP)[0]


def _typed(text: str, served: Served) -> str | list[float]:
    """A text as it is, or the numbers in it."""
    if served.kind == "text":
        if not 0 < len(text.strip()) <= len(text) <= MAX_TEXT:
            raise ValueError(f"the text must have 1 to {MAX_TEXT:,} characters; it has {len(text):,}")
        return text
    cut = text[: 64 * (served.width + 1)]
    try:
        vector = [float(number) for number in cut.replace(",", " ").split()]
    except ValueError as error:
        raise ValueError(f"the vector must be numbers with commas or spaces between; {error}") from error
    if len(vector) != served.width or len(cut) < len(text):
        raise ValueError(f"the vector must have {served.width} numbers; it has {len(vector)}")
    return vector


def page(answer: Answer) -> Markup:
    """The most probable classes as bars, and whether the model doubts."""
    doubt = paragraph("Not sure: it may be none of these.", "notice") if answer.unknown else ""
    bars = joined(
        Markup('<li><span>{}</span> <span>{}</span><meter min="0" max="1" value="{}"></meter></li>').format(
            name, words.percent(p), f"{p:.4f}"
        )
        for name, p in answer.top
    )
    return joined([doubt, Markup('<ol class="answers">{}</ol>').format(bars)])


def about(served: Served) -> Markup:
    """What the model is, in a line, and whom it owes credit."""
    bundle = served.bundle
    card = bundle.method.card
    name = f"{card.slug} ({card.title})" if card.title else card.slug
    line = paragraph(
        f"{name}; {words.count(len(bundle.classes), 'class', 'classes')}; reads {KINDS[served.kind]}.", "quiet"
    )
    return joined([line, folded("Credits", items(bundle.credits)) if bundle.credits else ""])
