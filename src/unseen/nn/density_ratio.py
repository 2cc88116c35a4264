"""How much likelier a sample is under the target than under the training data: KLIEP."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

WIDTHS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0)
"""Kernel widths that are tried, as multiples of the median distance from a training to a test sample."""
PAIRED = 2000
"""The median distance is that of so many training and test samples at most."""
ROUNDS, GAP = 300, 1e-2
"""Multiplicative steps at most, and by how much less than the best the mean of log omega may be."""
NEAR = 1e-12
"""A kernel whose mean over the training samples is below this meets none of them; its height would be arbitrary."""
_TINY = 1e-300


@dataclasses.dataclass(frozen=True, eq=False)
class DensityRatio:
    """omega(u) = sum_b alpha_b exp(-||u - c_b||^2 / (2 sigma^2)), at least 0.

    Attributes
    ----------
    centres : Tensor (b, d)
    alpha : Tensor (b,)
    sigma : float
    score : float
        Mean of log omega over the test samples.
    """

    centres: Float[Tensor, "b d"]
    alpha: Float[Tensor, " b"]
    sigma: float
    score: float

    def __call__(self, u: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """The ratio at each sample, (n,); its mean over the training samples is 1."""
        return kernel(u, self.centres, self.sigma) @ self.alpha


def kernel(u: Float[Tensor, "n d"], centres: Float[Tensor, "b d"], sigma: float) -> Float[Tensor, "n b"]:
    """exp(-||u - c||^2 / (2 sigma^2)) of every sample and centre, in float64."""
    return torch.exp(-torch.cdist(u.double(), centres.double()).square() / (2 * sigma**2))


def kliep(
    test: Float[Tensor, "m d"],
    train: Float[Tensor, "n d"],
    *,
    sigma: float | None = None,
    centres: int = 200,
    folds: int = 5,
    random_state: int = 0,
) -> DensityRatio:
    """Estimate p_test / p_train without estimating either density.

    Maximizes the mean of log omega over the test samples, under the constraints that omega has mean 1 over the training
    samples and alpha is at least 0: a concave problem, solved by the multiplicative (EM) update, which keeps to both.
    It stops within 0.01 of the maximum, or after 300 rounds wherever it then is.

    Parameters
    ----------
    test, train : Tensor (m, d) and (n, d)
    sigma : float, > 0, optional
        Kernel width; by likelihood cross-validation over the test samples if absent.
    centres : int
        At most so many test samples become centres of kernels.
    folds : int
        Of the cross-validation.
    random_state : int
        Draws the centres and the folds.

    Raises
    ------
    ValueError
        If there are no `centres`, or `sigma` is so small that no training sample is near any centre.

    References
    ----------
    Sugiyama et al., "Direct importance estimation with model selection and its application to covariate shift
    adaptation", NeurIPS 2007, figure 1.
    """
    if centres < 1:
        raise ValueError(f"centres must be at least 1; got {centres}")
    rng = np.random.default_rng(random_state)
    shuffled = test[torch.as_tensor(rng.permutation(len(test)))]
    chosen = shuffled[:centres]
    if sigma is None:
        some = train[torch.as_tensor(rng.permutation(len(train))[:PAIRED])]
        median = float(torch.cdist(shuffled[:PAIRED].double(), some.double()).median()) or 1.0
        width = _width(shuffled, train, chosen, folds, median)
    else:
        width = sigma
    phi, b = kernel(shuffled, chosen, width), kernel(train, chosen, width).mean(dim=0)
    if not (b > NEAR).any():
        raise ValueError(f"sigma must be wide enough to reach a training sample from a test sample; got {sigma}")
    alpha = _ascend(phi, b)
    return DensityRatio(chosen, alpha, width, _likelihood(phi, alpha))


def effective_size(weights: Float[Tensor, " n"]) -> float:
    """(sum w)^2 / sum w^2: how many equally weighted samples these are worth."""
    return float(weights.sum() ** 2 / weights.square().sum())


def _width(test: Tensor, train: Tensor, centres: Tensor, folds: int, median: float) -> float:
    """The width under which held-out test samples are likeliest; the median distance if there is one sample only."""
    folds = min(folds, len(test))
    if folds < 2:
        return median
    fold = torch.arange(len(test)) % folds
    scores = []
    for width in (median * factor for factor in WIDTHS):
        phi, b = kernel(test, centres, width), kernel(train, centres, width).mean(dim=0)
        scores.append(sum(_held_out(phi, b, fold == held) for held in range(folds)))
    return median * WIDTHS[int(np.argmax(scores))]


def _held_out(phi: Tensor, b: Tensor, held: Tensor) -> float:
    """Mean of log omega over held-out test samples, which are no centres either."""
    kept = ~held[: len(b)]
    if not (b[kept] > NEAR).any():
        return -math.inf
    return _likelihood(phi[held][:, kept], _ascend(phi[~held][:, kept], b[kept]))


def _likelihood(phi: Tensor, alpha: Tensor) -> float:
    return float((phi @ alpha).clamp_min(_TINY).log().mean())


def _ascend(phi: Float[Tensor, "m b"], b: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """The alpha of highest likelihood of the m test samples; a kernel that meets no training sample gets 0.

    With pi_b = alpha_b mean_i phi_b(u_i) the constraints are those of a distribution over kernels. Each step multiplies
    pi by the gradient: it stays one, and the likelihood never falls. The log of the largest entry of the gradient
    bounds what can still be gained.
    """
    scaled = torch.where(b > NEAR, phi / b, 0.0)
    pi = (b > NEAR).double() / (b > NEAR).sum()
    for _ in range(ROUNDS):
        gradient = scaled.T @ (1 / (scaled @ pi).clamp_min(_TINY)) / len(scaled)
        if float(gradient.max().log()) < GAP:
            break
        pi = pi * gradient
    return torch.where(b > NEAR, pi / pi.sum() / b, 0.0)
