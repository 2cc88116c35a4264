"""KLIEP: its constraint, what it says of known densities, and how its width is chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from unseen.nn.density_ratio import effective_size, kernel, kliep


def normal(n: int, d: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(seed).normal(size=(n, d)))


def test_weights_are_near_1_where_train_and_test_have_one_distribution_and_their_mean_is_1() -> None:
    train = normal(600)
    weights = kliep(normal(300, seed=1), train)(train)
    assert float(weights.mean()) == pytest.approx(1, abs=1e-12)
    assert float(weights.std()) < 0.2
    assert effective_size(weights) > 0.95 * len(train)


def test_log_weights_increase_along_the_shift_of_a_gaussian() -> None:
    train, test = normal(1000), normal(400, seed=1) + torch.tensor([1.0, 0.0])
    ratio = kliep(test, train)
    assert float(ratio(train).mean()) == pytest.approx(1, abs=1e-12)
    inner = train[train.norm(dim=1) < 2]
    truth = inner[:, 0] - 0.5  # log of N(1, 1) / N(0, 1)
    found = ratio(inner).log()
    assert float(torch.corrcoef(torch.stack([found, truth]))[0, 1]) > 0.9  # of 400 test samples
    assert float((found - truth).abs().mean()) < 0.35


def test_alpha_is_the_maximum_that_a_general_optimizer_finds() -> None:
    train, test = normal(60), normal(12, seed=1) + 0.7
    ratio = kliep(test, train, sigma=0.8)
    phi, b = kernel(test, ratio.centres, 0.8).numpy(), kernel(train, ratio.centres, 0.8).mean(dim=0).numpy()
    peer = minimize(
        lambda a: -np.log(phi @ a).mean(),
        np.full(12, 1 / b.sum()),
        bounds=[(0, None)] * 12,
        constraints={"type": "eq", "fun": lambda a: b @ a - 1},
        method="SLSQP",
        options={"maxiter": 500},
    )
    assert ratio.score == pytest.approx(-peer.fun, abs=1e-2)  # the gap that is allowed
    assert ratio.score <= -peer.fun + 1e-6


def test_the_width_is_that_under_which_held_out_test_samples_are_likeliest() -> None:
    train, test = normal(500, d=1), 0.2 * normal(200, d=1, seed=1)
    chosen = kliep(test, train)
    fresh = 0.2 * normal(2000, d=1, seed=2)
    likelihood = {s: float(kliep(test, train, sigma=s)(fresh).clamp_min(1e-300).log().mean()) for s in (1e-3, 0.1, 20)}
    own = float(chosen(fresh).log().mean())
    assert own > likelihood[1e-3]
    assert own > likelihood[20]
    assert own > likelihood[0.1] - 0.05


def test_a_width_that_reaches_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="sigma must be wide enough"):
        kliep(normal(5) + 100, normal(20), sigma=0.1)


def test_without_centres_there_is_no_ratio() -> None:
    with pytest.raises(ValueError, match="centres must be at least 1; got 0"):
        kliep(normal(5), normal(20), centres=0)


def test_the_width_of_many_samples_comes_from_some_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = normal(3000), normal(300, seed=1)
    everything = kliep(test, train)
    monkeypatch.setattr("unseen.nn.density_ratio.PAIRED", 200)
    some = kliep(test, train)
    assert some.sigma != everything.sigma
    assert some.sigma == pytest.approx(everything.sigma, rel=0.1)


def test_one_test_sample_is_enough() -> None:
    train = normal(50)
    weights = kliep(train[:1], train)(train)
    assert int(weights.argmax()) == 0


def test_the_effective_size_counts_equal_weights() -> None:
    assert effective_size(torch.tensor([2.0, 2.0, 0.0, 0.0])) == 2
