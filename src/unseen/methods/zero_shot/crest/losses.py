"""What is learnt beside the evidence of each pathway: L_VICL and L_ARISE."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Negatives = Literal["confident", "confused", "uniform"]


def weights_of_others(
    how: Negatives, y: Int[Tensor, " b"], uncertainty: Float[Tensor, " b"], p: Float[Tensor, "b k"]
) -> Float[Tensor, "b b"]:
    """omega_ij of step 6: how much sample j counts against sample i; positives count 1.

    Parameters
    ----------
    how : {"confident", "confused", "uniform"}
        1 - u_j; 1 and the probability that j is of the class of i; or 1.
    y : Tensor (b,)
        Columns of `p`.
    uncertainty, p : Tensor (b,) and (b, k)
        Of the samples, as they are judged now.
    """
    if how == "uniform":
        return torch.ones(len(y), len(y), device=y.device)
    weights = (1 - uncertainty).expand(len(y), -1) if how == "confident" else 1 + p.T[y]
    return torch.where(y[:, None] == y, torch.ones_like(weights), weights)


def visual_contrast(
    h: Float[Tensor, "b e"], y: Int[Tensor, " b"], weights: Float[Tensor, "b b"], temperature: float
) -> Float[Tensor, ""]:
    """L_VICL (step 6): representations of one class together, away from those of others.

        -log(sum_{p of the class of i} exp(cos(h_i, h_p) / tau) / sum_{j != i} omega_ij exp(cos(h_i, h_j) / tau))

    Mean over the samples that have another of their class in the batch; 0 if none has.
    """
    h = F.normalize(h, dim=1)
    other = ~torch.eye(len(y), dtype=torch.bool, device=y.device)
    similar = (h @ h.T / temperature).masked_fill(~other, -torch.inf)
    same = (y[:, None] == y) & other
    anchors = same.any(dim=1)
    if not anchors.any():
        return h.sum() * 0
    positive = torch.logsumexp(similar.masked_fill(~same, -torch.inf)[anchors], dim=1)
    everyone = torch.logsumexp((similar + weights.clamp_min(1e-6).log())[anchors], dim=1)
    return (everyone - positive).mean()


def regression(p: Float[Tensor, "b a"], z: Float[Tensor, "b a"]) -> Float[Tensor, ""]:
    """|p - z_y|^2 of step 9, mean over the samples; both at unit length."""
    return (p - z).square().sum(dim=1).mean()


def self_calibration(logits: Float[Tensor, "b c"], unseen: int) -> Float[Tensor, ""]:
    """-log of the probability of the last `unseen` classes, with 1 added to their logits: they are left some."""
    raised = torch.cat([logits[:, :-unseen], logits[:, -unseen:] + 1], dim=1)
    return (torch.logsumexp(raised, dim=1) - torch.logsumexp(raised[:, -unseen:], dim=1)).mean()
