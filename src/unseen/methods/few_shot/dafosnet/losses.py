"""Prototypes, distances and the losses on them: compactness, diversification, alignment of two domains."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

LossMode = Literal["paper", "released"]
OutlierInput = Literal["summary", "sorted", "distances"]


class Weights(NamedTuple):
    """What each part weighs in the loss of the encoder (step 13)."""

    compactness: float
    outlier: float
    domain: float
    source_diversity: float
    target_diversity: float
    alignment: float


WEIGHTS = {
    "paper": Weights(1.0, 0.3, 0.05, 0.075, 0.125, 0.05),
    "released": Weights(0.4 * 100, 0.3, 0.05, 0.075, 0.125, 0.05 * 1000),
}


def prototypes(z: Float[Tensor, "n d"], y: Int[Tensor, " n"], n_classes: int) -> Float[Tensor, "k d"]:
    """P_k, the mean feature of each class; of a class without samples it is 0 (step 6)."""
    sums = torch.zeros(n_classes, z.shape[1], dtype=z.dtype, device=z.device).index_add(0, y, z)
    return sums / torch.bincount(y, minlength=n_classes).clamp_min(1)[:, None]


def distances(q: Float[Tensor, "n d"], p: Float[Tensor, "k d"]) -> Float[Tensor, "n k"]:
    """d(q, P): the mean, not the sum, over dimensions of squared differences (step 8)."""
    return (q[:, None] - p).square().mean(dim=2)


def compactness(d: Float[Tensor, "n k"], y: Int[Tensor, " n"], mode: LossMode = "paper") -> Float[Tensor, ""]:
    """L_C: the mean over known queries of -log softmax(-d)[y]; those with y = -1 are unknown (step 9).

    Released: minus the probability of the true class, averaged over all queries, 0 for unknown ones.
    """
    known = y >= 0
    if mode == "paper":
        return F.cross_entropy(-d[known], y[known])
    p = torch.softmax(-d[known], dim=1).gather(1, y[known][:, None])
    return -p.sum() / len(d)


def diversification(
    d: Float[Tensor, "n k"], y: Int[Tensor, " n"], margin: float = 0.5, mode: LossMode = "paper"
) -> Float[Tensor, ""]:
    """L_PD: mean over prototypes of [mean d(P_k, q+) - mean d(P_k, q-) + a]_+; unknown queries are of all q- (step 10).

    Released: the mean comes before the hinge.
    """
    same = F.one_hot(y.clamp_min(0), d.shape[1]).bool() & (y >= 0)[:, None]
    near = (d * same).sum(dim=0) / same.sum(dim=0).clamp_min(1)
    far = (d * ~same).sum(dim=0) / (~same).sum(dim=0).clamp_min(1)
    gap = near - far + margin
    return gap.clamp_min(0).mean() if mode == "paper" else gap.mean().clamp_min(0)


def alignment(
    source: Float[Tensor, "k d"], target: Float[Tensor, "l d"], mode: Literal["l2", "released"] = "l2"
) -> Float[Tensor, ""]:
    """L_Align: how far the mean prototypes lie apart, gamma_D P + beta_D of each domain being given (step 11).

    Released: the mean over dimensions of the signed difference, which can be negative.
    """
    gap = source.mean(dim=0) - target.mean(dim=0)
    return gap.norm() if mode == "l2" else gap.mean()


def outlier_features(d: Float[Tensor, "n k"], kind: OutlierInput) -> Float[Tensor, "n f"]:
    """What the judges read of the distances: all, all sorted, or nearest, second, mean and margin for any number."""
    if kind == "distances":
        return d
    ordered = d.sort(dim=1).values
    if kind == "sorted":
        return ordered
    nearest, second = ordered[:, 0], ordered[:, 1]
    return torch.stack([nearest, second, d.mean(dim=1), second - nearest], dim=1)
