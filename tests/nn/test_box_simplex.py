"""Numbers of a given sum between bounds, against a plain bisection and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.nn.box_simplex import box_simplex_projection, round_to_total

SIZES = np.array([100, 300, 50, 550])


def by_bisection(target: np.ndarray, total: float, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The same by halving an interval of shifts, 200 times."""
    a, b = (target - high).min() - 1, (target - low).max() + 1
    for _ in range(200):
        middle = (a + b) / 2
        if np.clip(target - middle, low, high).sum() > total:
            a = middle
        else:
            b = middle
    return np.clip(target - (a + b) / 2, low, high)


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, int, np.ndarray, np.ndarray]:
    k = draw(st.integers(1, 12))
    high = np.array(draw(st.lists(st.integers(0, 40), min_size=k, max_size=k)))
    low = np.array([draw(st.integers(0, int(h))) for h in high])
    total = draw(st.integers(int(low.sum()), int(high.sum())))
    target = np.array(draw(st.lists(st.floats(-50, 80, width=32), min_size=k, max_size=k)))
    return target, total, low, high


@settings(max_examples=300, deadline=None)
@given(problems())
def test_it_is_feasible_and_what_bisection_gives(problem: tuple[np.ndarray, int, np.ndarray, np.ndarray]) -> None:
    target, total, low, high = problem
    x = box_simplex_projection(target, total, low, high)
    assert x.sum() == pytest.approx(total, abs=1e-9 * max(1, total))
    assert (x >= low).all()
    assert (x <= high).all()
    np.testing.assert_allclose(x, by_bisection(target, total, low, high), atol=1e-6)


@settings(max_examples=300, deadline=None)
@given(problems())
def test_whole_numbers_have_the_sum_and_stay_within_one_and_the_bounds(problem: tuple) -> None:
    target, total, low, high = problem
    x = box_simplex_projection(target, total, low, high)
    whole = round_to_total(x, total, low, high)
    assert whole.sum() == total
    assert (whole >= low).all()
    assert (whole <= high).all()
    assert (np.abs(whole - x) < 1 + 1e-6).all()


def test_targets_within_bounds_and_of_the_right_sum_stay() -> None:
    target = np.array([3.5, 10.25, 6.25])
    np.testing.assert_array_equal(box_simplex_projection(target, 20.0, 1, 50), target)


def test_among_what_is_not_at_a_bound_the_shift_is_one() -> None:
    rng = np.random.default_rng(0)
    high = rng.integers(5, 60, 30)
    target = rng.random(30) * 80
    x = box_simplex_projection(target, 500, 1, high)
    free = (x > 1 + 1e-9) & (x < high - 1e-9)
    assert free.sum() > 3
    assert np.ptp((x - target)[free]) < 1e-9


def test_a_case_by_hand() -> None:
    wanted = np.array([73.142, 80.835, 98.732, 147.291])
    x = box_simplex_projection(wanted, 400, 1, SIZES)
    np.testing.assert_allclose(x, [89.386, 97.079, 50, 163.535], atol=6e-4)
    assert round_to_total(x, 400, 1, SIZES).tolist() == [89, 97, 50, 164]


def test_of_equal_remainders_the_first_is_rounded_up() -> None:
    assert round_to_total([1.5, 1.5, 1.5, 1.5], 6, 0, 9).tolist() == [2, 2, 1, 1]


def test_a_large_problem_is_quick_and_exact() -> None:
    rng = np.random.default_rng(1)
    high = rng.integers(1, 10_000, 200_000)
    x = box_simplex_projection(rng.random(200_000) * 9_000, int(high.sum()) // 3, 1, high)
    assert x.sum() == pytest.approx(int(high.sum()) // 3, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (([1.0, 2.0], 9.0, 0, [3, 4]), "total must lie between the sums of lower and upper, 0 and 7"),
        (([1.0, 2.0], 1.0, 1, [3, 4]), "2 and 7; got 1"),
        (([1.0, 2.0], 3.0, [0, 5], [3, 4]), "lower must not exceed upper; at 1"),
        (([1.0, np.nan], 3.0, 0, 4), "finite"),
        (([], 0.0, 0, 4), "shape"),
    ],
)
def test_what_has_no_answer_is_refused(arguments: tuple, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        box_simplex_projection(*arguments)


def test_no_whole_numbers_of_that_sum_is_refused() -> None:
    with pytest.raises(ValueError, match="0 and 4; got 9"):
        round_to_total([2.0, 2.0], 9, 0, 2)
