"""MTIL's figures by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.evaluation.metrics.continual import average, forgetting, last, stream_scores, transfer

A = np.array([[50.0, 60, 70], [48, 80, 65], [45, 78, 90]])


def test_the_example_of_three_tasks() -> None:
    assert transfer(A) == pytest.approx(63.75)  # (60 + (70 + 65) / 2) / 2
    assert average(A) == pytest.approx(65.111, abs=1e-3)
    assert last(A) == pytest.approx(71.0)
    assert forgetting(A) == pytest.approx((5 + 2) / 2)
    assert set(stream_scores(A)) == {"transfer", "average", "last", "forgetting"}


def test_a_model_that_does_not_change_has_average_equal_to_last_and_the_later_columns_as_transfer() -> None:
    row = np.array([10.0, 40, 70, 20])
    a = np.tile(row, (4, 1))
    assert average(a) == pytest.approx(last(a)) == pytest.approx(row.mean())
    assert transfer(a) == pytest.approx(row[1:].mean())
    assert forgetting(a) == 0


def test_another_order_of_tasks_permutes_rows_and_columns() -> None:
    order = [2, 0, 1]
    b = A[np.ix_(order, order)]
    assert average(b) == pytest.approx(average(A))
    assert transfer(b) == pytest.approx(np.mean([b[0, 1], b[:2, 2].mean()]))


def test_what_follows_a_task_does_not_change_the_transfer_of_it() -> None:
    b = A.copy()
    b[2] += 1  # nobody is still to be learnt in the last stage
    assert transfer(b) == transfer(A)


@pytest.mark.parametrize("bad", [np.ones((2, 3)), np.ones(3), np.ones((0, 0))])
def test_a_matrix_that_is_not_square_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a row and a column for each task"):
        average(bad)


def test_one_task_has_no_transfer() -> None:
    with pytest.raises(ValueError, match="two tasks"):
        transfer(np.ones((1, 1)))
