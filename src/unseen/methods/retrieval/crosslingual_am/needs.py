"""What a tagger needs beside the words of `fit`: sentences with spans; and a small example of all of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.tasks.base import objects
from unseen.methods.needs import Given, Need


@dataclasses.dataclass(frozen=True)
class MarkedSentences(Need):
    """A `source` of sentences whose labels are spans (task spans)."""

    first: ClassVar[bool] = True
    makes: ClassVar[tuple[str, ...]] = ("pairs", "translator", "aligner", "model")

    def lacks(self, given: Given) -> str | None:
        """Return that the source has no spans."""
        source = given.inputs.get("source")
        if isinstance(source, Domain) and source.task == "spans":
            return None
        return "learns from sentences with marked spans: unseen tag"

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return phrases whose last word is marked, their translations, and small parts."""
        from unseen.nn.taggers import hashed_letters
        from unseen.nn.word_alignment import IBM1
        from unseen.runtime import reproducible

        source = inputs.get("source")
        if not isinstance(source, Domain):
            return {}
        y = objects(
            np.array([[text.rindex(" ") + 1 if " " in text else 0, len(text), label]])
            for text, label in zip(source.x.tolist(), source.labels.tolist())
        )
        marked = source.replace(y=y, task="spans")
        texts = dict.fromkeys(source.x.tolist())
        left = np.array([*texts][:-2], dtype=np.str_)
        right = np.array(Backwards().translate(left.tolist()), dtype=np.str_)
        pairs = Pairs(Domain(x=left, kind="text", name="sentences"), Domain(x=right, kind="text", name="translations"))
        with reproducible(3):
            model = hashed_letters(8, 64).eval()
        return {
            "source": marked, "pairs": pairs, "translator": Backwards(), "aligner": IBM1(iterations=2), "model": model,
        }  # fmt: skip


class Backwards:
    """A translator into a language whose words are written backwards: for tests and examples."""

    name = "backwards"

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Each word with its letters in the other order."""
        return [" ".join(word[::-1] for word in str(text).split()) for text in texts]
