"""Soft neighbourhood density: neighbours of a target sample should be predicted alike (Saito et al., ICCV 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_LARGEST = 2000


def soft_neighbourhood_density(p: Float[Tensor, "n c"], temperature: float = 0.05) -> float:
    """Mean entropy of each sample's soft neighbourhood, in nats; larger is better. Needs no labels.

    Parameters
    ----------
    p : Tensor of shape (n, c)
        Predicted probabilities on the target, at least two rows. Of more than 2,000, every k-th is used.
    temperature : float, > 0
        Divides the cosine similarities; 0.05 in the paper.

    Source: "Tune it the Right Way", eq. 2-4.
    """
    if len(p) < 2:
        raise ValueError(f"p must hold at least 2 samples; got {len(p)}")
    p = F.normalize(p[:: -(-len(p) // _LARGEST)], dim=1)
    similarity = (p @ p.T / temperature).fill_diagonal_(-torch.inf)
    log_weights = torch.log_softmax(similarity, dim=1)
    return float(-(log_weights.exp() * log_weights.nan_to_num(neginf=0.0)).sum(dim=1).mean())
