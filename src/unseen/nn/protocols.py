"""What the networks that methods receive can do, one protocol per word of `fit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn


@runtime_checkable
class Classifier(Protocol):
    """A network that embeds samples and scores classes: `forward(x) = head(embed(x))`."""

    head: nn.Module

    def embed(self, x: Tensor) -> Float[Tensor, "b d"]:
        """Embeddings, (b, d)."""
        ...

    def __call__(self, x: Tensor) -> Float[Tensor, "b c"]:
        """Class scores (logits), (b, c)."""
        ...


@runtime_checkable
class TwoTower(Protocol):
    """Two networks into one space, as open_clip's models have them."""

    logit_scale: Tensor

    def encode_image(self, image: Tensor) -> Float[Tensor, "b d"]:
        """Vectors of pictures, (b, d)."""
        ...

    def encode_text(self, text: Tensor) -> Float[Tensor, "b d"]:
        """Vectors of texts, (b, d)."""
        ...


@runtime_checkable
class Ranker(Protocol):
    """A network that says how relevant a document is to a query."""

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> Float[Tensor, "n"]:
        """The relevance of each document to the query at its place, (n,), a logit; with gradients where they are on."""
        ...


@runtime_checkable
class Writer(Protocol):
    """A language model that continues prompts."""

    name: str

    def write(self, prompts: Sequence[str], *, longest: int = 64, stop: str = "\n") -> list[str]:
        """Continue each prompt by at most `longest` tokens, up to the first `stop`."""
        ...
