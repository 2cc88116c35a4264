"""Bayesian linear maps: what is drawn, what learns, what is put back."""

from __future__ import annotations

import math

import pytest
import torch

from unseen.nn.bayesian import BayesianLinear, sampling


@pytest.mark.parametrize(("rho", "expected"), [(-5.0, 0.0067153), (-3.0, 0.0485874)])
def test_the_initial_deviation_is_softplus_of_rho(rho: float, expected: float) -> None:
    assert BayesianLinear(3, 2, rho).deviation.flatten().tolist() == pytest.approx([expected] * 6, abs=1e-7)


def test_very_negative_rho_is_deterministic_and_two_calls_differ_otherwise() -> None:
    x = torch.ones(2, 4)
    sure, unsure = BayesianLinear(4, 3, -200.0), BayesianLinear(4, 3, -3.0)
    assert torch.equal(sure(x), sure(x))
    assert not torch.equal(unsure(x), unsure(x))


def test_outputs_have_the_deviation_of_the_weights() -> None:
    layer = BayesianLinear(9, 1, rho=0.0)
    x = torch.ones(1, 9)
    draws = torch.stack([layer(x) for _ in range(4000)])
    expected = math.log(2) * 3  # nine independent weights
    assert draws.std().item() == pytest.approx(expected, rel=0.05)  # four deviations of the estimate
    assert draws.mean().item() == pytest.approx(layer.mean.sum().item(), abs=4 * expected / math.sqrt(4000))


def test_gradients_reach_mean_and_rho() -> None:
    layer = BayesianLinear(4, 3)
    for grad in torch.autograd.grad(layer(torch.ones(2, 4)).square().sum(), [layer.mean, layer.rho]):
        assert grad.abs().sum() > 0


def test_without_sampling_the_mean_is_used_and_the_mode_comes_back() -> None:
    layer, x = BayesianLinear(4, 3, -1.0), torch.ones(2, 4)
    with sampling(layer, False):
        assert torch.equal(layer(x), x @ layer.mean.T)
    assert layer.sampling
    with pytest.raises(RuntimeError), sampling(layer, False):
        raise RuntimeError
    assert layer.sampling


def test_the_mean_starts_as_kaiming_uniform_with_a_root_of_five() -> None:
    bound = 1 / math.sqrt(100)  # sqrt(6 / ((1 + 5) * fan_in))
    mean = BayesianLinear(100, 50).mean
    assert mean.abs().max().item() <= bound
    assert mean.abs().max().item() > 0.95 * bound
