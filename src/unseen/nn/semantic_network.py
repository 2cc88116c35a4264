"""A linear map from features to the space of class vectors, and the cosine with every prototype there, as a network."""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.semantic import cosines, hub_norms
from unseen.nn.softmax import NEVER


def normalized(x: Float[Tensor, "n d"], power: float = 1.0) -> Float[Tensor, "n d"]:
    """sign(x) |x|^power, then each row at unit length; a row of zeros stays."""
    return F.normalize(x.sign() * x.abs() ** power if power != 1 else x, dim=1)


def centred(x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n d"], Float[Tensor, " d"]]:
    """Normalized training samples without their mean, and the mean.

    Raises
    ------
    ValueError
        If no two samples differ: there is nothing to regress on.
    """
    centre = x.mean(dim=0)
    if float((x - x[0]).abs().max()) < 1e-6:  # of rows of unit length, in float32
        raise ValueError(f"source must hold samples that differ in direction; all {len(x)} are alike")
    return x - centre, centre


class SemanticNetwork(nn.Module):
    """Scores ``scale (gain_c cos(A (norm(x) - centre), p_c) + bias_c)``, (n, n_classes).

    Parameters
    ----------
    n_features, n_latent, n_classes : int
    power : float
        Of the signed power normalisation.
    scale : float
        Multiplies the scores, so that their softmax is not flat.
    """

    centre: Tensor
    map: Tensor
    prototypes: Tensor
    gain: Tensor
    bias: Tensor

    def __init__(self, n_features: int, n_latent: int, n_classes: int, power: float, scale: float) -> None:
        super().__init__()
        self.power, self.scale = power, scale
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("map", torch.zeros(n_latent, n_features))
        self.register_buffer("prototypes", torch.zeros(n_classes, n_latent))
        self.register_buffer("gain", torch.ones(n_classes))
        self.register_buffer("bias", torch.zeros(n_classes))

    def set_map(self, centre: Tensor, matrix: Tensor, prototypes: Tensor) -> Self:
        """Take the centre of the normalized features, (d,), the map, (k, d), and the prototypes, (n_classes, k)."""
        self.centre, self.map, self.prototypes = centre.float(), matrix.float(), prototypes.float()
        return self

    def allow(self, classes: Bool[Tensor, " c"], handicapped: Bool[Tensor, " c"], handicap: float) -> Self:
        """Score no other class; lower the cosine of some by `handicap` (calibrated stacking, Chao et al. 2016)."""
        bias = torch.where(handicapped, -handicap, 0.0)
        self.bias = torch.where(classes, bias, torch.full_like(bias, NEVER))
        return self

    def hold_hubs(self, codes: Float[Tensor, "n k"]) -> Self:
        """Divide the cosines of each class by their norm over embedded samples; one sample tells of no hub."""
        if len(codes) > 1:
            norms = hub_norms(cosines(codes, self.prototypes))
            self.gain = norms.mean() / norms
        return self

    def embed(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """Samples in the space of the prototypes."""
        return (normalized(x, self.power) - self.centre) @ self.map.T

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Scores of every class."""
        return self.scale * (self.gain * cosines(self.embed(x), self.prototypes) + self.bias)


@builder("semantic")
def semantic_network(
    n_features: int, n_latent: int, n_classes: int, power: float = 1.0, scale: float = 20.0
) -> SemanticNetwork:
    """A `SemanticNetwork` without map and prototypes."""
    return SemanticNetwork(n_features, n_latent, n_classes, power, scale)
