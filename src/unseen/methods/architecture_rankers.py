"""What ranks architectures that nobody trained, by their statistics, from a handful that were trained."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.stats import kendalltau
from torch import Tensor

from unseen.data.domain import Domain
from unseen.methods.base import Method, as_input
from unseen.methods.parameters import Count
from unseen.methods.verbs import gives
from unseen.runtime import reproducible


class NodeImportance(NamedTuple):
    """What each node is worth: the loss of Kendall's tau without it, and its deviation over draws.

    `doubt` is the deviation over draws of how far the scores move without the node, as a share of that: it does not
    step as tau does on few architectures. It is 0 for a node that moves nothing.
    """

    importance: Float[np.ndarray, "m"]
    uncertainty: Float[np.ndarray, "m"]
    doubt: Float[np.ndarray, "m"]


class ArchitectureRanker(Method):
    """What all methods have that rank architectures; `unseen nas rank` takes any subclass, also a plug-in's.

    A subclass learns in `fit`, and says in `draws` what it scores.

    `source` holds a row of statistics for each trained architecture (proxy after proxy, `unseen.nn.zero_cost`), and
    what it reached as values (``task="value"``).

    Parameters
    ----------
    proxies : int, >= 1
        How many proxies stand one after the other in a row; 3 are grad_norm, snip, synflow.
    """

    proxies: Count = 3

    def fit(self, *, source: Domain) -> Self:
        """Learn from trained architectures: statistics (n, proxies * nodes), and what each reached, as values."""
        raise TypeError(f"{type(self).__name__} has no fit")

    def draws(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "s n"]:
        """Scores by each of s draws of what was learnt, in double precision; one draw if nothing is random."""
        raise TypeError(f"{type(self).__name__} scores no architectures")

    @gives("values", reads="doubles")
    def predict(self, x: Float[Tensor, "n d"]) -> NDArray[np.float64]:
        """Scores, (n,), larger is better; their order means something, their unit nothing."""
        return self.draws(x).mean(dim=0).numpy()

    @gives("ranking", reads="doubles")
    def rank(self, x: Float[Tensor, "n d"]) -> Int[np.ndarray, "n"]:
        """Positions of the architectures, the best first, (n,); the earlier one where scores are equal."""
        return np.argsort(-self.predict(x), kind="stable")

    @gives("uncertainty", reads="doubles")
    def uncertainty(self, x: Float[Tensor, "n d"]) -> NDArray[np.float64]:
        """Standard deviation of each score over draws, (n,)."""
        return self.draws(x).std(dim=0, correction=0).numpy()

    def importance(self, x: NDArray[np.floating], y: NDArray[np.floating], repeats: int = 3) -> NodeImportance:
        """What each node is worth: how far Kendall's tau falls when its statistics are shuffled over architectures.

        All proxies of a node are shuffled together, `repeats` times; the uncertainty of a node is the standard
        deviation of its worth over draws.

        Raises
        ------
        ValueError
            If there are fewer than three architectures, x and y differ in length, y is not finite, or `repeats` is
            below 1.
        """
        values, table = np.asarray(y, dtype=np.float64), as_input(x, vars(self).get("n_features_in_"), doubles=True)
        if len(values) != len(table) or len(values) < 3:
            raise ValueError(f"x and y must be of three architectures at least; got {len(table)} and {len(values)}")
        if not np.isfinite(values).all():
            raise ValueError(f"y must be finite; {int((~np.isfinite(values)).sum())} of {len(values)} values are not")
        if repeats < 1:
            raise ValueError(f"repeats must be at least 1; got {repeats}")
        with reproducible(self.random_state):
            orders = [torch.randperm(len(table)) for _ in range(repeats)]
        nodes, whole = table.shape[1] // self.proxies, self._scores(table)
        worth, moved = np.zeros((nodes, len(whole))), np.zeros((nodes, len(whole)))
        for node in range(nodes):
            without = np.stack([self._scores(shuffled(table, node, nodes, order)) for order in orders])
            worth[node] = taus(whole, values) - np.mean([taus(scores, values) for scores in without], axis=0)
            moved[node] = np.abs(without - whole).mean(axis=(0, 2))
        distance = moved.mean(axis=1)
        doubt = np.divide(moved.std(axis=1), distance, out=np.zeros(nodes), where=distance > 0)
        return NodeImportance(worth.mean(axis=1), worth.std(axis=1), doubt)

    def _scores(self, x: Tensor) -> Float[np.ndarray, "s n"]:
        """Scores of each draw."""
        with torch.no_grad():
            return self.draws(x).numpy()

    def _check_width(self, source: Domain) -> None:
        """`ValueError` if rows of statistics do not divide into the proxies."""
        if source.n_features % self.proxies:
            raise ValueError(
                f"source must have as many nodes for each of {self.proxies} proxies; it has {source.n_features} columns"
            )


def shuffled(x: Float[Tensor, "n d"], node: int, nodes: int, order: Tensor) -> Float[Tensor, "n d"]:
    """The statistics with those of one node, in all proxies, in another order of the architectures."""
    x = x.clone()
    x[:, node::nodes] = x[order][:, node::nodes]
    return x


def tau(scores: NDArray[np.floating], values: NDArray[np.floating]) -> float:
    """Kendall's tau-b; 0 where one side is constant."""
    return float(kendalltau(scores, values).statistic) if np.ptp(scores) > 0 and np.ptp(values) > 0 else 0.0


def taus(scores: Float[np.ndarray, "s n"], values: NDArray[np.floating]) -> Float[np.ndarray, "s"]:
    """Kendall's tau of each draw."""
    return np.array([tau(draw, values) for draw in scores])
