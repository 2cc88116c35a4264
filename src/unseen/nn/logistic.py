"""Logistic regression as a network: fitted by scikit-learn, carried as weights."""

from __future__ import annotations

import logging
import warnings
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.nn.classifier import Classifier, Standardizer, linear

log = logging.getLogger(__name__)

_NEVER = -1e4  # the bias of a class that no sample has


def fit_logistic(
    x: Float[Tensor, "n d"],
    y: Int[np.ndarray, " n"],
    n_classes: int,
    *,
    C: float = 1.0,
    max_iter: int = 300,
    standardize: bool = True,
    weights: Float[Tensor, " n"] | None = None,
    solver: Literal["lbfgs", "newton-cg"] = "lbfgs",
) -> Classifier:
    """Fit multinomial logistic regression on (standardized) features; a class without samples is never predicted.

    Parameters
    ----------
    weights : Tensor (n,), >= 0, optional
        Of the samples in the loss; 1 each if absent.
    solver : {"lbfgs", "newton-cg"}
        Of scikit-learn.

    Returns
    -------
    Classifier
        `unseen.nn.classifier.linear`, whose backbone holds the standardization.

    Raises
    ------
    ValueError
        If the labels hold fewer than two classes.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    present = np.unique(y)
    if len(present) < 2:
        raise ValueError(f"the labels must hold at least two classes; all samples are of class {present.tolist()}")
    network = linear(x.shape[1], n_classes)
    scaler, head = network.backbone, network.head
    assert isinstance(scaler, Standardizer)
    assert isinstance(head, nn.Linear)
    if standardize:
        scaler.measure(x)
    rows = scaler(x).numpy()
    if solver == "newton-cg":
        rows = rows.astype(np.float64)  # in single precision its line search fails before the end
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=C, max_iter=max_iter, solver=solver).fit(
            rows, y, sample_weight=None if weights is None else weights.numpy()
        )
    if model.n_iter_.max() >= max_iter:
        log.info("logistic regression stopped after %d iterations", max_iter)
    weight, bias = model.coef_, model.intercept_
    if len(present) == 2:  # scikit-learn keeps one row for two classes
        weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(_NEVER)
        head.weight[present] = torch.as_tensor(weight, dtype=torch.float32)
        head.bias[present] = torch.as_tensor(bias, dtype=torch.float32)
    return network.eval()
