"""Entropies of predictions, and the information they carry."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def entropy(p: Float[Tensor, "n c"], eps: float = 1e-5) -> Float[Tensor, " n"]:
    """H(p) = -sum_c p_c log(p_c + eps) of each row, in nats."""
    return -(p * torch.log(p + eps)).sum(dim=1)


def normalized_entropy(p: Float[Tensor, "n c"], eps: float = 1e-5) -> Float[Tensor, " n"]:
    """H(p) / log C of each row, about 1 for a uniform row, about 0 for a certain one."""
    return entropy(p, eps) / math.log(max(p.shape[1], 2))


def information_loss(p: Float[Tensor, "n c"]) -> Tensor:
    """Minus the mutual information of sample and prediction: mean H(p_i) - H(mean p) (Liang et al. 2020, eq. 3)."""
    return entropy(p).mean() - entropy(p.mean(dim=0, keepdim=True))[0]
