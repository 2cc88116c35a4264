"""The frontier of additive choices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unseen.nn.pareto import frontier


def brute_force(costs: np.ndarray, sizes: np.ndarray) -> dict[int, float]:
    """The cheapest cost of every size on the frontier, by trying all choices."""
    n, m = costs.shape
    every = [
        (int(sum(sizes[i, c[i]] for i in range(n))), sum(costs[i, c[i]] for i in range(n)))
        for c in itertools.product(range(m), repeat=n)
    ]
    best: dict[int, float] = {}
    lowest = np.inf
    for size, cost in sorted(every):
        if cost < lowest - 1e-12:
            best[size], lowest = cost, cost
    return best


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_dp_equals_brute_force_up_to_six_layers(data):
    n, m = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    costs = data.draw(hnp.arrays(np.int64, (n, m), elements=st.integers(0, 50))) / 8
    sizes = data.draw(hnp.arrays(np.int64, (n, m), elements=st.integers(0, 30)))
    found = frontier(costs, sizes)
    assert dict(zip(found.sizes.tolist(), found.costs.tolist())) == pytest.approx(brute_force(costs, sizes))
    item = np.arange(n)
    for size, cost, choice in zip(found.sizes, found.costs, found.choices):
        assert sizes[item, choice].sum() == size
        assert costs[item, choice].sum() == pytest.approx(cost)


def monotone(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    costs = -np.sort(-rng.random((n, 3)), axis=1)
    return costs, np.outer(rng.integers(1, 50, n), [2, 4, 8])


def test_frontier_is_strictly_decreasing_as_size_grows():
    found = frontier(*monotone(12))
    assert (np.diff(found.sizes) > 0).all()
    assert (np.diff(found.costs) < 0).all()


def test_all_8_bit_is_the_right_end_and_all_2_bit_the_left():
    found = frontier(*monotone(12))
    assert (found.choices[0] == 0).all()
    assert (found.choices[-1] == 2).all()


def test_a_budget_takes_the_largest_size_within_it_and_refuses_less_than_the_smallest():
    found = frontier(np.array([[3.0, 1.0]]), np.array([[2, 8]]))
    assert [found.within(b) for b in (2, 7.9, 8, 100)] == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="smallest"):
        found.within(1.9)


def test_too_many_states_are_thinned_to_near_the_optimum_with_both_ends():
    costs, sizes = monotone(14)
    exact, thin = frontier(costs, sizes), frontier(costs, sizes, max_states=200)
    assert len(thin) <= 200
    assert (thin.sizes[0], thin.sizes[-1]) == (exact.sizes[0], exact.sizes[-1])
    best = exact.costs[[exact.within(float(size)) for size in thin.sizes]]
    slack = 14 * (exact.sizes[-1] - exact.sizes[0]) / 199
    later = exact.costs[[exact.within(float(max(size - slack, exact.sizes[0]))) for size in thin.sizes]]
    assert (thin.costs >= best - 1e-12).all()
    assert (thin.costs <= later + 1e-12).all()


@pytest.mark.parametrize(
    ("costs", "sizes"),
    [
        (np.zeros((2, 2)), np.zeros((2, 3), int)),
        (np.zeros((0, 2)), np.zeros((0, 2), int)),
        (np.full((1, 1), np.nan), np.ones((1, 1), int)),
        (np.zeros((1, 1)), -np.ones((1, 1), int)),
    ],
)
def test_bad_tables_are_refused(costs, sizes):
    with pytest.raises(ValueError, match=r"costs|sizes"):
        frontier(costs, sizes)
