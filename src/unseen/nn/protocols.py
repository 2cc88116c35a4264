"""What the networks that methods receive can do, one protocol per word of `fit`."""

from __future__ import annotations

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
class Segmenter(Protocol):
    """A network that embeds every pixel and scores its classes: `forward(x)` is `head(embed(x))` at the picture's size.

    Where a class lies among the pixels of a picture without labels is seen in the features before the last 1 x 1
    convolution: what moves them must not move the classifier, so the two are apart.
    """

    head: nn.Module

    def embed(self, x: Tensor) -> Float[Tensor, "b d g k"]:
        """Features of a grid of places, (b, d, g, k), coarser than the picture perhaps."""
        ...

    def __call__(self, x: Tensor) -> Float[Tensor, "b c h w"]:
        """Class scores (logits) of every pixel, (b, c, h, w)."""
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
