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
class TokenizingTowers(TwoTower, Protocol):
    """Two towers that know how the texts are written which they read (`unseen.nn.dual_encoder`)."""

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """What `encode_text` reads of texts, (n, ...)."""
        ...
