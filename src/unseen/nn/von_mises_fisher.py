"""Mixtures of von Mises-Fisher kernels on the unit sphere: EM, and MAP adaptation to samples of another domain."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

EMPTY = 1e-3
"""A kernel with less than this many samples is empty."""


class Mixture(NamedTuple):
    """p(f) = sum_k pi_k C_d(kappa) exp(kappa mu_k . f), with one concentration for all kernels.

    Attributes
    ----------
    means : Tensor (k, d)
        mu, of unit length.
    weights : Tensor (k,)
        pi, which sum to 1.
    kappa : float
        Concentration, > 0.
    """

    means: Tensor
    weights: Tensor
    kappa: float


class Fitted(NamedTuple):
    """A mixture and the mean log-likelihood, without the normalizer, before every step and after the last."""

    mixture: Mixture
    log_likelihood: tuple[float, ...]


class Adapted(NamedTuple):
    """An adapted mixture, and psi, (k,): how far each kernel went from where it was to where the samples are."""

    mixture: Mixture
    psi: Tensor


def unit(x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """Vectors at unit length; those of length 0 stay 0."""
    length = x.norm(dim=-1, keepdim=True)
    return x / torch.where(length > 0, length, torch.ones_like(length))


def log_normalizer(kappa: float, d: int) -> float:
    """log C_d(kappa) = log [kappa^(d/2-1) / ((2 pi)^(d/2) I_(d/2-1)(kappa))], for d >= 2.

    Source: Mardia & Jupp, "Directional Statistics", 9.3.4.
    """
    from scipy.special import ive

    if kappa <= 0 or d < 2:
        raise ValueError(f"kappa must be positive and d at least 2; got {kappa} and {d}")
    order = d / 2 - 1
    bessel = float(ive(order, kappa))
    if bessel > 0:
        log_bessel = math.log(bessel) + kappa
    else:  # underflow in many dimensions: the first terms of the power series
        half = math.log(kappa / 2)
        terms = torch.tensor(
            [
                (2 * m + order) * half - math.lgamma(m + 1) - math.lgamma(m + order + 1)
                for m in range(8 + 2 * math.ceil(kappa))
            ],
            dtype=torch.float64,
        )
        log_bessel = float(torch.logsumexp(terms, dim=0))
    return order * math.log(kappa) - d / 2 * math.log(2 * math.pi) - log_bessel


def log_joint(x: Float[Tensor, "n d"], mixture: Mixture) -> Float[Tensor, "n k"]:
    """log pi_k + kappa mu_k . f, without the normalizer."""
    return mixture.weights.log() + mixture.kappa * (x @ mixture.means.T)


def log_density(x: Float[Tensor, "n d"], mixture: Mixture) -> Float[Tensor, " n"]:
    """log p(f) of unit vectors, normalizer included."""
    return torch.logsumexp(log_joint(x, mixture), dim=1) + log_normalizer(mixture.kappa, x.shape[1])


def responsibilities(x: Float[Tensor, "n d"], mixture: Mixture) -> Float[Tensor, "n k"]:
    """r_ik, proportional to pi_k exp(kappa mu_k . f_i); rows sum to 1."""
    return torch.softmax(log_joint(x, mixture), dim=1)


def plus_plus(x: Float[Tensor, "n d"], k: int, *, random_state: int = 0) -> Float[Tensor, "k d"]:
    """k of the unit vectors, each drawn by the square of its cosine distance to the nearest one drawn before.

    Raises
    ------
    ValueError
        If k is not in [1, n].

    Source: Arthur & Vassilvitskii, "k-means++", 2007, with 1 - cos as the distance.
    """
    if not 1 <= k <= len(x):
        raise ValueError(f"k must be in [1, {len(x)}], the number of samples; got {k}")
    generator = torch.Generator(x.device).manual_seed(random_state)
    chosen = [int(torch.randint(len(x), (1,), generator=generator, device=x.device))]
    distance = (1 - x @ x[chosen[0]]).clamp_min(0)
    for _ in range(k - 1):
        squares = distance.square()
        if float(squares.sum()) == 0:  # fewer distinct vectors than kernels
            squares = torch.ones_like(squares)
        chosen.append(int(torch.multinomial(squares, 1, generator=generator)))
        distance = torch.minimum(distance, (1 - x @ x[chosen[-1]]).clamp_min(0))
    return x[torch.tensor(chosen, device=x.device)]


def maximization(x: Float[Tensor, "n d"], r: Float[Tensor, "n k"], mixture: Mixture) -> Mixture:
    """The M-step: pi_k = mean r, mu_k = normalize(sum_i r_ik f_i); a kernel whose sum vanishes stays."""
    sums = r.T @ x
    length = sums.norm(dim=1, keepdim=True)
    means = torch.where(length > 1e-12, sums / length.clamp_min(1e-12), mixture.means)
    return Mixture(means, r.mean(dim=0), mixture.kappa)


def fit_mixture(
    x: Float[Tensor, "n d"],
    k: int,
    *,
    kappa: float,
    iterations: int = 200,
    tolerance: float = 5e-5,
    init: Mixture | None = None,
    random_state: int = 0,
) -> Fitted:
    """Maximum likelihood by EM, at a fixed concentration.

    The mean log-likelihood never falls, except where an empty kernel is sown anew at the vector explained worst.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        Unit vectors.
    k : int
        Number of kernels, at most n.
    kappa : float, > 0
    iterations : int, >= 1
        At most.
    tolerance : float, >= 0
        EM ends when the mean log-likelihood gains less.
    init : Mixture, optional
        To start from, in place of `plus_plus` with equal weights.
    random_state : int

    Raises
    ------
    ValueError
        If k is not in [1, n], or kappa is not positive.

    Source: Banerjee et al., "Clustering on the Unit Hypersphere using von Mises-Fisher Distributions", JMLR 2005.
    """
    if kappa <= 0:
        raise ValueError(f"kappa must be positive; got {kappa}")
    if init is None:
        means = plus_plus(x, k, random_state=random_state)
        init = Mixture(means, torch.full((k,), 1 / k, dtype=x.dtype, device=x.device), kappa)
    mixture, likelihoods = init, []
    for _ in range(iterations):
        joint = log_joint(x, mixture)
        each = torch.logsumexp(joint, dim=1)
        likelihoods.append(float(each.mean()))
        r = torch.exp(joint - each[:, None])
        empty = torch.nonzero(r.sum(dim=0) < EMPTY)[:, 0]
        if len(likelihoods) > 1 and likelihoods[-1] - likelihoods[-2] < tolerance and not len(empty):
            return Fitted(mixture, tuple(likelihoods))
        mixture = _sown(x, each, maximization(x, r, mixture), empty)
    likelihoods.append(float(torch.logsumexp(log_joint(x, mixture), dim=1).mean()))
    return Fitted(mixture, tuple(likelihoods))


def _sown(x: Tensor, each: Tensor, mixture: Mixture, empty: Tensor) -> Mixture:
    """Put the empty kernels at the vectors that are explained worst."""
    if not len(empty) or len(empty) > len(x):
        return mixture
    worst = torch.topk(each, len(empty), largest=False).indices
    means, weights = mixture.means.clone(), mixture.weights.clone()
    means[empty], weights[empty] = x[worst], 1 / len(x)
    return Mixture(means, weights / weights.sum(), mixture.kappa)


def adapt_mixture(x: Float[Tensor, "n d"], prior: Mixture, *, relevance: float, iterations: int = 5) -> Adapted:
    """MAP adaptation: kernels move towards the samples as far as there are samples for them.

        n_k = sum_i r_ik,   psi_k = n_k / (n_k + relevance),   mu'_k = normalize(psi_k m_k + (1 - psi_k) mu_k),
        pi'_k = normalize(psi_k n_k / N + (1 - psi_k) pi_k),   with m_k the mean of the samples of kernel k

    The prior is the same in every iteration; responsibilities are those of the last estimate.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        Unit vectors of the other domain.
    prior : Mixture
    relevance : float, >= 0
        The number of samples at which a kernel goes halfway; 0 is EM on the samples, infinity keeps the prior.
    iterations : int, >= 1

    Source: Reynolds, Quatieri & Dunn, "Speaker Verification Using Adapted Gaussian Mixture Models", 2000, eq. 11 to 14.
    """
    if relevance < 0 or iterations < 1:
        raise ValueError(f"relevance must be at least 0 and iterations at least 1; got {relevance} and {iterations}")
    mixture, psi = prior, torch.zeros_like(prior.weights)
    for _ in range(iterations):
        r = responsibilities(x, mixture)
        n = r.sum(dim=0)
        psi = _adaptation(n, relevance)
        m = (r.T @ x) / n.clamp_min(1e-12)[:, None]
        moved = unit(psi[:, None] * m + (1 - psi)[:, None] * prior.means)
        moved = torch.where((psi > 0)[:, None] & (moved.norm(dim=1, keepdim=True) > 0), moved, prior.means)
        weights = psi * n / len(x) + (1 - psi) * prior.weights
        mixture = Mixture(moved, weights / weights.sum(), prior.kappa)
    return Adapted(mixture, psi)


def _adaptation(n: Float[Tensor, " k"], relevance: float) -> Float[Tensor, " k"]:
    """psi_k, in [0, 1]; 0 for a kernel without samples."""
    if math.isinf(relevance):
        return torch.zeros_like(n)
    return torch.where(n > 0, n / (n + relevance).clamp_min(torch.finfo(n.dtype).tiny), torch.zeros_like(n))


def kernel_similarity(kernels: Float[Tensor, "k d"], other: Float[Tensor, "m d"]) -> Float[Tensor, " k"]:
    """The cosine of each kernel of one dictionary with the nearest of another, (k,)."""
    return (kernels @ other.T).amax(dim=1)
