"""What ranking needs beside the words of `fit`: a ranker and a writer of texts, and an example of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.methods.needs import Given, Need


@dataclasses.dataclass(frozen=True)
class RankerOfTexts(Need):
    """A `model` that scores documents for queries, an `encoder` of texts, a `writer`."""

    makes: ClassVar[tuple[str, ...]] = ("model", "encoder", "writer", "pairs")

    def lacks(self, given: Given) -> str | None:
        """Return that there is none; command lines and jobs bring one."""
        if given.inputs.get("model") is not None:
            return None
        return "needs a ranker, such as unseen.nn.rankers.minilm(): unseen rank brings one"

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return a bi-encoder of hashed words, an encoder of them, a writer of the last words, and two examples."""
        from unseen.nn.small_rankers import HashedWords, LastWords, hashed_ranker

        pairs = Pairs(
            Domain(x=_texts("big bell", "red crown"), kind="text", name="queries"),
            Domain(x=_texts("a big old bell", "the crown of red"), kind="text", name="documents"),
        )
        return {"model": hashed_ranker(), "encoder": HashedWords(), "writer": LastWords(), "pairs": pairs}


def _texts(*texts: str) -> Any:
    import numpy as np

    return np.array(texts, dtype=np.str_)
