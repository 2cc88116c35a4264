"""Which samples of a support are left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.validation import leave_out


def test_few_labels_are_left_out_one_by_one_but_no_class_loses_its_last():
    y = np.array([0, 0, 1, 2, 2, 2])
    graded = [np.flatnonzero(grade).tolist() for _, grade in leave_out(y)]
    assert graded == [[0], [1], [3], [4], [5]]


def test_many_labels_are_graded_once_per_repeat():
    y = np.repeat(np.arange(7), 6)
    times = sum(grade.astype(int) for _, grade in leave_out(y, folds=5, repeats=2))
    assert (times == 2).all()


def test_without_two_labels_of_a_class_nothing_is_graded():
    assert list(leave_out(np.arange(4))) == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=60))
def test_every_class_keeps_a_sample_and_what_is_graded_is_not_learnt_from(labels):
    y = np.array(labels)
    for learn, grade in leave_out(y):
        assert not (learn & grade).any()
        assert set(y[learn]) == set(y)


def test_folds_must_be_two():
    with pytest.raises(ValueError, match="folds must be at least 2"):
        list(leave_out(np.zeros(30, dtype=int), folds=1))
