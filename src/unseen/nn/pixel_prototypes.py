"""A mean feature for every class of pixels, and the information that a picture's pixels carry about the classes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.data.pixels import UNKNOWN


class PrototypeBank(nn.Module):
    """A running mean of the unit features of each class, of unit length when it is read.

    Parameters
    ----------
    n_classes, width : int
    momentum : float in [0, 1)
        What stays of a prototype at each update; the first of a class is its mean in the batch.
    """

    means: Tensor
    known: Tensor

    def __init__(self, n_classes: int, width: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("means", torch.zeros(n_classes, width))
        self.register_buffer("known", torch.zeros(n_classes, dtype=torch.bool))

    @torch.no_grad()
    def update(self, z: Float[Tensor, "b d g k"], y: Int[Tensor, "b h w"]) -> None:
        """Move the prototypes of the classes that occur to the mean unit feature of their pixels."""
        at = labels_at(y, z.shape[-2:]).reshape(-1)
        units = F.normalize(z, dim=1).permute(0, 2, 3, 1).flatten(0, 2)[at != UNKNOWN].to(self.means.dtype)
        at = at[at != UNKNOWN]
        counts = torch.bincount(at, minlength=len(self.means))[: len(self.means)]
        sums = torch.zeros_like(self.means).index_add_(0, at, units)
        there = counts > 0
        new = sums[there] / counts[there, None]
        keep = torch.where(self.known[there], self.momentum, 0.0)[:, None]
        self.means[there] = keep * self.means[there] + (1 - keep) * new
        self.known |= there

    @property
    def prototypes(self) -> Float[Tensor, "m d"]:
        """Those of the classes that have been met, each of unit length."""
        return F.normalize(self.means[self.known], dim=1)


def labels_at(y: Int[Tensor, "b h w"], size: tuple[int, int] | torch.Size) -> Int[Tensor, "b g k"]:
    """The classes of pixels on a coarser grid: that of the pixel in the middle of each cell."""
    return F.interpolate(y[:, None].double(), size=tuple(size), mode="nearest-exact")[:, 0].long()


def prototype_im(
    features: Float[Tensor, "m d"],
    prototypes: Float[Tensor, "c d"],
    tau: float = 0.1,
    beta: float = 1.0,
    prior: Float[Tensor, "c"] | None = None,
) -> Float[Tensor, ""]:
    """Information maximisation by similarity to prototypes: mean H(q) - `beta` H(mean q), q = softmax(cos / `tau`).

    With a `prior` over classes the second term is `beta` KL(mean q || prior) in its place: one picture need not show
    all classes equally often.
    """
    log_q = torch.log_softmax(F.normalize(features, dim=1) @ prototypes.T / tau, dim=1)
    q = log_q.exp()
    mean = q.mean(dim=0).clamp_min(1e-12)
    certain = -(q * log_q).sum(dim=1).mean()
    if prior is None:
        return certain + beta * (mean * mean.log()).sum()
    return certain + beta * (mean * (mean.log() - prior.clamp_min(1e-12).log())).sum()
