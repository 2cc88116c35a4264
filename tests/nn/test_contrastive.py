"""One kernel, its targets, and what the papers' special cases say of it."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.nn.contrastive import (
    LogitScale,
    affinities,
    contrastive,
    contrastive_in_parts,
    cosine_weights,
    row_entropy,
    same_label,
)

P = torch.tensor([[1, 0, 0], [0.6, 0.8, 0], [0, 1, 0], [0, 0.6, 0.8]])
Q = torch.tensor([[0.8, 0.6, 0], [0, 1, 0], [0, 0.8, 0.6], [0, 0, 1]])


def test_examples_worked_by_hand():
    """The numbers of CWCL, UniCL and CLIP on four vectors at temperature 0.1."""
    logits = P @ Q.T / 0.1
    assert contrastive(logits, cosine_weights(P)).item() == pytest.approx(3.804863, abs=1e-6)
    assert contrastive(logits.T).item() == pytest.approx(1.442420, abs=1e-6)
    labels = same_label(torch.tensor([0, 0, 1, 2]))
    assert (contrastive(logits, labels) + contrastive(logits.T, labels)).item() / 2 == pytest.approx(2.242420, abs=1e-6)


def test_example_of_affinities():
    """TinyCLIP's: a student at 1 / 0.07 and a teacher at 50, both ways."""
    a = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0, 0.8]])
    b = torch.tensor([[0.8, 0, 0.6], [0.6, 0.8, 0], [0, 0.6, 0.8], [0, 0, 1]])
    student, teacher = P @ Q.T / 0.07, 50 * a @ b.T
    assert contrastive(student, affinities(teacher)).item() == pytest.approx(6.352090, abs=1e-5)
    assert contrastive(student.T, affinities(teacher.T)).item() == pytest.approx(6.351898, abs=1e-5)


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(0, 99))
def test_one_pair_each_is_cross_entropy_and_rows_may_be_scaled(n, seed):
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, n, generator=g)
    expected = F.cross_entropy(logits, torch.arange(n))
    torch.testing.assert_close(contrastive(logits), expected)
    torch.testing.assert_close(contrastive(logits, torch.eye(n) * (1 + torch.rand(n, 1, generator=g))), expected)


def test_gradient_is_softmax_minus_targets():
    logits = torch.randn(5, 5, dtype=torch.double, requires_grad=True)
    targets = torch.rand(5, 5, dtype=torch.double)
    contrastive(logits, targets).backward()
    expected = (logits.detach().softmax(1) - targets / targets.sum(1, keepdim=True)) / 5
    torch.testing.assert_close(logits.grad, expected)


def test_the_least_value_is_the_entropy_of_the_targets():
    targets = torch.rand(6, 6) + 0.1
    logits = (targets / targets.sum(1, keepdim=True)).log()
    assert contrastive(logits, targets).item() == pytest.approx(row_entropy(targets) * math.log(6), rel=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_parts_give_the_whole_with_its_gradients(rows):
    p, q = torch.randn(7, 4, dtype=torch.double), torch.randn(7, 4, dtype=torch.double)
    scale = torch.tensor(3.0, dtype=torch.double)
    whole, parts = [[t.clone().requires_grad_() for t in (p, q, scale)] for _ in range(2)]
    for targets in (None, cosine_weights(p)):
        a = contrastive(whole[2] * whole[0] @ whole[1].T, targets)
        b = contrastive_in_parts(*parts, targets=None if targets is None else lambda at, t=targets: t[at], rows=rows)
        torch.testing.assert_close(a, b)
        a.backward()
        b.backward()
        for one, other in zip(whole, parts):
            torch.testing.assert_close(one.grad, other.grad)


def test_weights_are_those_of_unit_vectors():
    weights = cosine_weights(P * torch.tensor([[1.0], [9.0], [0.1], [3.0]]))
    torch.testing.assert_close(weights, cosine_weights(P))
    torch.testing.assert_close(weights, weights.T)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.diagonal(), torch.ones(4))
    torch.testing.assert_close(cosine_weights(-P, P, power=4.0).diagonal(), torch.zeros(4))


def test_level_targets_are_told():
    assert row_entropy(torch.ones(8, 8)) == pytest.approx(1)
    assert row_entropy(torch.eye(8)) == pytest.approx(0, abs=1e-6)


def test_a_scale_is_held_and_comes_down_again():
    scale = LogitScale()
    assert scale().item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        scale.log.fill_(9.0)
    scale().backward()
    assert scale().item() == pytest.approx(100)
    assert scale.log.grad.item() > 0


@pytest.mark.parametrize("targets", [-torch.eye(3), torch.zeros(3, 3)])
def test_weights_that_are_none(targets):
    with pytest.raises(ValueError, match="targets must be weights >= 0"):
        contrastive(torch.zeros(3, 3), targets)
