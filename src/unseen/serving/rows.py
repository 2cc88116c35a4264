"""`ServedRows`: a saved model that names no classes, such as a tagger, and answers many small requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from unseen.serving.limits import MAX_TEXT
from unseen.serving.model import KINDS, from_base64
from unseen.serving.pictures import open_picture
from unseen.serving.sounds import example, open_sound

MOST_COLUMNS = 10_000
"""Columns of a table of series."""
ROWS = 16
"""Most samples that are looked at together."""
Ask = Callable[[Sequence[Any], int], list[list[dict[str, Any]]]]


class Saved(Protocol):
    """What is said of a saved model that names no classes (`unseen.jobs.SavedModel`)."""

    @property
    def what(self) -> str: ...
    @property
    def reads(self) -> str: ...
    @property
    def tells(self) -> str: ...
    @property
    def opened(self) -> Callable[[Path], Ask] | None: ...
    @property
    def prepared(self) -> Callable[[Path], Callable[[Any], Any]] | None: ...
    @property
    def example(self) -> Callable[[Path], bytes] | None: ...
    @property
    def ranked(self) -> bool: ...


class ServedRows:
    """A model that tells rows of a sample, ready to answer.

    Parameters
    ----------
    ask : callable
        From samples, and how many rows each may have, to rows per sample with ``answer`` and what else there is to
        tell.
    kind : {"text", "image", "audio", "series"}
        What a sample is: a text, a PIL picture, a `Sound`, a table of series as CSV.
    what, tells : str
        "a tagger", "spans with their classes".
    max_pixels : int
        Width times height of a picture that is still decoded.
    prepared : callable, optional
        What makes of a sample what `ask` takes; `ValueError` if it cannot. A table comes as a DataFrame.
    example : bytes, optional
        A sample that `prepared` takes, as a file. A model of series must have one.
    ranked : bool
        Whether a sample has as many rows as are asked for, the best first, and not all that there are.
    """

    named = False
    width = 0
    features = ()
    rows = ROWS
    threads = 1

    def __init__(
        self,
        ask: Ask,
        kind: str,
        what: str,
        tells: str,
        *,
        max_pixels: int,
        prepared: Callable[[Any], Any] | None = None,
        example: bytes | None = None,
        ranked: bool = True,
    ) -> None:
        self.ask, self.kind, self.what, self.tells, self.max_pixels = ask, kind, what, tells, max_pixels
        self.prepared, self.example, self.ranked = prepared, example, ranked

    @classmethod
    def of(cls, kind: Saved, place: Path, *, max_pixels: int) -> Self:
        """Load the model in a folder, which takes one sample at a time."""
        assert kind.opened is not None
        return cls(
            kind.opened(place), kind.reads, kind.what, kind.tells, max_pixels=max_pixels, ranked=kind.ranked,
            prepared=kind.prepared and kind.prepared(place), example=kind.example and kind.example(place),
        )  # fmt: skip

    def summary(self, names: bool = True) -> str:
        """What it reads and what it tells, in a sentence without a stop."""
        return f"The model, {self.what}, reads {KINDS[self.kind]} and tells {self.tells}"

    def about(self) -> dict[str, Any]:
        """What `/model` tells."""
        nothing: dict[str, Any] = {"paper": "", "method": "", "classes": [], "features": [], "credits": []}
        return {"title": self.what, "kind": self.kind, **nothing}

    def prepare(self, sample: Any) -> Any:
        """A sample as `predict` takes it: a text or a table, or bytes (or base64 of them) of a picture or a sound.

        Raises
        ------
        ValueError
            If it is none; the message goes on after "sample 3 ...".
        """
        read = self._read(sample)
        return read if self.prepared is None else self.prepared(read)

    def _read(self, sample: Any) -> Any:
        if self.kind == "text":
            return sample  # an empty one has an answer here: no span, no document
        if self.kind == "series":
            return _table(sample)
        content = sample if isinstance(sample, bytes) else from_base64(sample, self.kind)
        return open_sound(content) if self.kind == "audio" else open_picture(content, self.max_pixels)

    def predict(self, samples: Sequence[Any], top: int = 1) -> list[list[dict[str, Any]]]:
        """Rows of prepared samples; one thread at a time."""
        return self.ask(samples, top)

    def weigh(self, sample: Any) -> float:
        """The share of what is looked at together that a prepared sample fills: who has one short text does not wait
        for 16 long ones, and nobody for the masks of 16 pictures as large as they may be."""
        if isinstance(sample, str):
            return len(sample) / MAX_TEXT
        if self.kind == "image":
            return getattr(sample, "width", 0) * getattr(sample, "height", 0) / self.max_pixels
        return 0.0

    def begin(self) -> None:
        """Nothing has to be said to the one thread that asks."""

    def warm(self) -> None:
        """Ask once, so that no request waits for what is made on first use."""
        if self.example is not None:
            self.predict([self.prepare(self.example)])
            return
        from PIL import Image

        samples = {"text": "warm", "image": Image.new("RGB", (32, 32), (90, 120, 90)), "audio": None}
        sample = open_sound(example()) if self.kind == "audio" else samples[self.kind]
        self.predict([sample if self.prepared is None else self.prepared(sample)])


def _table(sample: bytes | str) -> Any:
    """A table of series of CSV; its cells are not looked at yet."""
    from unseen.data.series import table_of_text

    try:
        text = sample.decode("utf-8-sig") if isinstance(sample, bytes) else sample
        return table_of_text(text, MOST_COLUMNS)
    except ValueError as error:
        raise ValueError(f"is no CSV: {error}") from error
