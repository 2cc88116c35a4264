"""Mixed augmentation: the decoder sees another caption's vector, moved by noise, as it will see a sound's (step 2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

SAME = 0.999
"""Cosine above which two captions say the same."""
ROWS = 1024
"""Captions whose neighbours are looked for together."""
NOBODY = -1


def nearest_captions(
    e: Float[Tensor, "n d"], k: int, least: float, clips: Int[Tensor, " n"] | None = None, same: float = SAME
) -> Int[Tensor, "n k"]:
    """The k captions nearest to each with a cosine in [least, same); `NOBODY` where there are fewer (step 2a).

    Parameters
    ----------
    e : Tensor (n, d)
        Unit vectors.
    k : int
    least : float
        What is farther says something else: a rare caption keeps its own vector.
    clips : Tensor (n,), optional
        The sound of each caption: one of the same sound is no neighbour.
    same : float
        Captions that are as near say the same.
    """
    n = len(e)
    k = min(k, n - 1)
    if k < 1:
        return torch.full((n, 0), NOBODY)
    out = []
    for start in range(0, n, ROWS):
        cosines = e[start : start + ROWS] @ e.T
        rows = torch.arange(start, start + len(cosines), device=e.device)
        cosines[torch.arange(len(cosines)), rows] = -torch.inf
        cosines = cosines.masked_fill(cosines >= same, -torch.inf)
        if clips is not None:
            cosines = cosines.masked_fill(clips[rows, None] == clips[None], -torch.inf)
        values, places = cosines.topk(k, dim=1)
        out.append(places.masked_fill(values < least, NOBODY))
    return torch.cat(out)


class MixedAugmentation:
    """e'' = normalize(e' + n), n ~ N(0, variance I); e' is, with some probability, a neighbour's vector, else e.

    Parameters
    ----------
    e : Tensor (n, d)
        Unit vectors of the captions.
    k : int
        Neighbours that may stand for a caption.
    p_replace : float in [0, 1]
    variance : float
        Of the noise, in every coordinate of the unit vector.
    least : float
        Cosine that a neighbour must have.
    clips : Tensor (n,), optional
        See `nearest_captions`.
    """

    def __init__(
        self,
        e: Float[Tensor, "n d"],
        k: int = 5,
        p_replace: float = 0.5,
        variance: float = 0.016,
        least: float = 0.6,
        clips: Int[Tensor, " n"] | None = None,
    ) -> None:
        self.e, self.p_replace, self.variance = e, p_replace, variance
        neighbours = nearest_captions(e, k if p_replace else 0, least, clips)
        self.neighbours = neighbours  # the nearest first, so that those that are there stand before NOBODY
        self.counts = (neighbours != NOBODY).sum(dim=1)

    def __call__(self, index: Int[Tensor, " b"], generator: torch.Generator) -> Float[Tensor, "b d"]:
        """What the decoder sees of the captions at `index`: replacement first, then noise (step 2c)."""
        return self.noise(self.e[self.replace(index, generator)], generator)

    def replace(self, index: Int[Tensor, " b"], generator: torch.Generator) -> Int[Tensor, " b"]:
        """Captions whose vectors stand for those at `index` (step 2a)."""
        if not self.neighbours.shape[1] or not self.p_replace:
            return index
        draws = torch.rand(2, len(index), generator=generator).to(index.device)
        counts = self.counts.to(index.device)[index]
        choice = (draws[1] * counts).long().clamp(max=self.neighbours.shape[1] - 1)
        other = self.neighbours.to(index.device)[index, choice]
        return torch.where((draws[0] < self.p_replace) & (counts > 0), other, index)

    def noise(self, e: Float[Tensor, "b d"], generator: torch.Generator) -> Float[Tensor, "b d"]:
        """Gaussian noise on unit vectors, which are unit vectors again (step 2b)."""
        if not self.variance:
            return F.normalize(e, dim=1)
        n = torch.randn(e.shape, generator=generator).to(e.device)
        return F.normalize(e + math.sqrt(self.variance) * n, dim=1)


def expected_cosine(variance: float, d: int) -> float:
    """About how near noise of that variance leaves a unit vector to itself: 1 / sqrt(1 + d variance)."""
    return 1 / math.sqrt(1 + d * variance)


def variance_for(cosine: float, d: int) -> float:
    """The variance that leaves a unit vector at this cosine."""
    if not 0 < cosine <= 1:
        raise ValueError(f"cosine must be in (0, 1]; got {cosine!r}")
    return (1 / cosine**2 - 1) / d
