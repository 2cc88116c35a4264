"""Mixtures of von Mises-Fisher kernels: densities against SciPy, EM and MAP by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.nn.von_mises_fisher import (
    Mixture,
    adapt_mixture,
    fit_mixture,
    kernel_similarity,
    log_density,
    log_joint,
    log_normalizer,
    maximization,
    plus_plus,
    responsibilities,
    unit,
)

X = unit(torch.tensor([[1, 0.1], [1, -0.1], [0.1, 1], [0, 1]], dtype=torch.float64))
"""Two vectors near the first axis, two near the second."""
START = Mixture(torch.eye(2, dtype=torch.float64), torch.full((2,), 0.5, dtype=torch.float64), 30.0)


def sphere(n: int, d: int, seed: int) -> torch.Tensor:
    """Unit vectors in all directions."""
    return unit(torch.as_tensor(np.random.default_rng(seed).normal(size=(n, d))))


@pytest.mark.parametrize(("d", "kappa"), [(2, 0.5), (3, 4.0), (5, 30.0), (40, 20.0)])
def test_the_density_is_scipys(d: int, kappa: float) -> None:
    from scipy.stats import vonmises_fisher

    x, means = sphere(20, d, 0), sphere(3, d, 1)
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    parts = np.array([vonmises_fisher(mean.numpy(), kappa).pdf(x.numpy()) for mean in means])
    expected = np.log(weights.numpy() @ parts)
    np.testing.assert_allclose(log_density(x, Mixture(means, weights, kappa)), expected, rtol=1e-9)


def test_the_normalizer_in_three_dimensions_is_kappa_over_four_pi_sinh_kappa() -> None:
    assert log_normalizer(2.0, 3) == pytest.approx(math.log(2 / (4 * math.pi * math.sinh(2))))


def test_the_normalizer_holds_where_the_bessel_function_underflows() -> None:
    """In d dimensions and for small kappa the density is nearly that of the uniform distribution."""
    d = 1280
    uniform = math.lgamma(d / 2) - math.log(2) - d / 2 * math.log(math.pi)
    assert log_normalizer(1e-3, d) == pytest.approx(uniform, abs=1e-6)
    by_parts = uniform - 30.0**2 / (2 * d)  # the second order of log E exp(kappa mu . f)
    assert log_normalizer(30.0, d) == pytest.approx(by_parts, abs=1e-3)


def test_one_step_of_em_by_hand() -> None:
    step = fit_mixture(X, 2, kappa=30.0, iterations=1, init=START)
    assert step.log_likelihood[0] == pytest.approx(29.195189, abs=1e-6)
    expected = [[1, 0], [0.049814, 0.998758]]
    np.testing.assert_allclose(step.mixture.means, expected, atol=1e-6)


@given(st.integers(0, 1000), st.integers(1, 6), st.floats(1, 40))
@settings(max_examples=30, deadline=None)
def test_em_never_lowers_the_log_likelihood(seed: int, k: int, kappa: float) -> None:
    fitted = fit_mixture(sphere(60, 4, seed), k, kappa=kappa, tolerance=0.0, iterations=30, random_state=seed)
    assert (np.diff(fitted.log_likelihood) > -1e-9).all()
    np.testing.assert_allclose(fitted.mixture.means.norm(dim=1), 1, rtol=1e-9)
    assert float(fitted.mixture.weights.sum()) == pytest.approx(1)


def test_responsibilities_are_a_naive_bayes_rule_and_sum_to_one() -> None:
    x, mixture = sphere(10, 3, 0), Mixture(sphere(4, 3, 1), torch.tensor([0.1, 0.2, 0.3, 0.4]).double(), 7.0)
    r = responsibilities(x, mixture)
    for i in range(10):
        joint = [float(mixture.weights[k]) * math.exp(7 * float(mixture.means[k] @ x[i])) for k in range(4)]
        np.testing.assert_allclose(r[i], np.array(joint) / sum(joint), rtol=1e-9)
    np.testing.assert_allclose(r.sum(dim=1), 1)


def test_em_finds_the_kernels_that_made_the_samples() -> None:
    from scipy.stats import vonmises_fisher

    means = np.eye(5)[:3]
    parts = [vonmises_fisher(mean, 40).rvs(200, random_state=k) for k, mean in enumerate(means)]
    fitted = fit_mixture(torch.as_tensor(np.concatenate(parts)), 3, kappa=40.0, random_state=3)
    assert float(kernel_similarity(torch.as_tensor(means), fitted.mixture.means).min()) > 0.995
    np.testing.assert_allclose(fitted.mixture.weights, 1 / 3, atol=0.01)


def test_an_empty_kernel_is_sown_at_the_vector_explained_worst() -> None:
    x = torch.cat([X[:2].repeat(10, 1), X[3:]])
    away = Mixture(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).double(), torch.tensor([1 - 1e-9, 1e-9]).double(), 30.0)
    fitted = fit_mixture(x, 2, kappa=30.0, init=away)
    np.testing.assert_allclose(fitted.mixture.means[1], [0, 1], atol=1e-3)


def test_starts_are_samples_and_far_from_each_other() -> None:
    x = torch.cat([X[:2].repeat(50, 1), X[2:3]])
    for seed in range(5):
        started = plus_plus(x, 2, random_state=seed)
        assert float(started[0] @ started[1]) < 0.3
        assert all(bool((x == row).all(dim=1).any()) for row in started)
    assert plus_plus(X[:1].repeat(4, 1), 3).shape == (3, 2)


# -- MAP ---------------------------------------------------------------------------------------------------


def test_map_by_hand() -> None:
    adapted = adapt_mixture(X, START, relevance=16.0, iterations=1)
    np.testing.assert_allclose(adapted.psi, 2 / 18, atol=1e-6)
    np.testing.assert_allclose(adapted.mixture.means, [[1, 0], [0.005529, 0.999985]], atol=1e-6)


def test_without_relevance_map_gives_the_means_of_em() -> None:
    one = maximization(X, responsibilities(X, START), START)
    adapted = adapt_mixture(X, START, relevance=0.0, iterations=1)
    np.testing.assert_allclose(adapted.psi, 1)
    np.testing.assert_allclose(adapted.mixture.means, one.means)
    np.testing.assert_allclose(adapted.mixture.weights, one.weights)


def test_with_infinite_relevance_map_keeps_the_source() -> None:
    adapted = adapt_mixture(X, START, relevance=math.inf)
    assert torch.equal(adapted.mixture.means, START.means)
    np.testing.assert_allclose(adapted.mixture.weights, START.weights)


def test_a_kernel_without_samples_stays_where_it_is() -> None:
    far = unit(torch.tensor([[1.0, 0.2], [-1.0, 0.1]], dtype=torch.float64))
    prior = Mixture(far, START.weights, 500.0)
    x = X[:2]
    adapted = adapt_mixture(x, prior, relevance=1.0)
    assert float(responsibilities(x, prior)[:, 1].max()) == 0
    assert torch.equal(adapted.mixture.means[1], prior.means[1])
    assert float(adapted.psi[1]) == 0
    assert not torch.equal(adapted.mixture.means[0], prior.means[0])


@given(st.integers(0, 1000), st.floats(0, 1e4), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_adapted_kernels_are_unit_vectors_and_weights_sum_to_one(seed: int, relevance: float, iterations: int) -> None:
    prior = Mixture(sphere(5, 4, seed), torch.full((5,), 0.2).double(), 20.0)
    adapted = adapt_mixture(sphere(40, 4, seed + 1), prior, relevance=relevance, iterations=iterations)
    np.testing.assert_allclose(adapted.mixture.means.norm(dim=1), 1, rtol=1e-9)
    assert float(adapted.mixture.weights.sum()) == pytest.approx(1)
    assert ((adapted.psi >= 0) & (adapted.psi <= 1)).all()


def test_samples_like_those_of_the_source_move_no_kernel_far() -> None:
    x = sphere(4000, 3, 0)
    source = fit_mixture(x[:2000], 4, kappa=10.0, tolerance=1e-7).mixture
    adapted = adapt_mixture(x[2000:], source, relevance=500.0)
    assert float((adapted.mixture.means * source.means).sum(dim=1).min()) > 0.98


# -- edges -------------------------------------------------------------------------------------------------


def test_a_vector_of_length_zero_stays_zero() -> None:
    x = unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(x, [[0.6, 0.8], [0, 0]], rtol=1e-6)
    assert torch.isfinite(log_joint(x, Mixture(torch.eye(2), torch.full((2,), 0.5), 30.0))).all()


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="k must be in"):
        fit_mixture(X, 5, kappa=1.0)
    with pytest.raises(ValueError, match="kappa"):
        fit_mixture(X, 2, kappa=0.0)
    with pytest.raises(ValueError, match="relevance"):
        adapt_mixture(X, START, relevance=-1.0)
    with pytest.raises(ValueError, match="kappa"):
        log_normalizer(0.0, 3)
