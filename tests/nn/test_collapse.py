"""What a collapse shows in."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unseen.nn.collapse import effective_rank, mean_cosine, modality_gap


def test_the_mean_cosine_is_that_of_different_samples() -> None:
    x = F.normalize(torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    by_hand = [float(x[i] @ x[j]) for i in range(9) for j in range(9) if i != j]
    assert mean_cosine(3 * x) == pytest.approx(sum(by_hand) / 72, abs=1e-6)
    assert mean_cosine(torch.ones(5, 3)) == pytest.approx(1)
    assert mean_cosine(torch.ones(1, 3)) == 1


def test_the_effective_rank_counts_equal_dimensions() -> None:
    corners = torch.cat([torch.eye(6), -torch.eye(6)])
    assert effective_rank(corners) == pytest.approx(6)
    line = torch.tensor([[1.0, 0], [-1, 0], [1, 0], [-1, 0]])
    assert effective_rank(line) == pytest.approx(1)
    assert effective_rank(torch.ones(4, 3)) == 1


def test_the_gap_is_the_distance_of_means() -> None:
    p, q = torch.eye(2), torch.tensor([[-1.0, 0], [0, -1]])
    assert modality_gap(p, p) == pytest.approx(0)
    assert modality_gap(p, q) == pytest.approx(2**0.5)
