"""Statistics of classes, their neighbours, and the generator of image features from class names (steps 2 to 4)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

Noise = Literal["one-sided", "symmetric"]


class ClassStats(NamedTuple):
    """Mean and deviation of the unit image features of each class, (C, d); a mean of unit vectors is no unit vector."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def fit(cls, z: Float[Tensor, "n d"], y: Int[Tensor, " n"], classes: int) -> ClassStats:
        """Of features and their labels; a class with one sample deviates by 0."""
        z = F.normalize(z, dim=1)
        counts = torch.bincount(y, minlength=classes).clamp_min(1)[:, None].to(z)
        mean = z.new_zeros(classes, z.shape[1]).index_add(0, y, z) / counts
        square = z.new_zeros(classes, z.shape[1]).index_add(0, y, (z - mean[y]) ** 2) / counts
        return cls(mean, square.sqrt())

    def values(
        self, which: Int[Tensor, "*b k"], generator: torch.Generator, noise: Noise = "one-sided"
    ) -> Float[Tensor, "*b k d"]:
        """V = mu + r sigma of classes, r uniform in [0, 1] per coordinate (or [-1, 1]), one r for all of them."""
        r = torch.rand(self.mean.shape[1], generator=generator).to(self.mean)
        if noise == "symmetric":
            r = 2 * r - 1
        return self.mean[which] + r * self.deviation[which]


def class_knn(means: Float[Tensor, "c d"], k: int) -> Int[Tensor, "c k"]:
    """The k other classes whose mean image features have the largest products with those of each."""
    products = means @ means.T
    return (
        products.masked_fill(torch.eye(len(means), dtype=torch.bool, device=means.device), -torch.inf).topk(k).indices
    )


class FeatureGenerator(nn.Module):
    """G(Q, K, V) = normalize(MHA(Q, K, V) + FFN(Q)): an image feature of a class from what is known of others.

    Parameters
    ----------
    dim : int
        d, of texts and pictures alike.
    heads : int
        Must divide it.
    dropout : float
        Of attention.
    """

    def __init__(self, dim: int, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(
        self, query: Float[Tensor, "b q d"], key: Float[Tensor, "b k d"], value: Float[Tensor, "b k d"]
    ) -> Float[Tensor, "b q d"]:
        """Unit features of the classes whose texts are asked for, from texts and pictures of the source classes."""
        mixed, _ = self.attention(query, key, value, need_weights=False)
        return F.normalize(mixed + self.feed(query), dim=2)
