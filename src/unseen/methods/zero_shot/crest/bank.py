"""The meta pattern bank: a few patterns that queries are matched with, sparsely."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.clustering import kmeans

Queries = Literal["regions", "pooled"]


class PatternBank(nn.Module):
    """phi, (m, d), of which each query gets the mean of the k that match it best (step 3).

        w = softmax(Q phi^T / tau), cut to its k largest entries and summing to 1 again,   V_t = w phi

    Parameters
    ----------
    patterns, width : int
    nearest : int
        k, at most the number of patterns.
    temperature : float
        tau.
    queries : {"regions", "pooled"}
        A query for each region, or one for their mean.
    """

    def __init__(self, patterns: int, width: int, nearest: int, temperature: float, queries: Queries) -> None:
        super().__init__()
        self.nearest, self.temperature, self.pooled = min(nearest, patterns), temperature, queries == "pooled"
        self.query = nn.Linear(width, width)
        self.patterns = nn.Parameter(torch.zeros(patterns, width))

    def ask(self, regions: Float[Tensor, "b r d"], attended: Float[Tensor, "b r d"]) -> Float[Tensor, "b q d"]:
        """Q_t from regions and what they found, at unit variance: before training all find nearly the same."""
        normed = F.layer_norm(regions + attended, attended.shape[-1:])
        return self.query(normed.mean(dim=1, keepdim=True) if self.pooled else normed)

    def forward(self, queries: Float[Tensor, "b q d"]) -> Float[Tensor, "b q d"]:
        """V_t of each query."""
        return self.weights(queries) @ self.patterns

    def weights(self, queries: Float[Tensor, "b q d"]) -> Float[Tensor, "b q m"]:
        """w: the match of each query with each pattern, 0 but for the k best; rows sum to 1."""
        match = queries @ self.patterns.T / self.temperature
        if self.nearest < len(self.patterns):
            least = match.topk(self.nearest, dim=2).values[:, :, -1:]
            match = match.masked_fill(match < least, -torch.inf)
        return torch.softmax(match, dim=2)

    @torch.no_grad()
    def start(self, queries: Float[Tensor, "n d"], random_state: int) -> None:
        """Put the patterns at the centres of k-means on some queries, so that none is dead from the start."""
        self.patterns.copy_(kmeans(queries, len(self.patterns), random_state=random_state).centroids)

    def usage(self, queries: Float[Tensor, "b q d"]) -> Float[Tensor, ""]:
        """Entropy of the mean match over the patterns, in [0, 1]: 1 if all are used alike."""
        share = self.weights(queries.detach()).mean(dim=(0, 1))
        return torch.special.entr(share).sum() / torch.log(torch.tensor(float(max(2, len(self.patterns)))))


def discrimination(bank: PatternBank, queries: Float[Tensor, "b q d"], margin: float) -> Float[Tensor, ""]:
    """L_DIGS (step 7): a query near to the pattern p that matches it best, and nearer than to the second best, n.

    mean max(0, |Q - phi_p|^2 - |Q - phi_n|^2 + margin) + mean |Q - phi_p|^2
    """
    best = (queries @ bank.patterns.T).topk(min(2, len(bank.patterns)), dim=2).indices
    distance = (queries[:, :, None] - bank.patterns[best]).square().sum(dim=3)
    loss = distance[:, :, 0].mean()
    if len(bank.patterns) > 1:
        loss = loss + F.relu(distance[:, :, 0] - distance[:, :, 1] + margin).mean()
    return loss
