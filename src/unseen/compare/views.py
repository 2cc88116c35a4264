"""Both views of pictures for the candidates that read them: plain features, and those with the domain's statistics."""

from __future__ import annotations

import dataclasses

import numpy as np

from unseen.compare.inputs import Inputs
from unseen.data.domain import Domain


def with_two_views(inputs: Inputs, *, cache: bool = True) -> Inputs:
    """The inputs with the features of both views at hand.

    The source is seen with its own batch statistics; support and what is held out of the target with those of the
    target, which are the ones that a saved model keeps.

    Raises
    ------
    ValueError
        If there are no pictures on both sides, or the encoder has no batch statistics.
    """
    from unseen.encoders.views import both_views, with_statistics_of_each

    if not inputs.can_have_two_views or inputs.encoder is None:
        raise ValueError("both views need a source and a target of pictures, and an encoder with BatchNorm layers")
    of_source, of_target = with_statistics_of_each([inputs.raw[s] for s in ("source", "target")], inputs.encoder)

    def beside(plain: Domain | None, part: str) -> Domain | None:
        if plain is None:
            return None
        encoder = of_source if part == "source" else of_target
        return plain.replace(x=np.hstack([plain.x, encoder.encode(inputs.raw[part], cache=cache).x]))

    parts = {part: beside(getattr(inputs, part), part) for part in ("source", "target", "held_out", "support")}
    encoder = both_views(inputs.encoder, of_target)
    both = dataclasses.replace(inputs, **parts, encoder=encoder, crafted={}, one_view=inputs)  # type: ignore[arg-type]
    return dataclasses.replace(inputs, two_views=both)
