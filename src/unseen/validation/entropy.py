"""Prediction entropy: how certain a model is about the target (Morerio et al., ICLR 2018)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from unseen.nn.information import entropy


def certainty(p: Float[Tensor, "n c"]) -> float:
    """Minus the mean entropy of predicted probabilities on the target, in nats, at most 0; larger is better.

    Needs no labels. A model that calls every sample the same class, without doubt, has the largest value.

    Source: Morerio, Cavazza, Murino, "Minimal-Entropy Correlation Alignment", ICLR 2018, section 3.3.
    """
    if not len(p):
        raise ValueError("p must hold at least one sample; got none")
    return -float(entropy(p).mean())
