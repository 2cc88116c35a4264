"""Whether the vectors of a tower still tell samples apart: what is looked at while a space is learnt."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

ROWS = 2048
"""Samples that are looked at; of more, the first."""


@torch.no_grad()
def mean_cosine(x: Float[Tensor, "n d"]) -> float:
    """Mean cosine of two different samples: 1 where all have one direction."""
    x = F.normalize(x[:ROWS].double(), dim=1)
    n = len(x)
    if n < 2:
        return 1.0
    total = x.sum(dim=0).square().sum() - x.square().sum()
    return float(total / (n * (n - 1)))


@torch.no_grad()
def effective_rank(x: Float[Tensor, "n d"]) -> float:
    """exp of the entropy of the normalized singular values of unit vectors about their mean [1]: how many dimensions.

    References
    ----------
    [1] Roy and Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007.
    """
    x = F.normalize(x[:ROWS].double(), dim=1)
    values = torch.linalg.svdvals(x - x.mean(dim=0))
    total = values.sum()
    if total <= 1e-9:
        return 1.0
    return float(torch.special.entr(values / total).sum().exp())


@torch.no_grad()
def modality_gap(p: Float[Tensor, "n d"], q: Float[Tensor, "m d"]) -> float:
    """Distance of the means of unit vectors of two modalities: 0 where both fill one region of the sphere."""
    return float((F.normalize(p.double(), dim=1).mean(dim=0) - F.normalize(q.double(), dim=1).mean(dim=0)).norm())
