"""DiffKendall and the pairwise loss, against numbers worked out by hand and a naive loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from unseen.nn.ranking_losses import diff_kendall, diff_kendall_loss, pairwise_loss

P = torch.tensor([0.1, 0.4, 0.35, 0.8], dtype=torch.float64)
Y = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
scores_of = st.lists(st.integers(-1000, 1000), min_size=3, max_size=8, unique=True)


@pytest.mark.parametrize(("alpha", "expected"), [(0.5, -0.0758814), (5.0, -1.1866254)])
def test_diff_kendall_at_the_scale_of_the_code(alpha: float, expected: float) -> None:
    found = diff_kendall_loss(P, Y, alpha, reference_scale=True)
    assert found.item() == pytest.approx(expected, abs=5e-7)
    assert diff_kendall_loss(P, Y, alpha).item() == pytest.approx(expected / 2, abs=5e-7)


def test_diff_kendall_of_a_very_steep_sigmoid_is_minus_twice_tau_at_the_scale_of_the_code() -> None:
    assert diff_kendall_loss(1e4 * P, 1e4 * Y, reference_scale=True).item() == pytest.approx(-2 * 2 / 3, abs=1e-9)


def test_pairwise_loss_of_four_scores() -> None:
    assert pairwise_loss(P, Y).item() == pytest.approx(0.5430341, abs=5e-7)


def test_diff_kendall_is_what_two_loops_say() -> None:
    total = 0.0
    for i in range(4):
        for j in range(i + 1, 4):
            u = 1 / (1 + math.exp(-0.5 * (P[i] - P[j]))) - 1 / (1 + math.exp(0.5 * (P[i] - P[j])))
            v = 1 / (1 + math.exp(-0.5 * (Y[i] - Y[j]))) - 1 / (1 + math.exp(0.5 * (Y[i] - Y[j])))
            total += u * v
    assert diff_kendall(P, Y).item() == pytest.approx(total / 6, abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(scores_of, st.randoms(use_true_random=False))
def test_diff_kendall_tends_to_kendalls_tau_without_ties(scores: list[int], random: object) -> None:
    values = list(scores)
    random.shuffle(values)  # type: ignore[attr-defined]
    p, y = torch.tensor(scores).double(), torch.tensor(values).double()
    assert diff_kendall(p, y, alpha=100.0).item() == pytest.approx(kendalltau(scores, values).statistic, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(scores_of, st.floats(-50, 50))
def test_diff_kendall_is_antisymmetric_and_does_not_see_a_constant(scores: list[int], shift: float) -> None:
    p = torch.tensor(scores).double() / 100
    y = torch.arange(len(scores)).double()
    assert diff_kendall(-p, y).item() == pytest.approx(-diff_kendall(p, y).item(), abs=1e-12)
    assert diff_kendall(p + shift, y).item() == pytest.approx(diff_kendall(p, y).item(), abs=1e-9)


def test_diff_kendall_depends_on_the_scale() -> None:
    assert diff_kendall(10 * P, Y) > diff_kendall(P, Y) + 0.1


def test_diff_kendall_lies_within_one_and_its_gradient_orders_the_scores() -> None:
    p = torch.zeros(6, requires_grad=True)
    y = torch.arange(6).float()
    (grad,) = torch.autograd.grad(diff_kendall_loss(p, y), p)
    assert np.argsort(-grad.numpy()).tolist() == list(range(6))  # the smallest value is pushed down most
    assert abs(diff_kendall(1e6 * y, 1e6 * y).item()) <= 1


def test_a_tie_costs_log_two_and_moves_nothing_in_diff_kendall() -> None:
    tied = torch.ones(3)
    assert pairwise_loss(P[:3], tied.double()).item() == pytest.approx(math.log(2), abs=1e-9)
    assert diff_kendall(P[:3], tied.double()).item() == 0


@pytest.mark.parametrize("loss", [diff_kendall, pairwise_loss])
def test_one_score_has_no_order(loss: object) -> None:
    with pytest.raises(ValueError, match="at least two; got 1"):
        loss(P[:1], Y[:1])  # type: ignore[operator]
