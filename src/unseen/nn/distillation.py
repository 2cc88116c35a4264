"""Distilling several teachers into one student, each in its own label space."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor


def power_weights(scores: Float[np.ndarray, " s"], power: float) -> NDArray[np.float64]:
    """alpha_s = max(e_s, 0)^p / sum_j max(e_j, 0)^p, (s,).

    They sum to 1, keep the order, and do not depend on the unit of the scores. With p = 0 all are equal, those of
    scores <= 0 too; with p = inf the largest alone counts (equal ones share).

    Raises
    ------
    ValueError
        If `power` is negative, there is no score, or none is above 0 where `power` is: no source can be weighted then.
    """
    e = np.asarray(scores, dtype=np.float64)
    if e.ndim != 1 or not len(e) or not np.isfinite(e).all():
        raise ValueError(f"scores must be a vector of finite numbers; got {scores!r}")
    if not power >= 0:
        raise ValueError(f"power must be >= 0; got {power}")
    if power == 0:
        return np.full(len(e), 1 / len(e))
    if e.max() <= 0:
        raise ValueError(f"scores must hold one above 0; the largest is {e.max():g}")
    relative = np.maximum(e, 0) / e.max()
    raised = (relative == 1).astype(float) if np.isinf(power) else relative**power
    return raised / raised.sum()


def soft_cross_entropy(
    target: Float[Tensor, "b c"], logits: Float[Tensor, "b c"], temperature: float = 1.0
) -> Float[Tensor, ""]:
    """The mean over rows of CE(softmax(target / T), softmax(logits / T)), `target` being the teacher's logits."""
    p = torch.softmax(target.detach() / temperature, dim=1)
    return -(p * F.log_softmax(logits / temperature, dim=1)).sum(dim=1).mean()


def multi_source_loss(
    teachers: Iterable[Float[Tensor, "b ..."]],
    student: Iterable[Float[Tensor, "b ..."]],
    weights: Iterable[float],
    temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """sum_s alpha_s CE(teacher s, student head s), in the label space of each teacher; none maps to another.

    Source: Borup et al., ICCV 2023, the distillation term of DistillWeighted.
    """
    terms = [w * soft_cross_entropy(t, s, temperature) for t, s, w in zip(teachers, student, weights, strict=True)]
    return torch.stack(terms).sum()
