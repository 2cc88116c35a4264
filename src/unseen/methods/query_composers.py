"""What makes one query of a picture and of a text that says what of it counts: what all such methods share."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.methods.base import Method

Mode = Literal["combiner", "image", "text", "sum"]


class Question(NamedTuple):
    """A picture, what a text says of it, and the picture that is asked for: pictures as places among pairs."""

    reference: int
    condition: str
    target: int


class QueryComposer(Method):
    """What all methods have that make a query of a picture and a text.

    `unseen compose` takes any subclass, also a plug-in's. `fit` takes `pairs` of pictures, as vectors of an encoder,
    and captions, and a `model` of two towers that rest and read such vectors; if its signature names `auxiliary`, words
    with a column ``concreteness``, too. A subclass makes queries in `compose`, and says in `questions` what the share
    of the text in a sum, to compare with, may be chosen on.

    Attributes
    ----------
    relations_, subjects_ : int
        How many were found in captions, and could be learnt from; absent where captions are not parsed.
    history_ : tuple of float
        Of the epochs, if there are any.
    """

    preset: ClassVar[str] = "default"
    """Of its card, for towers that rest."""

    relations_: int = dataclasses.field(init=False)
    subjects_: int = dataclasses.field(init=False)
    history_: tuple[float, ...] = dataclasses.field(init=False)

    def compose(self, x: Float[Tensor, "n d"], t: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Unit vectors of queries, from vectors of pictures x and of texts t."""
        raise TypeError(f"{type(self).__name__} composes no queries")

    def questions(self, pairs: Pairs, auxiliary: Domain | None, most: int) -> list[Question]:
        """At most `most` questions among the pairs that no weight was learnt from."""
        raise TypeError(f"{type(self).__name__} holds no questions out")

    def check_resting(self) -> None:
        """Raise `ValueError` if it would not learn to compose while towers rest, or would hold no questions out."""


def plain_query(x: Float[Tensor, "b d"], t: Float[Tensor, "b d"], mode: Mode, share: float = 0.5) -> Tensor:
    """Queries without anything learnt: the picture, the text, or `share` of the text and the rest of the picture.

    Raises
    ------
    ValueError
        If `mode` is "combiner", which is learnt, or none at all.
    """
    weights = {"image": 0.0, "text": 1.0, "sum": share}
    if mode not in weights:
        raise ValueError(f"mode must be image, text or sum where nothing is learnt; got {mode!r}")
    weight = weights[mode]
    return F.normalize(weight * t + (1 - weight) * x, dim=1)
