"""Evidence, opinions and their fusion: cases by hand, and what must hold of any."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma, gammaln
from torch import Tensor

from unseen.nn.evidence import (
    LARGEST,
    Opinion,
    annealed,
    conflict,
    dempster,
    edl_loss,
    evidence_behind,
    evidence_of,
    evidential_loss,
    kl_to_uniform,
    misleading,
    opinion,
)

seeds = st.integers(0, 2**31 - 1)


def evidence(seed: int, n: int = 6, k: int = 5) -> Tensor:
    """Evidence of different strengths, exactly 0 in places."""
    rng = torch.Generator().manual_seed(seed)
    e = torch.exp(3 * torch.randn(n, k, generator=rng))
    return torch.where(torch.rand(n, k, generator=rng) < 0.3, torch.zeros_like(e), e)


# -- opinions ----------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_beliefs_and_uncertainty_are_one_and_uncertainty_falls_with_evidence(seed: int) -> None:
    e = evidence(seed)
    held = opinion(e)
    torch.testing.assert_close(held.belief.sum(dim=1) + held.uncertainty, torch.ones(6))
    assert (opinion(1.1 * e + 0.5).uncertainty < held.uncertainty).all()
    torch.testing.assert_close(evidence_behind(held), e, rtol=1e-3, atol=1e-3)  # S = K / u is rounded twice


def test_no_evidence_is_no_belief() -> None:
    held = opinion(torch.zeros(2, 4))
    assert held.uncertainty.tolist() == [1, 1]
    assert not held.belief.any()


def test_evidence_is_not_negative_and_exp_is_cut() -> None:
    logits = torch.tensor([[-3.0, 0, 2, 500]])
    for activation in ("exp", "softplus", "relu"):
        assert (evidence_of(logits, activation) >= 0).all()
    assert float(evidence_of(logits, "exp").max()) == pytest.approx(math.exp(LARGEST))
    assert evidence_of(logits, "relu").tolist() == [[0, 0, 2, 500]]
    assert float(evidence_of(logits, "softplus")[0, 1]) == pytest.approx(math.log(2))


# -- fusion ------------------------------------------------------------------------------------------------


def test_two_opinions_by_hand() -> None:
    a, b = opinion(torch.tensor([[4.0, 1, 0]])), opinion(torch.tensor([[0.0, 2, 1]]))
    torch.testing.assert_close(a.belief, torch.tensor([[0.5, 0.125, 0]]))
    torch.testing.assert_close(b.belief, torch.tensor([[0, 1 / 3, 1 / 6]]))
    assert (float(a.uncertainty), float(b.uncertainty)) == (0.375, 0.5)
    assert float(conflict(a, b)) == pytest.approx(0.27083, abs=1e-5)
    both = dempster(a, b)
    torch.testing.assert_close(both.belief, torch.tensor([[0.34286, 0.31429, 0.08571]]), atol=1e-5, rtol=0)
    assert float(both.uncertainty) == pytest.approx(0.25714, abs=1e-5)
    torch.testing.assert_close(evidence_behind(both) + 1, torch.tensor([[5, 4.66667, 2]]), atol=1e-4, rtol=0)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_an_opinion_without_evidence_moves_nothing_and_order_does_not_matter(seed: int) -> None:
    a, b, empty = opinion(evidence(seed)), opinion(evidence(seed + 1)), opinion(torch.zeros(6, 5))
    for one, other in ((a, empty), (empty, a)):
        both = dempster(one, other)
        torch.testing.assert_close(both.belief, a.belief)
        torch.testing.assert_close(both.uncertainty, a.uncertainty)
    for left, right in zip(dempster(a, b), dempster(b, a)):
        torch.testing.assert_close(left, right)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_a_fused_opinion_is_one_and_is_dempsters_sum_over_pairs(seed: int) -> None:
    a, b = opinion(evidence(seed, n=1)), opinion(evidence(seed + 1, n=1))
    both = dempster(a, b)
    assert float(both.belief.sum() + both.uncertainty) == pytest.approx(1, abs=1e-5)
    p, q = ([*held.belief[0].double().tolist(), float(held.uncertainty)] for held in (a, b))
    mass = [0.0] * 6  # subsets: the five classes, and all of them
    for i, x in enumerate(p):
        for j, y in enumerate(q):
            if i == j or 5 in (i, j):
                mass[min(i, j)] += x * y
    expected = torch.tensor(mass) / sum(mass)
    torch.testing.assert_close(torch.cat([both.belief[0], both.uncertainty]), expected, atol=1e-5, rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_without_conflict_both_together_are_surer_than_each(seed: int) -> None:
    e = evidence(seed)
    only = torch.zeros_like(e).scatter(1, e.argmax(dim=1, keepdim=True), 1.0)
    a, b = opinion(only * e), opinion(only * (e + 1))
    assert (dempster(a, b).uncertainty <= torch.minimum(a.uncertainty, b.uncertainty) + 1e-6).all()


def test_full_conflict_of_sure_opinions_stays_finite() -> None:
    a, b = (opinion(torch.tensor([row])) for row in ([2e4, 0.0], [0.0, 2e4]))
    both = dempster(a, b)
    assert torch.isfinite(both.belief).all()
    assert float(both.belief.sum() + both.uncertainty) == pytest.approx(1)
    torch.testing.assert_close(both.belief[:, 0], both.belief[:, 1])
    assert isinstance(both, Opinion)


# -- losses ------------------------------------------------------------------------------------------------


def test_losses_by_hand() -> None:
    alpha, y = torch.tensor([[5.0, 2, 1]]), torch.tensor([0])
    assert float(edl_loss(alpha, y)) == pytest.approx(0.50952, abs=1e-5)
    assert float(edl_loss(alpha, y, "mse")) == pytest.approx(0.27778, abs=1e-5)
    assert misleading(alpha, y).tolist() == [[1, 2, 1]]
    assert float(kl_to_uniform(misleading(alpha, y))) == pytest.approx(0.26528, abs=1e-5)
    assert float(kl_to_uniform(torch.ones(1, 3))) == pytest.approx(0, abs=1e-12)
    whole = evidential_loss(alpha - 1, y, penalty=0.5)
    assert float(whole) == pytest.approx(0.50952 + 0.5 * 0.26528, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_losses_are_those_of_scipy_and_never_negative(seed: int) -> None:
    alpha = evidence(seed) + 1
    y = torch.arange(6) % 5
    a = alpha.double().numpy()
    total = a.sum(axis=1)
    expected = digamma(total) - digamma(a[range(6), y])
    torch.testing.assert_close(edl_loss(alpha, y).double(), torch.as_tensor(expected), rtol=1e-3, atol=1e-4)
    kl = gammaln(total) - gammaln(5) - gammaln(a).sum(axis=1)
    kl = kl + ((a - 1) * (digamma(a) - digamma(total)[:, None])).sum(axis=1)
    torch.testing.assert_close(kl_to_uniform(alpha).double(), torch.as_tensor(kl), rtol=1e-4, atol=1e-4)
    assert (kl_to_uniform(alpha) >= -1e-5).all()
    assert (edl_loss(alpha, y) >= -1e-5).all()


def test_the_squared_error_is_the_expected_one() -> None:
    alpha, y = torch.tensor([[3.0, 1.5, 2]]), torch.tensor([1])
    drawn = torch.distributions.Dirichlet(alpha[0]).sample((200_000,))
    error = (drawn - torch.tensor([0.0, 1, 0])).square().sum(dim=1).mean()
    assert float(edl_loss(alpha, y, "mse")) == pytest.approx(float(error), abs=5e-3)  # of 200,000 draws


def test_the_penalty_grows_to_one() -> None:
    assert [annealed(epoch, 4) for epoch in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]
    assert annealed(0, 0) == 1


@pytest.mark.parametrize("activation", ["exp", "softplus"])
def test_descent_gives_the_true_class_the_evidence(activation: str) -> None:
    logits, y = torch.randn(8, 4, requires_grad=True), torch.arange(8) % 4
    for _ in range(200):
        loss = evidential_loss(evidence_of(logits, activation), y)  # type: ignore[arg-type]
        (slope,) = torch.autograd.grad(loss, logits)
        logits.data -= 2 * slope
    assert (logits.argmax(dim=1) == y).all()
