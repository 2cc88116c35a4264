"""The types of hyperparameters."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Seed, Unit, Within, check


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, (0, -3), (1.0, True, "1", None, np.int64(1))),
        (float, (1, 1.5, -2), (True, "1", None, 1j)),
        (str, ("", "a"), (1, None)),
        (bool, (True, False), (0, 1, None)),
        (Unit, (0, 1, 0.5), (-0.1, 1.1, math.nan)),
        (Positive, (1e-9, 3), (0, -1, math.inf)),
        (NonNegative, (0, 2.5), (-1e-9,)),
        (Count, (1, 7), (0, 1.5, True)),
        (Natural, (0, 7), (-1,)),
        (Seed, (0, 2**32 - 1), (-1, 2**32)),
        (Literal["a", 2], ("a", 2), ("b", 2.0, None)),
        (Literal[1, 2], (1,), (True, "1")),
        (Count | None, (None, 3), (0, "a")),
        (tuple[int, ...], ((), (1, 2)), ([1], (1, "a"), 1)),
        (tuple[int, str], ((1, "a"),), ((1,), ("a", 1))),
        (tuple[Unit, ...], ((0.5,),), ((2.0,),)),
        (Annotated[int, Within(2, 5, open_high=True)], (2, 4), (1, 5)),
    ],
    ids=str,
)
def test_values_are_taken_or_refused(hint: Any, good: tuple[Any, ...], bad: tuple[Any, ...]) -> None:
    for value in good:
        check("it", value, hint)
    for value in bad:
        with pytest.raises((ValueError, TypeError), match=r"^it must be .*; got"):
            check("it", value, hint)


def test_a_wrong_type_is_a_type_error_and_a_wrong_value_a_value_error() -> None:
    with pytest.raises(TypeError, match="rho must be a number; got 'a'"):
        check("rho", "a", Unit)
    with pytest.raises(ValueError, match=r"rho must be in \[0, 1\]; got 2"):
        check("rho", 2, Unit)
    with pytest.raises(ValueError, match=r"lr must be in \(0, inf\]; got 0"):
        check("lr", 0, Positive)
    with pytest.raises(ValueError, match="mode must be one of 'a', 'b'; got 'c'"):
        check("mode", "c", Literal["a", "b"])


@pytest.mark.parametrize("hint", [list[int], dict, np.ndarray, object])
def test_what_is_no_plain_value_can_be_no_hyperparameter(hint: Any) -> None:
    with pytest.raises(TypeError, match="a hyperparameter is an int, float, str, bool, None or a tuple"):
        check("it", 1, hint)


@given(st.floats(), st.floats(-5, 5), st.floats(-5, 5), st.booleans(), st.booleans())
def test_a_range_holds_what_lies_in_it(value: float, low: float, high: float, a: bool, b: bool) -> None:
    inside = (low < value if a else low <= value) and (value < high if b else value <= high)
    assert Within(low, high, a, b).holds(value) == inside
