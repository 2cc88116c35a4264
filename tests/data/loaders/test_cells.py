"""Columns of numbers, and what others hold."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from unseen.data.loaders.cells import column_of, side_by_side


def test_a_few_cells_that_are_no_numbers_leave_a_column_of_numbers():
    found = column_of(pd.Series([*map(str, range(19)), "?"]))
    assert found.values[:3].tolist() == [0, 1, 2]
    assert np.isnan(found.values[19])
    assert found.odd == {19: "?"}
    assert found.note("Breite") == "Breite: 1 of 20 cells is no number: '?'"


def test_marks_of_a_missing_number_do_not_count_against_a_column():
    found = column_of(pd.Series(["1", "?", "-", "n/a", None, "2", "3"]))
    assert np.isnan(found.values).tolist() == [False, True, True, True, True, False, False]
    assert found.note("a") == "a: 3 of 7 cells are no numbers, such as '?'"
    assert column_of(pd.Series(["1", "?", "-", "n/a", "?"])).why == "mostly missing"


def test_a_column_of_which_too_few_are_numbers_is_not_used_and_why():
    assert column_of(pd.Series(["1", "2", "3", "x"])).why == "1 of 4 cells is no number: 'x'"
    assert column_of(pd.Series(["1", "2", "x", "z", "?"])).why == "2 of 4 cells are no numbers, such as 'x'"
    assert column_of(pd.Series(["1", "x", "y"])).why == "text"
    assert column_of(pd.Series(["?", "-"])).why == "text"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (pd.Series(pd.to_datetime(["2024-01-02"])), "date"),
        (pd.Series(["2024-01-02", "2024-01-03"]), "date"),
        (pd.Series(["02.01.2024"]), "date"),
        (pd.Series([datetime.date(2024, 1, 2)]), "date"),
        (pd.Series(pd.to_timedelta([1], unit="s")), "duration"),
        (pd.Series([np.nan, np.nan]), "empty"),
        (pd.Series([None, None]), "empty"),
        (pd.Series([[1, 2], [3, 4]]), "no single numbers"),
        (pd.Series([1 + 2j]), "no numbers"),
    ],
)
def test_what_is_no_column_of_numbers_is_told(values, why):
    found = column_of(values)
    assert found.values is None
    assert found.why == why


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, 2], dtype="Int64"),
        pd.Series([Decimal(1), Decimal(2)]),
        pd.Series([1, "2"]),
        pd.Series([1.0, 2.0], dtype="float32"),
    ],
)
def test_numbers_of_other_types_are_numbers(values):
    assert column_of(values).values.astype(float).tolist() == [1, 2]


def test_decimal_commas_are_read_where_the_file_has_them():
    assert column_of(pd.Series(["1,5", "2.000,25", "?"]), ",").values[:2].tolist() == [1.5, 2000.25]
    assert column_of(pd.Series(["1,5", "2,5"])).values is None


def test_true_and_false_are_one_and_nothing():
    assert column_of(pd.Series([True, False])).values.tolist() == [1, 0]
    np.testing.assert_array_equal(column_of(pd.Series([True, None, False])).values, [1, np.nan, 0])
    assert column_of(pd.Series([True, "maybe"])).values is None


@pytest.mark.parametrize("kept", [list, tuple, np.array])
def test_rows_of_numbers_become_columns(kept):
    frame = pd.DataFrame({"a": [1, 2, 3], "e": [kept([1.0, 2.0]), kept([3.0, 4.0]), None], "y": [kept([1])] * 3})
    wide = side_by_side(frame, but=("y",))
    assert list(wide.columns) == ["a", "e[0]", "e[1]", "y"]
    np.testing.assert_array_equal(wide[["e[0]", "e[1]"]], [[1, 2], [3, 4], [np.nan, np.nan]])
    assert list(side_by_side(pd.DataFrame({"tags": [["x"], ["y", "z"]], "a": [1, 2]})).columns) == ["tags", "a"]


def test_rows_of_unlike_numbers_are_refused_by_their_column():
    with pytest.raises(ValueError, match="column 'e' holds rows of 1 to 2 numbers; features must be as many"):
        side_by_side(pd.DataFrame({"e": [[1.0, 2.0], [3.0]]}))
