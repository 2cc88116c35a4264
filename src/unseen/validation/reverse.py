"""Reverse validation: learn back from the predicted target, and see whether the source comes out (circular)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Learner = Callable[[Tensor, Int[np.ndarray, " n"], Tensor], Int[np.ndarray, " k"]]
"""(samples, labels, other samples) -> labels of the others."""


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
        costs next to nothing.

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


def _standardized(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    centred = x.float() - x.float().mean(dim=0)
    std = centred.square().mean(dim=0).sqrt()
    return centred / torch.where(std > 1e-6, std, torch.ones_like(std))
