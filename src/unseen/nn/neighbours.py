"""Nearest neighbours by cosine, and a memory of the features and scores of every sample."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


def nearest(queries: Float[Tensor, "b d"], bank: Float[Tensor, "n d"], k: int) -> Int[Tensor, "b k"]:
    """Indices of the k rows of `bank` (at most n) with the largest cosine to each query, the nearest first.

    Rows of `bank` must have unit length.
    """
    return (queries @ bank.T).topk(min(k, len(bank)), dim=1).indices


class MemoryBank(nn.Module):
    """The latest unit-length feature and class scores of each of n samples, as buffers of a checkpoint.

    Parameters
    ----------
    n, n_features, n_classes : int
        Shapes: `features` is (n, n_features), `scores` is (n, n_classes).
    """

    features: Tensor
    scores: Tensor

    def __init__(self, n: int, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(n, n_features))
        self.register_buffer("scores", torch.zeros(n, n_classes))

    @torch.no_grad()
    def write(self, index: Int[Tensor, " b"] | slice, z: Float[Tensor, "b d"], p: Float[Tensor, "b c"]) -> None:
        """Replace the entries at `index`; features are brought to unit length."""
        self.features[index] = F.normalize(z, dim=1).to(self.features)
        self.scores[index] = p.to(self.scores)

    @torch.no_grad()
    def consensus(self, z: Float[Tensor, "b d"], k: int) -> Float[Tensor, "b c"]:
        """Mean scores of the k nearest entries after the first, which is the sample itself while the bank holds it.

        A bank of one entry answers with that entry.
        """
        near = nearest(z.to(self.features), self.features, k + 1)
        return self.scores[near[:, 1:] if near.shape[1] > 1 else near].mean(dim=1)
