"""Temperatures."""

import numpy as np
import pytest
import torch

from unseen.nn.calibration import fit_temperature, soften


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_soften_is_the_softmax_of_divided_logits(temperature):
    z = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    softened = soften(torch.softmax(z, dim=1), temperature)
    torch.testing.assert_close(softened, torch.softmax(z / temperature, dim=1))


def test_a_zero_stays_a_zero():
    assert soften(torch.tensor([[0.0, 0.2, 0.8]]), 100.0)[0, 0] == 0


def test_the_temperature_by_which_logits_were_divided_is_found():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((20_000, 6)) * 2
    y = (np.exp(z - np.log(np.exp(z).sum(1, keepdims=True))).cumsum(1) < rng.random((len(z), 1))).sum(1)
    assert fit_temperature(torch.as_tensor(z * 5), y) == pytest.approx(5, rel=0.05)  # sampling noise ~ 1 %
    assert fit_temperature(z * 0.2, torch.as_tensor(y)) == pytest.approx(0.2, rel=0.05)


def test_it_is_the_least_of_a_grid():
    rng = np.random.default_rng(1)
    z, y = rng.standard_normal((200, 4)) * 3, rng.integers(0, 4, 200)
    z[np.arange(200), y] += 2

    def loss(t):
        return float(torch.nn.functional.cross_entropy(torch.as_tensor(z / t), torch.as_tensor(y)))

    best = fit_temperature(z, y)
    assert all(loss(best) <= loss(t) + 1e-9 for t in np.geomspace(0.01, 100, 200))


def test_log_probabilities_of_zero_are_allowed():
    assert np.isfinite(fit_temperature([[0.0, -np.inf], [-np.inf, 0.0], [0.0, -np.inf]], [0, 1, 1]))


@pytest.mark.parametrize(
    ("logits", "y", "told"),
    [
        ([[0.0, np.nan]], [0], "NaN"),
        ([[0.0, np.inf]], [0], "plus infinity"),
        ([[0.0, 1.0]], [2], "y must hold"),
        ([[0.0, 1.0]], [0, 1], "shape"),
        (np.zeros((0, 2)), np.zeros(0, int), "shape"),
    ],
)
def test_bad_input_is_named(logits, y, told):
    with pytest.raises(ValueError, match=told):
        fit_temperature(logits, y)
