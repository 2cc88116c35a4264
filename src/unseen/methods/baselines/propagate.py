"""Propagate: spread labels over one graph of both domains, then learn from what is surest, more of it each round."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unseen.data.domain import Domain
from unseen.data.typing import IntArray
from unseen.methods.base import Card
from unseen.methods.baselines._network import PerDomainMethod, n_classes, table
from unseen.methods.parameters import Count, Positive, Within
from unseen.nn.classifier import Standardizer
from unseen.nn.graphs import propagate, sparsified, symmetric
from unseen.nn.logistic import fit_logistic
from unseen.nn.neighbours import nearest


class Propagate(PerDomainMethod):
    """Labels of the source spread to the target over their nearest neighbours [1]; a linear classifier then trains
    itself on the surest target samples of each class, a larger share each round [2], smoothed over neighbours.

    Both domains are standardized by themselves. `predict` is the classifier's, one sample at a time; `transduction_`
    is what it says of the target together with the neighbours of each sample.

    Parameters
    ----------
    neighbours : int, >= 1
        Of each sample in the joint graph; half as many smooth the classifier's probabilities.
    alpha : float in [0, 1)
        How much a sample of the graph listens to its neighbours.
    rounds : int, >= 1
        Of self-training: round r learns from the share r / rounds of each predicted class.
    shares : {"free", "source"}
        "source" takes the target's classes to have the source's shares, which helps where that is so and a class is
        swallowed by another one, and hurts where it is not.
    C : float, > 0
        Inverse strength of the L2 penalty, as in scikit-learn; target samples weigh as much as the source together.

    References
    ----------
    [1] Zhou, Bousquet, Lal, Weston, Scholkopf, "Learning with Local and Global Consistency", NeurIPS 2003.
    [2] Zou, Yu, Kumar, Wang, "Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced
        Self-Training", ECCV 2018, section 3.
    """

    card = Card(
        slug="propagate",
        cost=2.0,
        title="Learning with Local and Global Consistency",
        venue="NeurIPS 2003",
        summary="Spread labels over neighbours of both domains, then self-train on what is surest.",
        unseen={"domains"},
        protocols={"closed", "partial"},
        presets={"default": {}, "views": {}, "shares": {"shares": "source"}},
        two_views={"views"},
        smoke={"rounds": 2},
        baseline=True,
    )

    neighbours: Count = 10
    alpha: Annotated[float, Within(0, 1, open_high=True)] = 0.95
    rounds: Count = 5
    shares: Literal["free", "source"] = "free"
    C: Positive = 0.01

    transduction_: IntArray = dataclasses.field(init=False)

    def fit(self, *, source: Domain, target: Domain) -> Self:
        """Fit on both domains."""
        source_scaler = Standardizer(source.n_features).measure(table(source))
        target_scaler = Standardizer(source.n_features).measure(table(target))
        x_s, x_t, y, n = source_scaler(table(source)), target_scaler(table(target)), source.labels, n_classes(source)
        prior = torch.bincount(torch.as_tensor(y), minlength=n) / len(y) if self.shares == "source" else None
        p = with_shares(spread([(x_s, y)], x_t, n, self.neighbours, self.alpha), prior)
        near = nearest(F.normalize(x_t, dim=1), F.normalize(x_t, dim=1), self.neighbours // 2 + 1)[:, 1:]
        for done in range(1, self.rounds + 1):
            sure = surest(p, done / self.rounds)
            x, labels = torch.cat([x_s, x_t[sure]]), np.r_[y, p[sure].argmax(dim=1).numpy()]
            weights = torch.cat([torch.ones(len(y)), torch.full((len(sure),), len(y) / len(sure))])
            self.network_ = fit_logistic(x, labels, n, C=self.C, standardize=False, weights=weights)
            with torch.no_grad():
                p = torch.softmax(self.network_(x_t), dim=1)
            p = with_shares((p + p[near].mean(dim=1)) / 2 if near.shape[1] else p, prior)
        self.transduction_ = p.argmax(dim=1).numpy()
        self.source_network_ = copy.deepcopy(self.network_)
        self.network_.backbone, self.source_network_.backbone = target_scaler, source_scaler
        return self


def spread(
    known: Sequence[tuple[Float[Tensor, "_ d"], Int[np.ndarray, " _"]]], target: Float[Tensor, "m d"], n_classes: int,
    neighbours: int, alpha: float,
) -> Float[Tensor, "m c"]:  # fmt: skip
    """Probabilities of target samples, from labels that spread over the graph of all samples.

    `known` are labelled samples, by where they come from; in each of these parts, classes count alike.
    """
    x = F.normalize(torch.cat([*(part for part, _ in known), target]), dim=1)
    labels, start = np.zeros((len(x), n_classes)), 0
    for part, y in known:
        labels[start + np.arange(len(part)), y] = 1 / np.bincount(y, minlength=n_classes)[y]
        start += len(part)
    return over_neighbours(x, labels, neighbours, alpha)[start:]


def over_neighbours(
    x: Float[Tensor, "n d"], labels: Float[np.ndarray, "n c"], neighbours: int, alpha: float
) -> Float[Tensor, "n c"]:
    """Probabilities of samples of unit length, from labels that spread over the graph of their neighbours by cosine."""
    graph = symmetric(sparsified(lambda rows: (x[rows] @ x.T).clamp_min(0) ** 3, np.full(len(x), neighbours)))
    probabilities = torch.as_tensor(propagate(lambda f: graph @ f, labels, alpha, tolerance=1e-6)).float().clamp_min(0)
    return probabilities / probabilities.sum(dim=1, keepdim=True).clamp_min(1e-12)


def surest(p: Float[Tensor, "m c"], share: float) -> Int[Tensor, " k"]:
    """Positions of the surest `share` of the samples of each predicted class, at least one of each."""
    top, label = p.max(dim=1)
    kept = []
    for c in torch.unique(label).tolist():
        members = (label == c).nonzero()[:, 0]
        kept.append(members[top[members].argsort(descending=True, stable=True)[: int(np.ceil(share * len(members)))]])
    return torch.cat(kept).sort().values


def with_shares(p: Float[Tensor, "m c"], prior: Float[Tensor, " c"] | None, rounds: int = 20) -> Float[Tensor, "m c"]:
    """Probabilities scaled by class, and to sum to 1, so that the classes' shares become `prior`, if there is one."""
    if prior is None:
        return p
    for _ in range(rounds):
        p = p * (prior * len(p) / p.sum(dim=0).clamp_min(1e-12))
        p = p / p.sum(dim=1, keepdim=True).clamp_min(1e-12)
    return p
