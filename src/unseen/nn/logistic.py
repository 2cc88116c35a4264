"""Logistic regression as a network: fitted by scikit-learn, carried as weights."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.nn.classifier import Classifier, Standardizer, linear

log = logging.getLogger(__name__)

PENALTIES = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""Inverse strengths of the penalty that `tuned_penalty` tries."""

WORTH_IT = 100_000
"""Numbers in a table from which on fewer dimensions save more than it takes to find them."""

_NEVER = -1e4  # the bias of a class that no sample has


def fit_logistic(
    x: Float[Tensor, "n d"],
    y: Int[np.ndarray, " n"],
    n_classes: int,
    *,
    C: float = 1.0,
    max_iter: int = 300,
    standardize: bool | Literal["moderated"] = True,
    weights: Float[Tensor, " n"] | None = None,
    solver: Literal["lbfgs", "newton-cg"] = "lbfgs",
) -> Classifier:
    """Fit multinomial logistic regression on (standardized) features; a class without samples is never predicted.

    Parameters
    ----------
    standardize : bool or "moderated"
        Whether features are divided by their deviations, or by `moderated_deviations`, which few samples want.
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
    if standardize == "moderated" and len(x) > 1:
        scaler.std = moderated_deviations(x)
    span = Span(scaler(x))
    rows = span.coordinates.numpy()
    if solver == "newton-cg":
        rows = rows.astype(np.float64)  # in single precision its line search fails before the end
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=C, max_iter=max_iter, solver=solver).fit(
            rows, y, sample_weight=None if weights is None else weights.numpy()
        )
    if model.n_iter_.max() >= max_iter:
        log.info("logistic regression stopped after %d iterations", max_iter)
    weight, bias = span.of_features(torch.as_tensor(model.coef_)).numpy(), model.intercept_
    if len(present) == 2:  # scikit-learn keeps one row for two classes
        weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(_NEVER)
        head.weight[present] = torch.as_tensor(weight, dtype=torch.float32)
        head.bias[present] = torch.as_tensor(bias, dtype=torch.float32)
    return network.eval()


class Span:
    """The space that samples span, in which linear models of more features than samples are found.

    Weights under an L2 penalty are a sum of samples: what is orthogonal to all of these would cost and change nothing.
    Hence the same model is found among n numbers a class instead of d. Where features are not more than samples, or the
    table is small, nothing is saved and it is left as it is.

    Attributes
    ----------
    coordinates : Tensor (n, n) or (n, d)
        Of the samples, with the dot products and distances of the features.
    """

    coordinates: Tensor

    def __init__(self, rows: Float[Tensor, "n d"]) -> None:
        n, d = rows.shape
        self._reflections: tuple[Tensor, Tensor] | None = None
        self.coordinates, self._d = rows, d
        if n < d and rows.numel() >= WORTH_IT:
            self._reflections = torch.geqrf(rows.T)  # rows.T = Q R
            self.coordinates = self._reflections[0][:n].triu().T.contiguous()

    def of_features(self, weight: Float[Tensor, "k n"]) -> Float[Tensor, "k d"]:
        """Weights of the features, from those of the coordinates."""
        if self._reflections is None:
            return weight
        packed, scales = self._reflections
        padded = packed.new_zeros(self._d, len(weight))
        padded[: weight.shape[1]] = weight.T
        return torch.ormqr(packed, scales, padded).T


def tuned_penalty(
    x: Float[Tensor, "n d"], y: Int[np.ndarray, " n"], *, candidates: Sequence[float] = PENALTIES, folds: int = 3
) -> float:
    """Inverse strength of the L2 penalty by stratified cross-validation of logistic regression; features as they are.

    1.0 where a class has a single sample: then no fold could hold one of each.

    Parameters
    ----------
    candidates : sequence of float, > 0
        What is tried, from strong to weak; of equals the strongest is taken.
    folds : int, >= 2
        At most; no more than the rarest class has samples.
    """
    from sklearn.linear_model import LogisticRegressionCV

    fewest = min(folds, int(np.unique(y, return_counts=True)[1].min()))
    if fewest < 2:
        return 1.0
    rows = Span(x.double() - x.double().mean(dim=0)).coordinates.numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(np.ravel(LogisticRegressionCV(Cs=list(candidates), cv=fewest, max_iter=300).fit(rows, y).C_)[0])


def moderated_deviations(x: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """Deviations of features that few samples tell, each drawn towards that of all features [1].

    The variance of a handful is noise: divided by its root, the features that happen to vary least weigh most. How far
    variances really differ is read from how much more they differ than samples of their number explain: features of one
    encoder get nearly one deviation, columns with units of their own keep theirs, and many samples keep all.

        s~_j^2 = (d_0 s_0^2 + d s_j^2) / (d_0 + d),  d = n - 1

    References
    ----------
    [1] Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential Expression in Microarray
        Experiments", SAGMB 2004, section 6.2.
    """
    from scipy.special import digamma, polygamma

    values, d = x.double().numpy(), len(x) - 1
    variance = values.var(axis=0, ddof=1)
    varies = variance > 1e-12 * np.maximum(values.mean(axis=0) ** 2, np.finfo(np.float64).tiny)
    if varies.sum() < 3:
        return torch.as_tensor(np.where(varies, np.sqrt(variance), 1.0), dtype=torch.float32)
    e = np.log(variance[varies]) - digamma(d / 2) + np.log(d / 2)
    more = e.var(ddof=1) - polygamma(1, d / 2)  # than the noise of so few samples
    if more <= 0:
        moderated = np.full(len(variance), variance[varies].mean())
    else:
        d0 = 2 * _inverse_trigamma(float(more))
        s0 = np.exp(e.mean() + digamma(d0 / 2) - np.log(d0 / 2))
        moderated = (d0 * s0 + d * np.where(varies, variance, 0.0)) / (d0 + d)
    return torch.as_tensor(np.sqrt(moderated), dtype=torch.float32)


def _inverse_trigamma(value: float) -> float:
    """y with trigamma(y) = value > 0, by Newton's steps on its reciprocal, which is convex ([1], appendix)."""
    from scipy.special import polygamma

    if value < 1e-6:
        return 1 / value
    y = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, y))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, y))
        y += step
        if -step / y < 1e-8:
            break
    return y
