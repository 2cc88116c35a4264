"""Class-wise validation by hand."""

import numpy as np
import pytest

from unseen.data.classes import ClassSpace
from unseen.data.compositions import compositions, primitives
from unseen.validation import classwise_validation, pretended


def test_the_share_that_plays_unseen_is_that_of_the_real_problem_and_the_rest_comes_first():
    classes = ClassSpace(names=[f"c{i}" for i in range(20)], embeddings=np.eye(20), seen=np.arange(15))
    space, order = pretended(classes, seed=3)
    assert len(space.unseen) == round(15 * 5 / 20)
    assert set(order) == set(range(15))
    assert space.names == tuple(classes.names[i] for i in order)
    assert space.seen.tolist() == list(range(11))
    np.testing.assert_array_equal(space.embeddings, classes.embeddings[order])


@pytest.mark.parametrize(("n", "unseen", "held"), [(4, 1, 2), (8, 100, 4), (5, 1, 2)])
def test_two_classes_go_at_least_and_half_at_most(n, unseen, held):
    classes = ClassSpace(names=[f"c{i}" for i in range(n + unseen)], seen=np.arange(n))
    assert len(pretended(classes, seed=0)[0].unseen) == held


def test_other_seeds_hold_out_other_classes():
    classes = ClassSpace(names=[f"c{i}" for i in range(30)], seen=np.arange(24))
    assert {tuple(pretended(classes, seed)[1]) for seed in range(5)}.__len__() == 5


def test_three_classes_are_too_few():
    with pytest.raises(ValueError, match="at least 4 seen"):
        pretended(ClassSpace(names="abcd", seen=[0, 1, 2]), seed=0)


def test_h_and_held_out_accuracy_by_hand():
    truth, prediction = np.array([0, 0, 0, 1, 2, 2, 3]), np.array([0, 0, 1, 1, 2, 0, 0])
    h, u = classwise_validation(truth, prediction, seen=np.array([0, 1]))
    s = (2 / 3 + 1) / 2
    assert u == pytest.approx(0.25)
    assert h == pytest.approx(2 * s * 0.25 / (s + 0.25))
    with pytest.raises(ValueError, match="both kinds"):
        classwise_validation(truth, prediction, seen=np.arange(4))


@pytest.mark.parametrize("seed", range(8))
def test_every_word_of_compositions_stays_in_a_class_that_stays(seed):
    pairs = [(a, o) for a in "abc" for o in "xyz"]
    classes = compositions(pairs, seen=[0, 1, 2, 3, 4, 6, 8])
    space, order = pretended(classes, seed)
    whole, kept = primitives(classes.take(classes.seen)), primitives(space.take(space.seen))
    assert (set(kept.attributes), set(kept.objects)) == (set(whole.attributes), set(whole.objects))
    assert len(space.unseen) >= 1
    assert sorted(order) == classes.seen.tolist()
