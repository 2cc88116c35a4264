"""Architectures ranked by a forest of random trees on their statistics and the sums of these."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unseen.data.domain import Domain
from unseen.methods.architecture_rankers import ArchitectureRanker
from unseen.methods.base import Card
from unseen.methods.parameters import Count

PARTS = 20
"""Of a forest, whose scores are what a node's worth varies over."""
AT_ONCE = 4096
"""Architectures that go down the trees together."""


class ForestRanker(ArchitectureRanker):
    """Learn from a few trained architectures what statistics are worth, by extremely randomized trees [1].

    The trees read each statistic, and the sum of every proxy over its nodes, the proxy that is usual without learning;
    of all log(1 + |s|) with the sign of s. A score is the mean over the trees of what the architectures at its leaf
    reached.

    Parameters
    ----------
    trees : int, >= 1
        Of the forest: more of them, steadier scores.
    smallest_leaf : int, >= 1
        Trained architectures at a leaf, at least.

    Attributes
    ----------
    splits_ : int Tensor (t, m, 3)
        Of each node of each tree: the feature that is looked at, and the nodes that follow where it is at most the
        threshold, and where it is above. At a leaf both are the leaf.
    thresholds_, means_ : Tensor (t, m)
        And the mean of the trained architectures there.

    References
    ----------
    [1] Geurts, Ernst and Wehenkel, "Extremely randomized trees", Machine Learning 63, 2006.
    """

    card = Card(
        slug="forest-ranker",
        title="Extremely randomized trees",
        venue="Machine Learning 2006",
        summary="Rank architectures without training them, by random trees, from a handful of trained ones.",
        unseen={"data"},
        modalities={"features"},
        task="value",
        protocols={"nas"},
        smoke={"proxies": 1, "trees": 5},
        baseline=True,
        notes=(
            "Of random, boosted and these trees, ridge regression and Gaussian processes it was best on development "
            "tables of parzc's claim, and ahead of `parzc` there (docs/architectures.md).",
            "All features are looked at in each split, as in the paper, which stops at five samples; leaves may hold "
            "one here.",
        ),
    )

    trees: Count = 200
    smallest_leaf: Count = 1

    splits_: Int[Tensor, "t m 3"] = dataclasses.field(init=False)
    thresholds_: Float[Tensor, "t m"] = dataclasses.field(init=False)
    means_: Float[Tensor, "t m"] = dataclasses.field(init=False)

    def fit(self, *, source: Domain) -> Self:
        """Learn from trained architectures: statistics (n, proxies * nodes), and what each reached, as values."""
        from sklearn.ensemble import ExtraTreesRegressor

        self._check_width(source)
        forest = ExtraTreesRegressor(
            self.trees, min_samples_leaf=self.smallest_leaf, random_state=self.random_state
        ).fit(self._features(torch.as_tensor(source.x)).numpy(), source.labels)
        parts = [_arrays(tree.tree_) for tree in forest.estimators_]
        self.splits_, self.thresholds_, self.means_ = (
            torch.nn.utils.rnn.pad_sequence(list(part), batch_first=True) for part in zip(*parts)
        )
        return self

    def draws(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "s n"]:
        """What each tree says of each architecture."""
        return torch.cat([self._answers(self._features(part)) for part in torch.split(x, AT_ONCE)], dim=1)

    def _answers(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "s n"]:
        """The means at the leaves that features lead to: each step goes down one node, and a leaf leads to itself."""
        tree, row = torch.arange(len(self.splits_))[:, None], torch.arange(len(features))
        at = torch.zeros(len(self.splits_), len(features), dtype=torch.long)
        while True:
            look, left, right = self.splits_[tree, at].unbind(dim=2)
            following = torch.where(features[row, look] <= self.thresholds_[tree, at], left, right)
            if torch.equal(following, at):
                return self.means_[tree, at]
            at = following

    def _features(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n f"]:
        """Statistics and the sum of each proxy, as logarithms; single precision, as scikit-learn's trees read them."""
        x = x.double()
        sums = x.reshape(len(x), self.proxies, -1).sum(dim=2)
        both = torch.cat([x, sums], dim=1)
        return (both.sign() * both.abs().log1p()).float()

    def _scores(self, x: Tensor) -> Float[np.ndarray, "s n"]:
        """Scores of parts of the forest: a single tree orders too little for a tau of its own."""
        with torch.no_grad():
            parts = self.draws(x).tensor_split(min(PARTS, self.trees))
        return torch.stack([part.mean(dim=0) for part in parts]).numpy()


def _arrays(tree: Any) -> tuple[Int[Tensor, "m 3"], Float[Tensor, "m"], Float[Tensor, "m"]]:
    """A tree of scikit-learn as `splits_`, `thresholds_` and `means_` have it."""
    nodes = np.arange(tree.node_count)
    leaf = tree.children_left < 0
    sides = [np.where(leaf, nodes, side) for side in (tree.children_left, tree.children_right)]
    splits = np.stack([np.where(leaf, 0, tree.feature), *sides], axis=1)
    return torch.as_tensor(splits), torch.as_tensor(tree.threshold.copy()), torch.as_tensor(tree.value[:, 0, 0].copy())
