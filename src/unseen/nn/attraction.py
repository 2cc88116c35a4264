"""Pulling a sample's prediction towards those of its neighbours and away from the others of a batch."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def attraction(p: Float[Tensor, "b c"], q: Float[Tensor, "b c"], k: int) -> Tensor:
    """-mean_i sum_k <p_i, s_k>, with q_i the mean of the k neighbours' predictions s_k; its gradient is -sum_k s_k / b.

    Source: Yang et al., "Attracting and Dispersing: A Simple Approach for Source-free Domain Adaptation", NeurIPS 2022,
    eq. 5, first term.
    """
    return -k * (p * q).sum(dim=1).mean()


def repulsion(p: Float[Tensor, "b c"], *, squared: bool = False) -> Tensor:
    """mean_i sum_{j != i} <p_i, p_j>, the second term of the same; of the squares, that of SF(DA)^2 (spectral)."""
    products = p @ p.T
    if squared:
        products = products.square()
    return (products.sum() - torch.diagonal(products).sum()) / len(p)
