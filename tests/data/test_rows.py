"""Rows of unit length: the same bits wherever they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.data.rows import finite_rows, unit_rows


def test_rows_have_length_one_and_zeros_stay() -> None:
    rows = np.array([[3, 4], [0, 0], [-0.5, 0], [1e-20, 0]])
    found = unit_rows(rows)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([[0.6, 0.8], [0, 0], [-1, 0], [1e-8, 0]], np.float32))
    np.testing.assert_array_equal(unit_rows(rows[0]), found[0])
    assert unit_rows(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_bits_are_those_of_the_formula_in_float32(dtype: type) -> None:
    """What each of the rooms wrote by hand before: division by the length of float32 rows, at least 1e-12."""
    rows = np.random.default_rng(0).normal(size=(50, 64)).astype(dtype)
    rows[7] = 0
    wide = rows.astype(np.float32)
    expected = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    np.testing.assert_array_equal(unit_rows(rows), expected)
    np.testing.assert_array_equal(unit_rows(finite_rows(rows, "rows")), expected)


def test_the_given_rows_are_not_changed() -> None:
    rows = np.full((2, 2), 2, np.float32)
    unit_rows(rows)
    np.testing.assert_array_equal(rows, 2)


@pytest.mark.parametrize("wrong", [np.zeros(3), np.array([[np.nan, 0]]), np.array([[np.inf, 0]])])
def test_what_is_no_finite_table_is_named(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"heights must be a finite array of shape \(n, d\); got shape"):
        finite_rows(wrong, "heights")
