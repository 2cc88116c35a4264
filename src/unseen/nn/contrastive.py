"""The contrastive loss of two towers with any targets: CLIP, UniCL, CWCL and affinity distillation are one function.

Each row of logits s <p_i, q_j> is a guess which of the other side's samples belong to sample i; what tells the losses
apart is what they hold to be right:

    identity        one pair each                                             CLIP [1]
    same_label      all pairs of one label alike                              UniCL [2], supervised contrast
    cosine_weights  in proportion to how alike a frozen tower finds them      CWCL [3]
    affinities      what a teacher's own towers say                           TinyCLIP [4]

References
----------
[1] Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021.
[2] Yang et al., "Unified Contrastive Learning in Image-Text-Label Space", CVPR 2022.
[3] Srinivasa et al., "CWCL: Cross-Modal Transfer with Continuously Weighted Contrastive Loss", NeurIPS 2023.
[4] Wu et al., "TinyCLIP: CLIP Distillation via Affinity Mimicking and Weight Inheritance", ICCV 2023.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from unseen.nn import parallel

LARGEST = 100.0
"""Where a learnt scale stops, as in CLIP."""


def contrastive(logits: Float[Tensor, "n m"], targets: Float[Tensor, "n m"] | None = None) -> Float[Tensor, ""]:
    """-mean_i sum_j t_ij log softmax_j(logits_i), with each row of targets brought to the sum of 1.

    Parameters
    ----------
    logits : Tensor (n, m)
        s <p_i, q_j>.
    targets : Tensor (n, m), optional
        Weights >= 0 with a positive sum in each row, constants: no gradient flows into them. One pair each, j = i, if
        absent.

    Raises
    ------
    ValueError
        If a weight is negative, or a row of them has no positive sum.
    """
    return _towards(logits, None if targets is None else _shares(targets))


def contrastive_in_parts(
    p: Float[Tensor, "n d"],
    q: Float[Tensor, "m d"],
    scale: Float[Tensor, ""] | float,
    targets: Callable[[slice], Float[Tensor, "k m"]] | None = None,
    rows: int = 1024,
) -> Float[Tensor, ""]:
    """`contrastive` of scale * p q^T without ever holding all of it: memory is linear in the batch.

    Parameters
    ----------
    targets : callable, optional
        The targets of some rows; one pair each if absent.
    rows : int, >= 1
        How many rows are worked on together; they are computed again in the backward pass.
    """

    def part(p: Tensor, q: Tensor, scale: Tensor, at: slice) -> Tensor:
        logits = scale * p @ q.T
        if targets is None:
            return F.cross_entropy(logits, torch.arange(at.start, at.stop, device=p.device), reduction="sum")
        return -(_shares(targets(at)) * F.log_softmax(logits, dim=1)).sum()

    s = torch.as_tensor(scale, device=p.device, dtype=p.dtype)
    slices = [slice(i, min(i + rows, len(p))) for i in range(0, len(p), rows)]
    losses = [checkpoint(part, p[at], q, s, at, use_reentrant=False) for at in slices]
    return torch.stack(losses).sum() / len(p)


def same_label(labels: Int[Tensor, "n"]) -> Float[Tensor, "n n"]:
    """1 where two samples have one label. A label of its own for each makes CLIP of it."""
    return (labels[:, None] == labels[None, :]).float()


def cosine_weights(
    p: Float[Tensor, "n d"], others: Float[Tensor, "m d"] | None = None, power: float | None = None
) -> Float[Tensor, "n m"]:
    """How alike a frozen tower finds two samples, in [0, 1]: <p_i, p_j> / 2 + 1/2, or max(<p_i, p_j>, 0)^power.

    Parameters
    ----------
    p, others : Tensor
        Vectors of any length other than 0; `others` is `p` if absent.
    power : float > 0, optional
        Sharpens: the published weights are nearly level among samples that have nothing to do with each other.
    """
    p = F.normalize(p.detach(), dim=1)
    cosine = p @ (p if others is None else F.normalize(others.detach(), dim=1)).T
    return cosine.clamp(-1, 1) / 2 + 0.5 if power is None else cosine.clamp(0, 1) ** power


class PairLoss(NamedTuple):
    """Both directions of a contrastive loss, and the targets of the first: how level they are."""

    there: Tensor
    back: Tensor
    row_entropy: float

    @property
    def total(self) -> Tensor:
        """Their sum, not their mean."""
        return self.there + self.back


ENTROPY_ROWS = 64
"""Rows of the targets whose entropy is looked at."""


def both_ways(
    p: Float[Tensor, "n d"],
    q: Float[Tensor, "n d"],
    scale: Float[Tensor, ""] | float,
    targets: Callable[[slice], Float[Tensor, "k m"]] | None = None,
    back: Callable[[slice], Float[Tensor, "k m"]] | None = None,
    rows: int = 0,
) -> PairLoss:
    """p finds q by `targets`, and q finds p by `back`: CLIP where both are absent.

    Under several processes p and q are those of this one; they stand against those of all (`parallel.gather`), and the
    loss is the mean over ours.

    Parameters
    ----------
    p, q : Tensor (n, d)
        Unit vectors of pairs.
    targets, back : callable, optional
        The targets of some rows against all columns, ours first; one pair each if absent.
    rows : int
        Of more rows than this not all logits are held at once; 0 holds all.
    """
    all_p, all_q = parallel.gather(p), parallel.gather(q)
    if rows and len(p) > rows:
        level = 0.0 if targets is None else row_entropy(targets(slice(0, ENTROPY_ROWS)))
        there = contrastive_in_parts(p, all_q, scale, targets, rows)
        return PairLoss(there, contrastive_in_parts(q, all_p, scale, back, rows), level)
    every = slice(0, len(p))
    shares = None if targets is None else _shares(targets(every))
    other = shares if back is targets else None if back is None else _shares(back(every))
    level = 0.0 if shares is None else _evenness(shares[:ENTROPY_ROWS])
    return PairLoss(_towards(scale * p @ all_q.T, shares), _towards(scale * q @ all_p.T, other), level)


def supervised_contrast(
    z: Float[Tensor, "n d"], labels: Int[Tensor, "n"], temperature: float = 0.07
) -> Float[Tensor, ""]:
    """-mean_i 1/|P(i)| sum_{p in P(i)} log exp(<z_i, z_p>/t) / sum_{a != i} exp(<z_i, z_a>/t).

    All of one label attract (Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, L_out). What has no other
    of its label is no anchor.

    Parameters
    ----------
    z : Tensor (n, d)
        Unit vectors.
    labels : int tensor (n,)
    temperature : float > 0

    Raises
    ------
    ValueError
        If no label stands twice.
    """
    self_ = torch.eye(len(z), dtype=torch.bool, device=z.device)
    alike = same_label(labels).masked_fill(self_, 0)
    anchors = alike.sum(dim=1) > 0
    if not bool(anchors.any()):
        raise ValueError("labels must hold one that stands twice; each stands once")
    logits = (z @ z.T / temperature).masked_fill(self_, torch.finfo(z.dtype).min)
    return contrastive(logits[anchors], alike[anchors].to(z.dtype))


def affinities(logits: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
    """A teacher's softmax over each row, without a gradient."""
    return logits.detach().softmax(dim=1)


