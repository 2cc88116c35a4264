"""Entropies."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unseen.nn.information import entropy, information_loss, normalized_entropy


def test_a_uniform_row_has_entropy_log_c_and_a_certain_row_none() -> None:
    p = torch.tensor([[0.25] * 4, [1.0, 0, 0, 0]])
    assert entropy(p, eps=0.0 + 1e-12).tolist() == pytest.approx([math.log(4), 0], abs=1e-6)
    assert normalized_entropy(p).tolist() == pytest.approx([1, 0], abs=1e-4)


def test_information_is_largest_for_certain_and_balanced_predictions() -> None:
    certain = torch.eye(4)
    assert float(information_loss(certain)) == pytest.approx(-math.log(4), abs=1e-3)
    assert float(information_loss(certain[:1].repeat(4, 1))) == pytest.approx(0, abs=1e-4)
    assert float(information_loss(torch.full((4, 4), 0.25))) == pytest.approx(0, abs=1e-4)


@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(2, 6))
def test_information_does_not_depend_on_order_and_is_never_positive(seed: int, n: int, c: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    p = torch.softmax(3 * torch.randn(n, c, generator=generator), dim=1).double()
    mixed = p[torch.randperm(n, generator=generator)][:, torch.randperm(c, generator=generator)]
    assert float(information_loss(p)) == pytest.approx(float(information_loss(mixed)), abs=1e-9)
    assert float(information_loss(p)) <= 1e-4  # mutual information, up to eps
    naive = sum(-sum(float(v) * math.log(float(v) + 1e-5) for v in row) for row in p) / n
    assert float(entropy(p).mean()) == pytest.approx(naive, rel=1e-6)
