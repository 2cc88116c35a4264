"""Label-free validators against values worked out by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.validation import information_maximization, soft_neighbourhood_density, source_validation, vote


def test_certain_and_diverse_predictions_carry_log_c_nats():
    assert information_maximization(torch.eye(4)) == pytest.approx(math.log(4), abs=1e-3)


def test_uniform_predictions_carry_nothing():
    assert information_maximization(torch.full((5, 3), 1 / 3)) == pytest.approx(0, abs=1e-6)


def test_one_predicted_class_carries_nothing():
    assert information_maximization(torch.eye(3)[[1, 1, 1, 1]]) == pytest.approx(0, abs=1e-6)


def test_density_of_two_tight_groups_is_the_log_of_their_other_members():
    p = torch.eye(2).repeat_interleave(5, dim=0)
    assert soft_neighbourhood_density(p, temperature=0.01) == pytest.approx(math.log(4), abs=1e-4)


def test_density_by_a_naive_loop():
    p = torch.softmax(torch.randn(7, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    unit = p / p.norm(dim=1, keepdim=True)
    entropies = []
    for i in range(7):
        weights = np.exp([float(unit[i] @ unit[j]) / 0.05 for j in range(7) if j != i])
        weights /= weights.sum()
        entropies.append(-(weights * np.log(weights)).sum())
    assert soft_neighbourhood_density(p) == pytest.approx(np.mean(entropies), abs=1e-4)


def test_density_needs_two_samples():
    with pytest.raises(ValueError, match="at least 2"):
        soft_neighbourhood_density(torch.ones(1, 2))


def test_source_validation_is_accuracy():
    assert source_validation(torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1])) == pytest.approx(
        2 / 3
    )


def test_vote_ranks_by_information_among_those_that_know_the_source():
    votes = vote({"x": 1.0, "y": 2.0, "z": 3.0}, {"x": 0.8, "y": 0.75, "z": 0.5})
    assert votes == pytest.approx({"x": 0.5, "y": 1.0, "z": 0.0})


def test_without_a_source_information_alone_ranks_and_ties_share():
    assert vote({"x": 1.0, "y": 3.0, "z": 3.0}) == pytest.approx({"x": 1 / 3, "y": 2.5 / 3, "z": 2.5 / 3})


def test_a_score_that_is_not_finite_ranks_last():
    assert vote({"x": float("nan"), "y": -5.0}) == {"x": 0.5, "y": 1.0}


def test_scores_must_be_of_the_same_candidates():
    with pytest.raises(ValueError, match="same candidates"):
        vote({"x": 1.0}, {"y": 1.0})


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-100, 100).map(float), min_size=2, max_size=6, unique=True))
def test_vote_does_not_change_under_increasing_transformations(values):
    names = [f"c{i}" for i in range(len(values))]
    plain = vote(dict(zip(names, values)))
    assert vote({n: 3 * v + 7 for n, v in zip(names, values)}) == plain
