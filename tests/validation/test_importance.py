"""Density ratios and deep embedded validation, on data whose ratio is known."""

import numpy as np
import pytest
import torch

from unseen.validation import density_ratio, embedded_validation


def test_equal_domains_have_ratio_one():
    x = torch.randn(800, 2)
    ratio = density_ratio(x[:400], x[400:], torch.randn(200, 2))
    assert np.abs(np.log(ratio)).max() < 0.8  # a few hundred samples tell the ratio to some tenths
    assert ratio.mean() == pytest.approx(1, abs=0.15)


def test_the_ratio_of_two_gaussians_is_found():
    source, target = torch.randn(2000, 1), torch.randn(1000, 1) + 1
    at = torch.tensor([[-1.0], [0.5], [2.0]])
    true = np.exp(at[:, 0].numpy() - 0.5)  # N(1, 1) / N(0, 1)
    assert np.abs(np.log(density_ratio(source, target, at)) - np.log(true)).max() < 0.3


def test_with_equal_weights_it_is_source_validation():
    right = np.array([True, True, False, True])
    assert embedded_validation(right, np.ones(4)) == pytest.approx(0.75)


def test_it_is_the_formula_of_the_paper():
    rng = np.random.default_rng(0)
    right, w = rng.random(50) < 0.7, rng.exponential(size=50)
    loss = w * (1 - right)
    eta = -np.cov(loss, w, ddof=0)[0, 1] / np.var(w)
    assert embedded_validation(right, w) == pytest.approx(1 - (loss.mean() + eta * w.mean() - eta))


def test_it_estimates_the_accuracy_of_the_target_where_source_validation_does_not():
    rng = np.random.default_rng(0)
    source, target = rng.normal(0, 1, 4000), rng.normal(1, 1, 4000)
    right = source < 1.0  # wrong where the target is dense
    w = np.exp(source - 0.5)
    true = float((target < 1.0).mean())
    assert right.mean() - true > 0.3
    assert embedded_validation(right, w) == pytest.approx(true, abs=0.05)


def test_bad_weights_are_refused():
    with pytest.raises(ValueError, match="finite"):
        embedded_validation(np.array([True]), np.array([np.nan]))
    with pytest.raises(ValueError, match="one length"):
        embedded_validation(np.array([True]), np.ones(2))
    with pytest.raises(ValueError, match="source must hold"):
        density_ratio(torch.ones(0, 2), torch.ones(1, 2), torch.ones(1, 2))
