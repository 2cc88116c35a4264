"""Entropic transport: marginals, the matching that it tends to, and what it does under permutations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from unseen.data.domain import Domain
from unseen.methods.baselines.ot import OT
from unseen.nn.transport import sinkhorn


def cost(n, m, seed=0):
    return torch.rand(n, m, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 30))
def test_rows_and_columns_have_equal_weight(n, m, seed):
    plan = sinkhorn(cost(n, m, seed), 0.1, iterations=5000, tolerance=1e-5)
    torch.testing.assert_close(plan.sum(dim=1), torch.full((n,), 1 / n), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(plan.sum(dim=0), torch.full((m,), 1 / m), atol=1e-4, rtol=1e-3)


def test_with_little_regularization_it_is_the_best_matching():
    c = cost(15, 15, 3)
    plan = sinkhorn(c.double(), 1e-3, iterations=20_000, tolerance=1e-8)
    rows, columns = linear_sum_assignment(c.numpy())
    assert plan.argmax(dim=1).tolist() == columns.tolist()
    assert float((plan * c).sum()) == pytest.approx(float(c[rows, columns].mean()), abs=1e-3)


def test_with_much_regularization_everything_goes_everywhere():
    torch.testing.assert_close(sinkhorn(cost(4, 6), 1e4), torch.full((4, 6), 1 / 24), atol=1e-5, rtol=1e-3)


def test_two_by_two_by_hand():
    plan = sinkhorn(torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double(), 0.5, tolerance=1e-7)
    stay = 0.5 / (1 + np.exp(-2.0))
    torch.testing.assert_close(
        plan, torch.tensor([[stay, 0.5 - stay], [0.5 - stay, stay]], dtype=torch.float64), atol=1e-5, rtol=1e-4
    )


def test_costs_that_are_no_numbers_are_named():
    with pytest.raises(ValueError, match="regularization must be above 0"):
        sinkhorn(cost(2, 2), 0.0)
    with pytest.raises(ValueError, match="NaN"):
        sinkhorn(torch.tensor([[0.0, float("nan")]]), 0.1)


def test_ot_finds_the_counterparts_of_a_target_that_is_turned_and_stretched():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 4
    x = rng.normal(size=(4, 10))[y] * 3 + rng.normal(size=(120, 10))
    turn = np.eye(10) + 0.15 * rng.normal(size=(10, 10))
    source = Domain(x=x.astype(np.float32), y=y)
    target = Domain(x=(x @ turn * 5 + 40).astype(np.float32)[::-1].copy(), y=y[::-1].copy())
    method = OT().fit(source=source, target=target.unlabeled())
    assert (method.predict(target) == target.y).mean() > 0.8
    assert (method.source_decision_function(source).argmax(dim=1).numpy() == y).mean() > 0.9
