"""What is left out of what is known, and what is told of it by the rest."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import unseen
from unseen.validation.rehearsal import folds_of_groups, leave_out, parts, pretend_unseen, told_apart, told_by_others


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


def test_every_class_is_held_out_once_beside_another_one():
    y = np.repeat([1, 4, 5, 7, 9, 11], 3)
    folds = pretend_unseen(y)
    assert len(folds) == 3
    assert sorted(np.concatenate(folds).tolist()) == [1, 4, 5, 7, 9, 11]
    assert pretend_unseen(y[:9]) == []


def test_parts_are_all_items_once_in_an_order_of_their_seed():
    drawn = parts(np.array([3, 8, 9, 11, 20]), 2, seed=4)
    assert [len(part) for part in drawn] == [3, 2]
    assert sorted(np.concatenate(drawn).tolist()) == [3, 8, 9, 11, 20]
    assert np.concatenate(drawn).tolist() == np.random.default_rng(4).permutation([3, 8, 9, 11, 20]).tolist()
    assert np.concatenate(parts(5, 2, seed=4)).tolist() != np.concatenate(parts(5, 2, seed=5)).tolist()


def test_a_group_is_in_one_fold_and_few_groups_are_few_folds():
    group = np.array([0, 2, 1, 2, 0, 3])
    fold = folds_of_groups(group, 3)
    assert len({(int(g), int(f)) for g, f in zip(group, fold)}) == 4
    assert sorted(set(fold.tolist())) == [0, 1, 2]
    assert sorted(set(folds_of_groups(group, 9).tolist())) == [0, 1, 2, 3]


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 30), st.integers(2, 6), st.integers(0, 3))
def test_what_is_told_of_a_sample_stands_at_its_place_and_comes_from_the_others(n, folds, seed):
    asked = []

    def tell(rest, part):
        assert sorted([*rest, *part]) == list(range(n))
        assert (np.diff(rest) > 0).all()
        asked.extend(part.tolist())
        return np.stack([part, np.full(len(part), rest.sum())], axis=1)

    told = told_by_others(n, (part for part in parts(n, min(folds, n), seed)), tell)
    assert told[:, 0].tolist() == sorted(asked) == list(range(n))
    assert (told[:, 1] < n * (n - 1) / 2).sum() >= n - 1  # no rest has all; that of the sample 0 alone sums to all


def test_held_out_classes_are_told_apart_by_the_nearest_of_theirs_and_weigh_alike():
    y = np.array([0, 0, 0, 1, 2, 3, 3, 5, 5])
    corners = torch.eye(6)

    def mapped(learn, out, held):
        assert set(y[out]) == set(held)
        assert not set(y[learn]) & set(held)
        yield corners[y[out]], corners[held]
        yield corners[np.roll(held, 1)][np.searchsorted(held, y[out])], corners[held]
        first = corners[y[out]].clone()
        first[0] = corners[held[-1]]  # one sample of the first held-out class is taken for the last one
        yield first, corners[held]

    found = told_apart(y, mapped)
    folds = pretend_unseen(y)
    assert found.shape == (len(folds), 3)
    assert (found[:, 0] == 1).all()
    assert (found[:, 1] == 0).all()
    counts = [(y == held[0]).sum() for held in folds]
    assert found[:, 2].tolist() == pytest.approx([1 - 1 / n / len(held) for n, held in zip(counts, folds, strict=True)])
    assert told_apart(y[:5], mapped).shape == (0, 0)


def test_folds_are_drawn_here_alone():
    root = Path(unseen.__file__).parent
    again = re.compile(r"array_split\([^\n]*default_rng\(|permutation\([^\n]*\) % ")
    apart = {"rehearsal.py", "held_out.py"}  # the latter divides two domains by one generator
    found = [p for p in root.rglob("*.py") if "claims" not in p.parts and again.search(p.read_text())]
    assert {p.name for p in found} <= apart
