"""The compositional network: kernels, where each class has them, and what explains the rest (steps 2, 3, 5 and 10)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.von_mises_fisher import unit

FLOOR = math.log(1e-10)
"""The log-likelihood of a position that nothing explains."""
SHARPNESS = 2.0
"""What scores are multiplied by before the softmax."""
NEVER = -1e4
"""The score of a class, or of a component, that has no picture."""
TINY = 1e-37


class Reading(NamedTuple):
    """How each class explains each position, by the component and the clutter that suit it best.

    Attributes
    ----------
    scores : Tensor (b, y)
        Mean over positions of the better of both explanations.
    object, clutter : Tensor (b, y, r)
        log p of each position as a part of the class, and as clutter.
    """

    scores: Tensor
    object: Tensor
    clutter: Tensor


class CompNet(nn.Module):
    """A class is a mixture of views; a view says which kernel is likely at which position [1].

        L_ik = exp(kappa mu_k . f_i) where the cosine is positive, else 0
        fg_i = log((1 - o) sum_k A_ymik L_ik + 1e-10),   bg_i = log(o sum_k beta_nk L_ik + 1e-10)
        score(y) = max over views m and clutter n of mean_i max(fg_i, bg_i)

    `forward` gives `SHARPNESS` times the scores. Everything is computed relative to the largest kappa mu_k . f_i of
    a position, so that nothing overflows.

    Parameters
    ----------
    n_features, n_regions, n_kernels, n_classes, n_components, n_clutter : int
    kappa : float in (0, 80]
    occlusion : float in [0, 1)
        o, the probability of a position to show no part of the object; without clutter nothing is occluded.

    References
    ----------
    [1] Kortylewski et al., "Compositional Convolutional Neural Networks", CVPR 2020.
    """

    there: Tensor
    clutter: Tensor

    def __init__(
        self, n_features: int, n_regions: int, n_kernels: int, n_classes: int, n_components: int, n_clutter: int,
        kappa: float, occlusion: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.n_features, self.n_regions, self.n_clutter = n_features, n_regions, n_clutter
        self.kappa, self.occlusion = kappa, occlusion if n_clutter else 0.0
        self.means = nn.Parameter(torch.zeros(n_kernels, n_features))
        self.coefficients = nn.Parameter(torch.zeros(n_classes, n_components, n_regions, n_kernels))
        self.register_buffer("there", torch.zeros(n_classes, n_components, dtype=torch.bool))
        self.register_buffer("clutter", torch.zeros(n_clutter, n_kernels))

    def cosines(self, x: Float[Tensor, "b *rd"]) -> Float[Tensor, "b r k"]:
        """mu_k . f_i of every position; `ValueError` if there are more or fewer than there were in training."""
        cells = x.reshape(x.shape[0], -1, self.n_features)
        if cells.shape[1] != self.n_regions:
            raise ValueError(f"x must have {self.n_regions} regions, as in fit; got {cells.shape[1]}")
        return unit(cells) @ unit(self.means).T

    def spatial(self) -> Float[Tensor, "y m r k"]:
        """A: the coefficients in [0, 1], which sum to 1 at each position."""
        return normalized(self.coefficients.clamp(0, 1))

    def read(self, cosines: Float[Tensor, "b r k"]) -> Reading:
        """How each class explains what the kernels found."""
        active, top = activations(cosines, self.kappa)
        y, m = self.there.shape
        fg = explained(active, top, self.spatial().flatten(0, 1), 1 - self.occlusion)
        fg = fg.reshape(fg.shape[0], y, m, fg.shape[2])
        bg = self.background(active, top)
        whole = torch.stack([torch.maximum(fg, clutter[:, None, None]).mean(dim=3) for clutter in bg.unbind(1)], dim=3)
        whole = torch.where(self.there[:, :, None], whole, NEVER)  # (b, y, m, n)
        best = whole.flatten(2).argmax(dim=2)
        view, kind = best // bg.shape[1], best % bg.shape[1]
        r = cosines.shape[1]
        chosen = fg.gather(2, view[:, :, None, None].expand(-1, -1, 1, r))[:, :, 0]
        return Reading(whole.flatten(2).amax(dim=2), chosen, bg.gather(1, kind[:, :, None].expand(-1, -1, r)))

    def background(self, active: Float[Tensor, "b r k"], top: Float[Tensor, "b r"]) -> Float[Tensor, "b n r"]:
        """bg of every kind of clutter; without any, the floor."""
        if self.n_clutter == 0:
            return torch.full_like(top, FLOOR)[:, None]
        beta = self.clutter[:, None].expand(-1, active.shape[1], -1)
        return explained(active, top, beta, self.occlusion)

    def forward(self, x: Float[Tensor, "b *rd"]) -> Float[Tensor, "b y"]:
        """The logits of all classes."""
        return SHARPNESS * self.read(self.cosines(x)).scores


def normalized(coefficients: Float[Tensor, "*n k"]) -> Float[Tensor, "*n k"]:
    """Divide by the sum over kernels; all of them alike where all are 0."""
    total = coefficients.sum(dim=-1, keepdim=True)
    even = torch.full_like(coefficients, 1 / coefficients.shape[-1])
    return torch.where(total > 0, coefficients / total.clamp_min(TINY), even)


def activations(cosines: Float[Tensor, "b r k"], kappa: float) -> tuple[Float[Tensor, "b r k"], Float[Tensor, "b r"]]:
    """L over exp(top), and top: the largest kappa cos of each position, at least 0 (step 2)."""
    top = kappa * cosines.detach().amax(dim=2).clamp_min(0)
    return torch.where(cosines > 0, torch.exp(kappa * cosines - top[:, :, None]), 0.0), top


def explained(
    active: Float[Tensor, "b r k"], top: Float[Tensor, "b r"], mixing: Float[Tensor, "c r k"], prior: float
) -> Float[Tensor, "b c r"]:
    """log(prior sum_k mixing_ik L_ik + 1e-10) of each of c ways to mix the kernels."""
    total = (active.transpose(0, 1) @ mixing.permute(1, 2, 0)).permute(1, 2, 0)
    log_prior = math.log(prior) if prior > 0 else -math.inf
    log = torch.where(total > 0, top[:, None] + total.clamp_min(TINY).log() + log_prior, -math.inf)
    return FLOOR + F.softplus(log - FLOOR)


def shares(cosines: Float[Tensor, "b r k"], kappa: float) -> Float[Tensor, "b r k"]:
    """L as shares of each position; 0 where no cosine is positive."""
    active, _ = activations(cosines, kappa)
    return active / active.sum(dim=2, keepdim=True).clamp_min(TINY)


@builder("compnet")
def compnet(
    n_features: int, n_regions: int, n_kernels: int, n_classes: int, n_components: int, n_clutter: int,
    kappa: float, occlusion: float,
) -> CompNet:  # fmt: skip
    """A `CompNet` that knows nothing yet."""
    return CompNet(n_features, n_regions, n_kernels, n_classes, n_components, n_clutter, kappa, occlusion)
