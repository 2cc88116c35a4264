"""Adversarial features of a primitive, and what the losses on them are."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

SIZES = (0.0, 0.005, 0.05, 0.5)
"""Step sizes of which each batch draws one."""
START = 16 / 255
"""The largest value of the noise that a step starts from."""


def primitive_attack(
    head: Callable[[Tensor], Tensor],
    f: Float[Tensor, "b d"],
    y: Int[Tensor, " b"],
    *,
    size: float,
    noise: Float[Tensor, "b d"],
    direction: Float[Tensor, "b d"] | None = None,
) -> Float[Tensor, "b d"]:
    """One step up the loss of a head, from a noisy start: f + noise + size sign(g) [1, equations 8 and 9].

    Any differentiable head over the features of a primitive will do, so the attack wraps other models too. The result
    is a constant: no gradient flows back through it.

    Parameters
    ----------
    head : callable
        From features (b, d) to logits (b, c), without dropout.
    f : Tensor (b, d)
    y : Tensor (b,)
        The primitive of each sample.
    size : float, >= 0
    noise : Tensor (b, d)
        The start, at least 0.
    direction : Tensor (b, d), optional
        Signs to go along instead of those of the gradient: the control that shows what the gradient is worth.
    """
    if direction is None:
        with torch.enable_grad():
            leaf = f.detach().requires_grad_()
            direction = torch.autograd.grad(F.cross_entropy(head(leaf), y), leaf)[0].sign()
    return f.detach() + noise + size * direction


def semi_positive(pairs: Int[Tensor, "p 2"], share: float) -> Float[Tensor, "p p"]:
    """Soft targets of every pair: 1 - share on itself, the rest spread evenly over pairs that share one primitive.

    A pair that shares none with any other keeps all of it.
    """
    related: Bool[Tensor, "p p"] = (pairs[:, None] == pairs[None]).any(dim=2) & ~torch.eye(len(pairs), dtype=torch.bool)
    count = related.sum(dim=1, keepdim=True)
    spread = share * related / count.clamp_min(1)
    return spread + torch.diag(1 - spread.sum(dim=1))


def consistency(clean: Float[Tensor, "b p"], attacked: Float[Tensor, "b p"]) -> Float[Tensor, ""]:
    """KL(softmax(clean) || softmax(attacked)) of cosines without scale, mean over the batch."""
    return F.kl_div(
        torch.log_softmax(attacked, dim=1), torch.log_softmax(clean, dim=1), reduction="batchmean", log_target=True
    )
