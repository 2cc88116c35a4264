"""Information maximization: certain about each sample, diverse over all (Liang et al., ICML 2020)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from unseen.nn.information import information_loss


def information_maximization(p: Float[Tensor, "n c"]) -> float:
    """Mutual information of sample and prediction in nats; larger is better. Needs no labels.

    Source: Musgrave, Belongie, Lim, "Benchmarking Validation Methods for Unsupervised Domain Adaptation", 2022.
    """
    return -float(information_loss(p))
