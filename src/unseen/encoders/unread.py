"""What an encoder does not read of texts: what is behind its context, and texts of which it can spell nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

PART = 1000
"""Texts that are numbered at once."""


@dataclasses.dataclass(frozen=True)
class Unread:
    """How much of some texts is not read.

    Attributes
    ----------
    by : str
        What reads them.
    n : int
        Texts that are not empty.
    cut : int
        Those longer than the context.
    unspelt : int
        Those of unknown tokens only, as in a script that a tokenizer lacks.
    example : str
        The first of these.
    """

    by: str
    n: int
    cut: int
    unspelt: int
    example: str

    def lines(self, what: str = "texts") -> list[str]:
        """A sentence for each of the two that there is, or none."""
        sentences = []
        if self.cut:
            many = f"{self.cut:,} of {self.n:,} {what} are" if self.n > 1 else "the text is"
            sentences.append(f"{many} longer than the context of {self.by}; what is behind is not read")
        if self.unspelt:
            share = 100 * self.unspelt / self.n
            which = f"{self.unspelt:,} of {self.n:,} {what} ({share:.0f} %), such as {self.example!r}, are"
            sentences.append(
                f"{which if self.n > 1 else 'the text is'} in signs that {self.by} does not know, and like any other "
                "such text to it; name an encoder of the language"
            )
        return sentences


def unread(reader: Any, texts: Iterable[Any], by: str = "") -> Unread:
    """How much of texts an encoder does not read, as far as its tokenizer tells.

    Parameters
    ----------
    reader : Encoder or TextReader
        Of two towers that of texts counts.
    texts : iterable of str
    by : str
        What reads them; the name of the encoder if empty.
    """
    kept = [text for text in map(str, texts) if text.strip()]
    unspelt = which(reader, "unspelt", kept)
    example = kept[unspelt.index(True)] if any(unspelt) else ""
    name = by or getattr(reader, "name", "the text tower")
    return Unread(name, len(kept), sum(which(reader, "cuts", kept)), sum(unspelt), example[:60])


def which(reader: Any, what: str, texts: Sequence[str]) -> list[bool]:
    """What numbers the texts of an encoder says of each by its method `what`, cuts or unspelt; False if it has none."""
    tower = getattr(reader, "text", reader)
    tokens = getattr(tower, "preprocess", tower)
    ask = getattr(getattr(tokens, "reader", tokens), what, None)
    if ask is None:
        return [False] * len(texts)
    return [answer for start in range(0, len(texts), PART) for answer in ask(texts[start : start + PART])]
