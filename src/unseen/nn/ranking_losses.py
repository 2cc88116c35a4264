"""Losses that teach a network an order: DiffKendall and the pairwise logistic loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def diff_kendall(scores: Float[Tensor, "n"], values: Float[Tensor, "n"], alpha: float = 0.5) -> Float[Tensor, ""]:
    """A differentiable Kendall's tau in [-1, 1]: the mean over pairs of tanh(alpha dp / 2) tanh(alpha dy / 2).

    The difference of sigmoids sigma(alpha d) - sigma(-alpha d) is tanh(alpha d / 2). For large `alpha` it is Kendall's
    tau where nothing is tied. It does not change when a constant is added, but it does with the scale of either side:
    standardize the values.

    References
    ----------
    Dong et al., "ParZC: Parametric Zero-Cost Proxies for Efficient NAS", AAAI 2025.
    """
    n = len(scores)
    if n < 2:
        raise ValueError(f"scores must be at least two; got {n}")
    u, v = (torch.tanh(alpha * (side[:, None] - side[None]) / 2) for side in (scores, values))
    return (u * v).sum() / (n * (n - 1))


def diff_kendall_loss(
    scores: Float[Tensor, "n"], values: Float[Tensor, "n"], alpha: float = 0.5, *, reference_scale: bool = False
) -> Float[Tensor, ""]:
    """Minus `diff_kendall`; `reference_scale` doubles it, as the official code counts each pair twice."""
    return -(1 + reference_scale) * diff_kendall(scores, values, alpha)


def pairwise_loss(scores: Float[Tensor, "n"], values: Float[Tensor, "n"]) -> Float[Tensor, ""]:
    """Mean over i != j of log(1 + exp(-(p_i - p_j) sign(y_i - y_j))); a tie costs log 2."""
    n = len(scores)
    if n < 2:
        raise ValueError(f"scores must be at least two; got {n}")
    order = torch.sign(values[:, None] - values[None])
    losses = F.softplus(-(scores[:, None] - scores[None]) * order)
    return losses[~torch.eye(n, dtype=torch.bool, device=losses.device)].mean()
