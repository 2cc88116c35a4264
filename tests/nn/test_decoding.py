"""Training through an argmax."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn

from unseen.nn.decoding import (
    decoded_cost,
    exact_loss,
    expected_cost_scores,
    project_simplex,
    projection,
    straight_through,
)
from unseen.nn.train import train
from unseen.runtime import reproducible


def test_projection_estimator_has_the_delta_of_the_spec():
    scores = torch.tensor([[0.0, 5.0, 1.0]], requires_grad=True)
    z = projection(scores, 0.1)
    assert z.tolist() == [[0, 1, 0]]
    (z * torch.tensor([[-1.0, 2.0, 0.0]])).sum().backward()
    np.testing.assert_allclose(scores.grad.numpy(), [[-0.13333, 0.16667, -0.03333]], atol=1e-5)


def test_straight_through_copies_the_gradient():
    scores = torch.tensor([[0.0, 5.0, 1.0]], requires_grad=True)
    z = straight_through(scores)
    assert z.tolist() == [[0, 1, 0]]
    (z * torch.tensor([[-1.0, 2.0, 0.5]])).sum().backward()
    assert scores.grad.tolist() == [[-1.0, 2.0, 0.5]]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=2, max_size=5))
def test_simplex_projection_is_the_nearest_point(v):
    v = np.array(v)
    found = project_simplex(torch.as_tensor(v)[None])[0].numpy()
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    solved = minimize(
        lambda p: ((p - v) ** 2).sum(),
        np.full(len(v), 1 / len(v)),
        jac=lambda p: 2 * (p - v),
        bounds=[(0, 1)] * len(v),
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-12},
    )
    assert ((found - v) ** 2).sum() <= solved.fun + 1e-6


def test_exact_loss_is_the_likelihood_of_expected_costs():
    logits, cost = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 1.0, 4.0], [4.0, 1.0, 0.0]])
    assert expected_cost_scores(logits, cost).tolist() == [[-2.0, -1.0, -2.0]]
    expected = -1 - np.log(np.exp(-1) + 2 * np.exp(-2))
    assert float(exact_loss(logits, cost, torch.tensor([1]))) == pytest.approx(-expected, abs=1e-6)


@pytest.mark.parametrize("how", ["exact", "straight-through", "projection"])
def test_training_brings_decisions_nearer_to_the_truth(how):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(200, 1, generator=generator)
    y = (x[:, 0] * 5).long().clamp_max(4)
    squared = (torch.arange(5.0)[:, None] - torch.arange(5.0)) ** 2
    cost = squared[[0, 4]]
    with reproducible(0):
        network = nn.Linear(1, 2)

        def mean_cost():
            return float(squared[expected_cost_scores(network(x), cost).argmax(1), y].mean())

        def objective(batch, run):
            logits = network(x)
            if how == "exact":
                return exact_loss(logits, cost, y)
            return decoded_cost(expected_cost_scores(logits, cost), squared[y], how, eta=0.1)

        before = mean_cost()
        train(
            objective,
            name="tune",
            nets={"network": network},
            optimizers={"adam": torch.optim.Adam(network.parameters(), lr=0.05)},
            batches=None,
            epochs=1,
            steps_per_epoch=150,
        )
    assert mean_cost() < 0.5 * before


def test_an_unknown_estimator_is_named():
    with pytest.raises((ValueError, TypeError), match="how"):
        decoded_cost(torch.zeros(1, 2), torch.zeros(1, 2), "guess")
