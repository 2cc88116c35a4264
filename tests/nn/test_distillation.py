"""Weights of sources and the loss of several teachers, by hand and by their invariances."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unseen.nn.distillation import multi_source_loss, power_weights, soft_cross_entropy
from unseen.nn.divergences import kl

SCORES = np.array([0.30, 0.20, 0.10, -0.05])


@pytest.mark.parametrize(
    ("power", "alpha"),
    [
        (0, [0.25, 0.25, 0.25, 0.25]),
        (1, [0.5, 1 / 3, 1 / 6, 0]),
        (4, [0.826531, 0.163265, 0.010204, 0]),
        (12, [0.992350, 0.007648, 0.000002, 0]),
        (np.inf, [1, 0, 0, 0]),
    ],
)
def test_weights_of_four_scores_by_hand(power, alpha):
    np.testing.assert_allclose(power_weights(SCORES, power), alpha, atol=1e-6)


@given(arrays(float, 5, elements=st.floats(-1, 1)), st.floats(0, 20), st.floats(1e-3, 1e3))
def test_weights_sum_to_1_keep_the_order_and_have_no_unit(scores, power, unit):
    if scores.max() < 1e-3:
        return
    alpha = power_weights(scores, power)
    assert alpha.sum() == pytest.approx(1)
    order = np.argsort(scores)
    assert (np.diff(alpha[order]) >= -1e-12).all()
    np.testing.assert_allclose(power_weights(unit * scores, power), alpha, atol=1e-9)


def test_percents_and_fractions_weigh_alike():
    np.testing.assert_allclose(power_weights(100 * SCORES, 12), power_weights(SCORES, 12))


def test_weights_of_nothing_similar_are_refused():
    with pytest.raises(ValueError, match="scores must hold one above 0"):
        power_weights(np.array([-0.1, 0.0]), 4)
    with pytest.raises(ValueError, match="power"):
        power_weights(SCORES, -1)
    with pytest.raises(ValueError, match="scores must be a vector"):
        power_weights(np.array([np.nan, 1.0]), 1)


def test_the_loss_by_hand_with_a_temperature():
    target, logits = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    p = 1 / (1 + np.exp(-1.0))  # softmax of (1, 0)
    q = 1 / (1 + np.exp(0.5))
    expected = -(p * np.log(q) + (1 - p) * np.log(1 - q))
    assert float(soft_cross_entropy(target, logits, 2.0)) == pytest.approx(expected, rel=1e-5)


def test_teachers_of_other_label_spaces_add_up_by_their_weights():
    torch.manual_seed(0)
    teachers, heads = ([torch.randn(6, c) for c in (3, 5)] for _ in range(2))
    alone = [soft_cross_entropy(t, h) for t, h in zip(teachers, heads)]
    torch.testing.assert_close(multi_source_loss(teachers, heads, [0.75, 0.25]), 0.75 * alone[0] + 0.25 * alone[1])


def test_gradients_reach_no_teacher_and_each_head_by_its_weight():
    torch.manual_seed(0)
    teachers = [torch.randn(6, c, requires_grad=True) for c in (3, 5)]
    heads = [torch.randn(6, c, requires_grad=True) for c in (3, 5)]
    multi_source_loss(teachers, heads, [0.8, 0.2]).backward()
    assert all(t.grad is None for t in teachers)
    for teacher, head, weight in zip(teachers, heads, (0.8, 0.2)):
        again = head.detach().requires_grad_()
        soft_cross_entropy(teacher, again).backward()
        torch.testing.assert_close(head.grad, weight * again.grad)


def test_a_source_that_is_the_student_pulls_nowhere_and_kl_pulls_as_cross_entropy():
    torch.manual_seed(0)
    target = torch.randn(6, 4)
    same = target.clone().requires_grad_()
    soft_cross_entropy(target, same).backward()
    torch.testing.assert_close(same.grad, torch.zeros(6, 4), atol=1e-7, rtol=0)
    a, b = (torch.randn(6, 4, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2))
    soft_cross_entropy(target, a).backward()
    kl(target, b).mean().backward()
    torch.testing.assert_close(a.grad, b.grad)


def test_a_sure_teacher_is_a_label():
    y = torch.tensor([0, 2, 1])
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(soft_cross_entropy(100.0 * F.one_hot(y), logits), F.cross_entropy(logits, y))
