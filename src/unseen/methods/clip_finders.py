"""What finds clips by a text: what all such methods share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from unseen.methods.base import Method


class ClipFinder(Method):
    """What all methods have that say how well a text fits a clip.

    `unseen find` takes any subclass that was saved with its encoder, also a plug-in's. The vectors of frames, which the
    network gives, are kept of each clip; a subclass says how many frames there are, and compares.

    Attributes
    ----------
    network_ : Module
        `encode_frames` makes a vector of each frame, (b, t, d), of preprocessed clips (b, t, 3, h, w). What reads texts
        is its `reader`, if it has one that tells what it does not read.
    """

    network_: nn.Module = dataclasses.field(init=False)

    @property
    def asked_frames(self) -> int:
        """How many frames of a clip are looked at."""
        raise TypeError(f"{type(self).__name__} looks at no clips")

    def compare(self, texts: Sequence[str], frames: Float[Tensor, "n t d"]) -> Float[Tensor, "n m"]:
        """How well each text fits each clip, whose frames have these vectors; larger is better."""
        raise TypeError(f"{type(self).__name__} compares no texts with clips")
