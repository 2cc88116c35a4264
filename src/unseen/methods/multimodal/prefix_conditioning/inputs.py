"""What comes in: pictures with captions, labels with names, templates."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.methods.needs import Given, Need
from unseen.nn.dual_encoder import templates_of

TEMPLATES = (
    "a photo of a {}.", "a picture of a {}.", "an image of the {}.", "a drawing of a {}.", "a photo of the small {}.",
    "a photo of one {}.", "a close-up of a {}.", "this is a {}.",
)  # fmt: skip


def picture_side(pairs: Pairs) -> tuple[Domain, list[str]]:
    """Pictures and captions, on whichever side they stand."""
    sides = (pairs.left, pairs.right)
    texts = [side for side in sides if side.kind == "text"]
    if len(texts) != 1:
        kinds = " and ".join(side.kind for side in sides)
        raise ValueError(
            f"pairs must hold texts on one side and pictures, or features of them, on the other; got {kinds}"
        )
    captions = [str(text) for text in texts[0].x]
    drawings = sides[1] if sides[0] is texts[0] else sides[0]
    if not captions:
        raise ValueError("pairs must hold at least one pair; they are empty")
    empty = next((i for i, text in enumerate(captions) if not text.strip()), None)
    if empty is not None:
        raise ValueError(f"pairs: the caption of row {empty} is empty")
    if len(set(captions)) < 2:
        raise ValueError(f"pairs: all captions are the same, {captions[0]!r:.60}; nothing can be told apart by them")
    if isinstance(drawings.x, np.ndarray) and not (drawings.x.dtype.kind in "fiu" and np.isfinite(drawings.x).all()):
        raise ValueError("pairs: the side of pictures must be finite numbers")
    return drawings, captions


def names_of(source: Domain) -> tuple[str, ...]:
    if source.classes is None:
        raise ValueError("source must have classes with names, which stand in the sentences of its labels")
    return readable(source.classes)


def readable(classes: ClassSpace) -> tuple[str, ...]:
    return tuple(name.replace("_", " ") for name in classes.names)


def plain(classes: ClassSpace | None) -> ClassSpace:
    assert classes is not None
    return ClassSpace(names=classes.names, descriptions=classes.descriptions)


def given_templates(prompts: Any) -> tuple[str, ...]:
    """The given templates, one or several; `TEMPLATES` if there are none."""
    return templates_of([prompts] if isinstance(prompts, str) else prompts, TEMPLATES)


@dataclasses.dataclass(frozen=True)
class CaptionedPictures(Need):
    """`pairs` of pictures and captions beside a labelled set."""

    makes = ("pairs",)

    def lacks(self, given: Given) -> str | None:
        """Return that there are no captions."""
        if isinstance(given.inputs.get("pairs"), Pairs):
            return None
        return "learns from captions, too: unseen align CAPTIONS --classification SET"

    def example(self, inputs: Any) -> dict[str, Any]:
        """Return thirty samples like those of the source, with a caption each."""
        source = inputs.get("source")
        if not isinstance(source, Domain):
            return {}
        few = source.take(slice(0, 30)).unlabeled()
        captions = [f"an old {('hat', 'sea', 'tree')[i % 3]} by number {i % 11}" for i in range(len(few))]
        texts = Domain(x=np.array(captions), kind="text", ids=few.ids, name="captions")
        return {"pairs": Pairs(few, texts)}
