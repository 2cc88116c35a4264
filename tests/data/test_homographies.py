"""Homographies: points, pictures, and matrices of others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cv2", reason="warping needs OpenCV")

from unseen.data.homographies import (
    apply,
    corners,
    correspondences,
    from_one_based,
    generator_of,
    middle,
    moved_corners,
    sampled,
    through,
    warped,
)


def test_the_homography_through_four_points_is_found_again() -> None:
    matrix = np.array([[1.1, 0.1, 5], [-0.05, 0.9, -3], [1e-4, -2e-4, 1]])
    points = corners(64, 48)
    np.testing.assert_allclose(through(points, apply(matrix, points)), matrix, atol=1e-8)


@given(st.integers(0, 1000))
def test_corners_move_by_at_most_the_noise(seed: int) -> None:
    matrix = moved_corners(np.random.default_rng(seed), 60, 40, 0.15)
    assert np.abs(apply(matrix, corners(60, 40)) - corners(60, 40)).max() <= 0.15 * 40 + 1e-6


def test_a_warped_picture_shows_a_point_where_the_homography_takes_it() -> None:
    picture = np.zeros((60, 80, 3), dtype=np.uint8)
    picture[19:22, 29:32] = 255
    matrix = moved_corners(np.random.default_rng(3), 80, 60, 0.1)
    y, x = (float(np.average(axis, weights=warped(picture, matrix, 80, 60)[..., 0])) for axis in np.mgrid[:60, :80])
    np.testing.assert_allclose([x, y], apply(matrix, np.array([[30.0, 20.0]]))[0], atol=0.5)


def test_correspondences_begin_with_the_corners_and_stay_those_of_the_homography() -> None:
    matrix = moved_corners(np.random.default_rng(0), 64, 48, 0.1)
    rows = correspondences(matrix, 64, 48)
    np.testing.assert_allclose(rows[:4, :2], corners(64, 48))
    np.testing.assert_allclose(rows[:, 2:], apply(matrix, rows[:, :2]))


def test_a_matlab_matrix_maps_landmarks_that_count_from_one() -> None:
    ours = np.array([[0.9, -0.1, 4], [0.2, 1.1, -2], [1e-4, 2e-4, 1]])
    first = np.array([[3.0, 5.0], [20, 9], [40, 33]])
    shift = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1.0]])
    stored = (shift @ ours @ np.linalg.inv(shift)).T * 7  # one-based, transposed, of any scale
    np.testing.assert_allclose(apply(from_one_based(stored), first), apply(ours, first), atol=1e-9)
    lifted = np.column_stack([first + 1, np.ones(3)]) @ stored  # rows times the transposed: as Matlab maps landmarks
    np.testing.assert_allclose(lifted[:, :2] / lifted[:, 2:] - 1, apply(ours, first), atol=1e-9)


def test_sampled_homographies_belong_to_a_file_name_and_turn_by_the_steps() -> None:
    one, other = (sampled(generator_of("a.png"), 64, 48) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert not np.allclose(one, sampled(generator_of("b.png"), 64, 48))
    still = sampled(generator_of("a.png"), 64, 48, perspective=0, scaling=0, rotations=0, translation=0)
    np.testing.assert_allclose(still, np.eye(3), atol=1e-9)
    turns = {
        round(float(np.degrees(np.arctan2(m[1, 0], m[0, 0]))), 2)
        for m in (
            sampled(np.random.default_rng(k), 64, 64, perspective=0, scaling=0, translation=0) for k in range(100)
        )
    }
    assert turns <= set(np.round(np.linspace(-90, 90, 25), 2).tolist())
    assert len(turns) > 15


def test_too_few_points_are_named() -> None:
    with pytest.raises(ValueError, match="four points or more"):
        through(np.zeros((3, 2)), np.zeros((3, 2)))


def test_a_point_behind_the_picture_is_nowhere() -> None:
    assert np.isinf(apply(np.array([[1, 0, 0], [0, 1, 0], [-0.1, 0, 1.0]]), np.array([[20.0, 0]]))).all()


@pytest.mark.parametrize(("shape", "edges"), [((20, 80), (30, 49)), ((80, 20), (0, 19))])
def test_the_middle_of_a_picture_is_as_large_as_it_fits(shape: tuple[int, int], edges: tuple[int, int]) -> None:
    """The red of a pixel is its column; of a wide picture the sides are cut, of a tall one top and bottom."""
    picture = np.zeros((*shape, 3), np.uint8)
    picture[..., 0] = np.arange(shape[1])
    made = middle(picture, 40, 40)
    assert made.shape == (40, 40, 3)
    assert (made[0, 0, 0], made[0, -1, 0]) == edges
