"""Reverse validation: learn back from the predicted target, and see whether the source comes out (circular)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unseen.validation.rehearsal import told_by_others

Learner = Callable[[Tensor, Int[np.ndarray, " n"], Tensor], Int[np.ndarray, " k"]]
"""(samples, labels, other samples) -> labels of the others."""

_ROWS = 1000
"""Samples of which the similarities to all others are held at a time."""


def reverse_validation(
    target: Float[Tensor, "n d"],
    predicted: Int[np.ndarray, " n"],
    source: Float[Tensor, "k d"],
    y: Int[np.ndarray, " k"],
    learner: Learner | None = None,
) -> float:
    """Accuracy, in [0, 1], on the labelled source of a model that learns from target predictions; larger is better.

    A candidate whose predictions follow the classes can be learnt back from; one that predicts at random can not.

    Parameters
    ----------
    target : Tensor of shape (n, d)
        Features of the target, without labels.
    predicted : int array (n,)
        What the candidate predicts on them.
    source, y : Tensor of shape (k, d), int array (k,)
        Labelled source samples.
    learner : callable (x, y, other x) -> labels of the others
        What learns back. The papers take the method itself, which costs a second fit; `nearest_means`, the default,
        and `nearest_neighbours` cost next to nothing. `cross_validated` says which of them suits the source.

    Source: Bruzzone, Marconcini, "Domain Adaptation Problems: A DASVM Classification Technique and a Circular
    Validation Strategy", TPAMI 2010; Zhong et al., "Cross Validation Framework to Choose Amongst Models and Datasets
    for Transfer Learning", ECML 2010.

    Raises
    ------
    ValueError
        If samples and labels differ in number, or there are none.
    """
    for name, x, labels in (("target", target, predicted), ("source", source, y)):
        if len(x) != len(labels) or not len(x):
            raise ValueError(f"{name} must have one label per sample, at least one; got {len(x)} and {len(labels)}")
    back = (learner or nearest_means)(target, predicted, source)
    return float(np.mean(np.asarray(back) == y))


def nearest_means(
    x: Float[Tensor, "n d"], y: Int[np.ndarray, " n"], other: Float[Tensor, "k d"]
) -> Int[np.ndarray, " k"]:
    """The label in `y` whose mean direction is nearest, by cosine; each side is standardized by itself, (k,)."""
    x, other = _standardized(x), _standardized(other)
    labels, row = np.unique(y, return_inverse=True)
    sums = torch.zeros(len(labels), x.shape[1]).index_add_(0, torch.as_tensor(row), F.normalize(x, dim=1))
    return labels[(other @ F.normalize(sums, dim=1).T).argmax(dim=1).numpy()]


def nearest_neighbours(
    x: Float[Tensor, "n d"], y: Int[np.ndarray, " n"], other: Float[Tensor, "k d"]
) -> Int[np.ndarray, " k"]:
    """The label of the nearest sample, by cosine; each side is standardized by itself, (k,).

    It sees what means do not: a method that finds each sample's counterpart in the other domain.
    """
    x, other = F.normalize(_standardized(x), dim=1), _standardized(other)
    nearest = [(rows @ x.T).argmax(dim=1) for rows in torch.split(other, _ROWS)]
    return y[torch.cat(nearest).numpy()]


def cross_validated(learner: Learner, x: Float[Tensor, "k d"], y: Int[np.ndarray, " k"], folds: int = 5) -> float:
    """Accuracy of a learner on samples of its own domain that it did not learn from, in [0, 1].

    Every `folds`-th sample of each class is left out at a time. Where the learner does not suit the features, what it
    learns back says little.

    Raises
    ------
    ValueError
        If samples and labels differ in number, or there are fewer than two samples.
    """
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(f"x must have one label per sample, at least two; got {len(x)} and {len(y)}")
    order = np.argsort(y, kind="stable")
    left_out = [np.sort(order[k::folds]) for k in range(min(folds, len(y)))]
    return float((told_by_others(len(y), left_out, lambda rest, part: learner(x[rest], y[rest], x[part])) == y).mean())


def _standardized(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    centred = x.float() - x.float().mean(dim=0)
    std = centred.square().mean(dim=0).sqrt()
    return centred / torch.where(std > 1e-6, std, torch.ones_like(std))
