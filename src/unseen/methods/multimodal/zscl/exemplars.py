"""Samples of earlier tasks that are kept and rehearsed: iCaRL's herding."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def herded(z: Float[Tensor, "n d"], y: Int[Tensor, " n"], each: int) -> Int[Tensor, " m"]:
    """Positions of at most `each` samples per class whose mean is as near as can be to the mean of the class.

    One after the other: the next is the one that brings the mean of those chosen nearest [1].

    References
    ----------
    [1] Rebuffi, Kolesnikov, Sperl, Lampert, "iCaRL: Incremental Classifier and Representation Learning", CVPR 2017,
        algorithm 4.
    """
    chosen: list[int] = []
    for label in torch.unique(y).tolist():
        members = torch.nonzero(y == label).flatten()
        mean, total = z[members].mean(dim=0), torch.zeros_like(z[0])
        free = torch.ones(len(members), dtype=torch.bool)
        for k in range(1, min(each, len(members)) + 1):
            gap = (mean - (total + z[members]) / k).norm(dim=1)
            best = int(torch.where(free, gap, torch.inf).argmin())
            free[best] = False
            total = total + z[members[best]]
            chosen.append(int(members[best]))
    return torch.tensor(chosen, dtype=torch.int64)
