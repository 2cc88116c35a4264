"""What the claim of TMV-HLP measures with."""

import numpy as np
import pytest
import torch
from PIL import Image

from unseen.claims.emoji_pools import copy_of, first_of_each, keyword_vectors
from unseen.claims.tmv_hlp import gap, simulated
from unseen.data.domain import Domain, Lazy


def test_the_gap_is_the_way_to_the_own_centre_over_that_to_the_others():
    x, y = torch.tensor([[3.0, 0], [0, 1]]), np.array([0, 1])
    assert gap(x, y, x) == 0
    assert gap(x, y, torch.tensor([[1.0, 1], [1, 1]])) == pytest.approx(1)
    assert gap(x, y, torch.tensor([[1.0, 3], [3, 1]])) > 1


def test_variations_are_other_pictures_with_digests_of_their_own_and_always_the_same():
    picture = Image.new("RGB", (32, 32), (200, 30, 30))
    style = Domain(x=Lazy(range(2), lambda i: picture, lambda i: "same"), kind="image")
    assert copy_of(style, 0) is style
    one, two = copy_of(style, 1), copy_of(style, 2)
    assert len({*one.digests(), *two.digests()}) == 4
    assert np.array_equal(one.x[1], copy_of(style, 1).x[1])
    assert not np.array_equal(one.x[1], two.x[1])


def test_classes_that_share_keywords_lie_nearer():
    v = keyword_vectors(["sea, fish, blue", "sea, fish, animal", "house, wall, red", "house, wall, only"])
    distance = np.linalg.norm(v[:, None] - v, axis=2)
    assert distance[0, 1] < distance[0, 2]
    np.testing.assert_allclose(distance[2, 3], 0, atol=1e-9)  # words of one class alone do not count


def test_as_many_of_each_class_are_drawn_as_asked_for():
    y = np.repeat([3, 5], 4)
    chosen = first_of_each(y, 2, np.random.default_rng(0))
    assert np.bincount(y[chosen]).tolist() == [0, 0, 0, 2, 0, 2]


def test_the_simulation_shifts_unseen_classes_alone():
    (source, pool, classes), (same, moved, _) = simulated(1, False), simulated(1, True)
    np.testing.assert_array_equal(source.x, same.x)
    assert not np.allclose(pool.x, moved.x)
    assert set(pool.labels) == set(classes.unseen)
