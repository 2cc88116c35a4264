"""Forecasts without learning."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.data.naive import filled, last_value, season_of, seasonal_naive


def test_the_last_season_is_said_again() -> None:
    past = np.arange(10.0)[None, :, None]
    assert seasonal_naive(past, 7, 3)[0, :, 0].tolist() == [7, 8, 9, 7, 8, 9, 7]
    assert last_value(past, 3)[0, :, 0].tolist() == [9, 9, 9]


def test_a_missing_point_is_that_of_a_season_before() -> None:
    past = np.array([1, 2, 3, 4, np.nan, 6.0])[None, :, None]
    assert seasonal_naive(past, 3, 3)[0, :, 0].tolist() == [4, 2, 6]
    assert last_value(np.array([1, np.nan])[None, :, None], 2)[0, :, 0].tolist() == [1, 1]


def test_missing_values_are_filled_from_before_and_at_the_start_from_after() -> None:
    assert filled(np.array([np.nan, 2, np.nan, 5])[None, :, None])[0, :, 0].tolist() == [2, 2, 2, 5]


@pytest.mark.parametrize(
    ("period", "points"),
    [(3600, 24), (1800, 48), (900, 96), (86400, 7), (604800, 52), (30.4375 * 86400, 12), (14400, 6)],
)
def test_the_usual_season(period: float, points: int) -> None:
    assert season_of(period) == points


def test_there_is_none_where_nobody_knows() -> None:
    assert season_of(float("nan")) == 1
    assert season_of(365.25 * 86400) == 1