def row_entropy(targets: Float[Tensor, "n m"]) -> float:
    """Mean entropy of the rows as a share of ln m, in [0, 1]: near 1 the targets say nothing (label smoothing)."""
    return _evenness(_shares(targets))


class LogitScale(nn.Module):
    """A learnt factor of cosines, kept as its logarithm and never above `largest`.

    Parameters
    ----------
    start : float > 0
        1 / 0.07 in CLIP.
    """

    def __init__(self, start: float = 1 / 0.07, largest: float = LARGEST) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(start)))
        self.largest = largest

    def forward(self) -> Float[Tensor, ""]:
        """The factor; its gradient goes on where it is held, so that it can come down again."""
        above = (self.log - math.log(self.largest)).clamp(min=0).detach()
        return (self.log - above).exp()


def _towards(logits: Tensor, shares: Tensor | None) -> Tensor:
    """The mean cross entropy of rows of logits with rows of shares; one pair each if absent."""
    if shares is None:
        return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))
    return -(shares * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def _evenness(shares: Tensor) -> float:
    return float(torch.special.entr(shares).sum(dim=1).mean()) / math.log(max(shares.shape[1], 2))


def _shares(targets: Tensor) -> Tensor:
    targets = targets.detach()
    sums = targets.sum(dim=1, keepdim=True)
    if bool((targets < 0).any()) or not bool((sums > 0).all()):
        raise ValueError("targets must be weights >= 0 with a positive sum in each row")
    return targets / sums
