"""How a text looks: in a line, the words that people said, too, marked."""

from __future__ import annotations

from typing import Any

from unseen.data.caption_words import event_words, stem
from unseen.data.classes import ClassSpace
from unseen.report.tasks.base import Looks

LENGTH = 240
"""Characters of a text."""


class _Text(Looks):
    task = "text"

    def picture(self, sample: Any, label: Any, classes: ClassSpace | None = None, truth: Any = None) -> str | None:
        """None: a text is better read than looked at (`marked`)."""
        return None

    def words(self, label: Any, classes: ClassSpace | None = None) -> str:
        """The text in one line."""
        line = " ".join(str(label).split())
        return (line if len(line) <= LENGTH else line[:LENGTH].rsplit(" ", 1)[0] + " …") or "not known"


def marked(text: str, truth: str) -> list[tuple[str, bool]]:
    """The words of a text, and which of them name an event that one of the references names."""
    theirs = frozenset().union(*(event_words(line) for line in truth.splitlines()))
    return [(word, stem(word.lower().strip(".,;:!?")) in theirs) for word in text.split()]


LOOKS = _Text()
