"""Loki's rule: the expected squared distance of every class from the observed ones, in ways that agree."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from unseen.data.label_metrics import LabelMetric, TreeMetric
from unseen.data.typing import IntArray
from unseen.nn.build import builder
from unseen.nn.calibration import soften

BLOCK = 2**22
"""Numbers in one working array: what is larger is done in blocks of samples, classes or observed classes."""


# -- functions on arrays: p (b, K) over the observed classes -> expected cost (b, N) of every class --------


def metric_cost(
    p: Float[Tensor, "b k"], metric: LabelMetric, observed: IntArray, power: int = 2
) -> Float[Tensor, "b n"]:
    """cost[y] = sum_k p_k d(y, lambda_k)^power for any metric, whose rows are asked for in blocks (eq. 2)."""
    cost = torch.zeros(len(p), len(metric), dtype=torch.float64)
    size = max(1, BLOCK // len(metric))
    for start in range(0, len(observed), size):
        block = slice(start, start + size)
        cost += p[:, block].double() @ torch.as_tensor(metric.rows(observed[block])).double() ** power
    return cost


def embedding_cost(
    p: Float[Tensor, "b k"], observed: Float[Tensor, "k d"], vectors: Float[Tensor, "n d"]
) -> Float[Tensor, "b n"]:
    """sum_k p_k ||y - t_k||^2 = ||y - m||^2 + sum_k p_k ||t_k||^2 - ||m||^2 with m = sum_k p_k t_k.

    No distance between classes is formed: the nearest class to the mean embedding is Loki's prediction.
    """
    constant = p @ observed.square().sum(dim=1)
    return vectors.square().sum(dim=1) - 2 * (p @ observed) @ vectors.T + constant[:, None]


def nearest_to_mean(
    p: Float[Tensor, "b k"], observed: Float[Tensor, "k d"], vectors: Float[Tensor, "n d"]
) -> Int64[Tensor, "b"]:
    """The argmin of `embedding_cost`, some classes at a time; ties go to the lowest index."""
    best = torch.full((len(p),), torch.inf)
    winner = torch.zeros(len(p), dtype=torch.int64)
    mean = p @ observed
    size = max(1, BLOCK // len(p))
    for start in range(0, len(vectors), size):
        part = vectors[start : start + size]
        cost, index = (part.square().sum(dim=1) - 2 * mean @ part.T).min(dim=1)
        winner = torch.where(cost < best, index + start, winner)
        best = torch.minimum(cost, best)
    return winner


def tree_cost(p: Float[Tensor, "b k"], tree: TreeMetric, observed: IntArray, power: int = 2) -> Float[Tensor, "b n"]:
    """sum_k p_k d(y, lambda_k)^power for all classes of a tree in O(nodes) per sample, by rerooting.

    The mass and the first two moments of the distance are gathered from the leaves to the root, level by
    level; then each node takes its parent's totals, corrected for the one edge between them.
    """
    order = np.concatenate(tree.levels)  # level after level, siblings side by side: what is near is used together
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    ends = np.cumsum([0, *map(len, tree.levels)])
    levels = [slice(*ends[i : i + 2]) for i in range(len(tree.levels))]
    parent, length = torch.as_tensor(place[tree.parents[order]]), torch.as_tensor(tree.lengths[order])[:, None]
    mass, first, second = (torch.zeros(len(order), len(p), dtype=torch.float64) for _ in range(3))
    mass[torch.as_tensor(place[tree.nodes[observed]])] = p.T.double()

    def moved(m: Tensor, f: Tensor, s: Tensor, edge: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mass and moments of d + edge from those of d."""
        return m, f + edge * m, s + edge * (2 * f + edge * m)

    for above, level in reversed(list(zip(levels, levels[1:]))):
        below = moved(mass[level], first[level], second[level], length[level])
        for total, part in zip((mass, first, second), below):
            total[above].index_add_(0, parent[level] - above.start, part)
    for level in levels[1:]:
        seen_from_parent = moved(mass[level], first[level], second[level], length[level])
        m, f, s = (total[parent[level]] - part for total, part in zip((mass, first, second), seen_from_parent))
        for total, part in zip((mass, first, second), moved(m, f, s, length[level])):
            total[level] += part
    return (second if power == 2 else first)[torch.as_tensor(place[tree.nodes])].T


# -- the same as modules, for saving and export ------------------------------------------------------------


class DenseCost(nn.Module):
    """p @ cost with the costs at hand: in float64, so that equal hop counts stay equal and large ones distinct."""

    cost: Tensor

    def __init__(self, n_observed: int, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("cost", torch.zeros(n_observed, n_classes, dtype=torch.float64))

    def forward(self, p: Float[Tensor, "b k"]) -> Float[Tensor, "b n"]:
        """Expected cost of every class."""
        return p.double() @ self.cost


class EmbeddingCost(nn.Module):
    """`embedding_cost` of class vectors that it holds; where their mean is zero, float32 is enough."""

    vectors: Tensor
    observed: Tensor

    def __init__(self, n_observed: int, n_classes: int, n_features: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(n_classes, n_features))
        self.register_buffer("observed", torch.zeros(n_observed, dtype=torch.int64))

    def forward(self, p: Float[Tensor, "b k"]) -> Float[Tensor, "b n"]:
        """Expected squared distance of every class."""
        return embedding_cost(p, self.vectors[self.observed], self.vectors)

    def nearest(self, p: Float[Tensor, "b k"]) -> Int64[Tensor, "b"]:
        """The class of least cost."""
        return nearest_to_mean(p, self.vectors[self.observed], self.vectors)


class LokiHead(nn.Module):
    """Probabilities or logits over the observed classes to scores of all classes: minus the expected cost."""

    def __init__(self, cost: nn.Module, temperature: float, logits: bool) -> None:
        super().__init__()
        self.cost = cost
        self.temperature = temperature
        self.logits = logits

    def forward(self, x: Float[Tensor, "b k"]) -> Float[Tensor, "b n"]:
        """Scores; larger is better."""
        p = torch.softmax(x / self.temperature, dim=1) if self.logits else soften(x, self.temperature)
        return -self.cost(p).float()


@builder("loki-dense")
def dense_cost(n_observed: int, n_classes: int) -> DenseCost:
    """A `DenseCost` of zeros."""
    return DenseCost(n_observed, n_classes)


@builder("loki-embedding")
def embedding_module(n_observed: int, n_classes: int, n_features: int) -> EmbeddingCost:
    """An `EmbeddingCost` of zeros."""
    return EmbeddingCost(n_observed, n_classes, n_features)


@builder("loki-head")
def loki_head(cost: nn.Module, temperature: float = 1.0, logits: bool = False) -> LokiHead:
    """A `LokiHead` over one of the costs."""
    return LokiHead(cost, temperature, logits)


@builder("loki-on")
def on_top(model: nn.Module, head: nn.Module) -> nn.Sequential:
    """`model`, whose logits are over the observed classes, followed by a `LokiHead` that reads logits."""
    return nn.Sequential(model, head)
