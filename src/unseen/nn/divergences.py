"""How far apart two predictions of the same samples are."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Divergence = Literal["kl", "reverse-kl", "symmetric-kl", "js", "l2", "mmd"]
BANDWIDTHS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Of the inverse multiquadric kernels that `mmd` adds."""


def divergence(
    target: Tensor,
    current: Tensor,
    kind: Divergence = "kl",
    *,
    mask: Tensor | None = None,
) -> Float[Tensor, ""]:
    """The mean divergence over rows of logits, such as samples (b, c) or tokens (b, t, v); a number >= 0.

    Parameters
    ----------
    target, current : Tensor (..., c)
        Logits, p = softmax(target) and q = softmax(current).
    kind : {"kl", "reverse-kl", "symmetric-kl", "js", "l2", "mmd"}
        KL(p || q) in nats, KL(q || p), their sum; the Jensen-Shannon divergence; the distance of logits; the squared
        maximum mean discrepancy of the two sets of logits by inverse multiquadric kernels (biased, so at least 0).
    mask : bool Tensor (...), optional
        Which rows count, such as tokens that are no padding.

    Raises
    ------
    ValueError
        If shapes differ, no row counts, or `kind` is none of these.

    Source: Sherborne et al., ICLR 2024, section 3.2.
    """
    if target.shape != current.shape:
        shapes = f"{tuple(target.shape)} and {tuple(current.shape)}"
        raise ValueError(f"target and current must have one shape; got {shapes}")
    rows = target.ndim - 1
    keep = slice(None) if mask is None else mask.flatten()
    a, b = (x.flatten(0, rows - 1)[keep] for x in (target, current))
    if not len(a):
        raise ValueError("no row counts: target is empty, or mask is False everywhere")
    if kind == "kl":
        return kl(a, b).mean()
    if kind == "reverse-kl":
        return kl(b, a).mean()
    if kind == "symmetric-kl":
        return (kl(a, b) + kl(b, a)).mean()
    if kind == "js":
        return js(a, b).mean()
    if kind == "l2":
        return (a - b).norm(dim=1).mean()
    if kind == "mmd":
        return _mmd(a, b)
    raise ValueError(f"kind must be kl, reverse-kl, symmetric-kl, js, l2 or mmd; got {kind!r}")


def kl(target: Float[Tensor, "*n c"], current: Float[Tensor, "*n c"]) -> Float[Tensor, "*n"]:
    """KL(softmax(target) || softmax(current)) of each row, in nats, in single precision or that of doubles."""
    log_p, log_q = (F.log_softmax(x if x.dtype == torch.double else x.float(), dim=-1) for x in (target, current))
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def exact_kl(target: Float[Tensor, "n *m c"], current: Float[Tensor, "n *m c"]) -> Float[Tensor, " n"]:
    """`kl` of each sample in double precision, to measure with: a mean over what is between n and c."""
    return kl(target.double(), current.double()).reshape(len(target), -1).mean(dim=1)


def js(target: Float[Tensor, "n c"], current: Float[Tensor, "n c"]) -> Float[Tensor, " n"]:
    """JS(softmax(target), softmax(current)) of each row, in nats: in [0, ln 2], symmetric, 0 for equal rows.

    (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2.
    """
    log_p, log_q = F.log_softmax(target.float(), dim=1), F.log_softmax(current.float(), dim=1)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return ((log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum(dim=1)) / 2


def _mmd(a: Tensor, b: Tensor) -> Tensor:
    both = torch.cat([a, b]).float()
    square = torch.cdist(both, both).square()
    kernel = torch.stack([(width**2 + square).rsqrt() for width in BANDWIDTHS]).sum(dim=0)
    n = len(a)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
