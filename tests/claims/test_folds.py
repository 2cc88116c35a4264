"""Folds of drawings: who is learnt from, who tests, and prototypes of classes without a drawing."""

import numpy as np

from unseen.claims.base import seeds
from unseen.claims.folds import fold_of, near, ridge_prototypes, roles
from unseen.data.classes import ClassSpace

CLASSES = ClassSpace(names=tuple("abcdef"), seen=np.array([0, 2, 3, 5]))


def test_of_every_seen_class_one_vendors_drawing_is_for_the_test() -> None:
    learn, known, new = (mask.reshape(4, 6) for mask in roles(4, CLASSES, np.random.default_rng(0)))
    assert (learn.sum(axis=0) == [3, 0, 3, 3, 0, 3]).all()
    assert (known.sum(axis=0) == [1, 0, 1, 1, 0, 1]).all()
    assert (new.sum(axis=0) == [0, 4, 0, 0, 4, 0]).all()
    assert len({int(row) for row in known.argmax(axis=0)[CLASSES.seen]}) > 1, "another one from class to class"


def test_components_are_those_of_what_is_learnt_from() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 6, 5)).astype(np.float32)
    fold = fold_of(x, CLASSES, np.random.default_rng(1), 2)
    assert [len(part) for part in fold[:3]] == [8, 4, 6]
    np.testing.assert_allclose(fold.source.x.mean(axis=0), 0, atol=1e-5)
    x[:, [1, 4]] += 7
    moved = fold_of(x, CLASSES, np.random.default_rng(1), 2)
    np.testing.assert_array_equal(moved.source.x, fold.source.x)
    assert fold.tests.labels.tolist() == [*fold.seen.labels, *fold.unseen.labels]


def test_a_linear_map_from_vectors_to_means_is_found() -> None:
    told = np.array([[0.0, 1], [1, 0], [1, 1], [2, 1]])
    x = told @ np.array([[1.0, 2, 0], [0, 1, 3]]) + 1
    seen = np.array([0, 1, 2])
    found = ridge_prototypes(x[seen], seen, told, seen, 1e-9)
    np.testing.assert_allclose(found, x, atol=1e-6)
    assert near(x, found, np.zeros(3)).argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_seeds_of_both_splits() -> None:
    assert seeds(2, 1, first=200) == {"seeds": (0, 1), "fresh_seeds": (200,)}
    assert seeds(3) == {"seeds": (0, 1, 2), "fresh_seeds": (100, 101, 102)}
