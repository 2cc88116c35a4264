"""Grades of matches: accuracy, corner error and its area, and the drive that asks about pairs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2", reason="RANSAC needs OpenCV")

from unseen.data.homographies import apply, correspondences, moved_corners
from unseen.data.tasks.base import objects
from unseen.evaluation.tasks import grades_of
from unseen.evaluation.tasks.matches import corner_error, error_auc, homography_of, right

MATRIX = moved_corners(np.random.default_rng(2), 64, 48, 0.15)


def test_the_corner_error_of_the_true_homography_is_zero() -> None:
    assert corner_error(MATRIX, MATRIX * 3, 64, 48) == pytest.approx(0, abs=1e-9)


def test_the_corner_error_is_the_mean_distance_of_corners_in_one_order() -> None:
    moved = np.array([[1, 0, 3], [0, 1, 4], [0, 0, 1.0]])
    assert corner_error(np.eye(3), moved, 64, 48) == pytest.approx(5)
    flipped = np.array([[-1, 0, 63], [0, 1, 0], [0, 0, 1.0]])
    assert corner_error(np.eye(3), flipped, 64, 48) == pytest.approx(63)  # as a set they would be the same corners


def test_a_homography_that_was_not_found_is_an_infinite_error() -> None:
    assert corner_error(MATRIX, None, 64, 48) == float("inf")


def test_the_area_under_errors_is_that_of_the_published_list() -> None:
    errors = [4.3644, 3.2340, 4.4359, 1.3157, 2.9037, 2.9106, 3.6509, 0.0317, 1.8696, 3.6857]
    np.testing.assert_allclose(error_auc(errors, (1, 3, 5)), [0.098415, 0.247467, 0.476315], atol=1e-6)


def test_failures_count_in_the_area() -> None:
    assert error_auc([0.0, np.inf], (5,))[0] == pytest.approx(0.5)
    assert error_auc([np.inf], (5,)) == [0.0]
    with pytest.raises(ValueError, match="errors must hold"):
        error_auc([])


def _points(n: int, seed: int = 0) -> np.ndarray:
    first = np.random.default_rng(seed).uniform([2, 2], [60, 44], (n, 2))
    return np.column_stack([first, apply(MATRIX, first)])


def test_right_matches_have_full_marks_and_wrong_ones_none() -> None:
    truth = objects([correspondences(MATRIX, 64, 48)] * 2)
    good, bad = _points(60), np.random.default_rng(1).uniform(0, 48, (60, 4))
    figures = grades_of("matches").grade(truth, objects([good, good]), None)
    assert figures["accuracy@1"] == 1
    assert figures["auc@3"] > 0.99
    assert figures["matches"] == 60
    figures = grades_of("matches").grade(truth, objects([good, bad]), None)
    assert figures["accuracy@5"] < 0.6
    assert figures["auc@10"] == pytest.approx(0.5, abs=0.02)
    each = grades_of("matches").each(truth, objects([good, np.zeros((0, 4))]), None)
    assert each[0] > 0.99
    assert each[1] == 0


def test_matches_off_by_two_pixels_are_right_within_three_not_one() -> None:
    rows = correspondences(MATRIX, 64, 48)
    off = _points(20) + [0, 0, 2, 0]
    figures = grades_of("matches").grade(objects([rows]), objects([off]), None)
    assert (figures["accuracy@1"], figures["accuracy@3"]) == (0, 1)
    assert right(rows, off, 3).all()
    assert not right(rows, off, 1).any()


def test_truth_of_a_scene_with_depth_grades_accuracy_near_its_points_alone() -> None:
    first = np.stack(np.meshgrid(np.arange(4, 60, 4.0), np.arange(4, 44, 4.0)), axis=-1).reshape(-1, 2)
    rows = np.column_stack([first, first - [[1, 0]] * np.random.default_rng(0).uniform(0, 20, (len(first), 1))])
    assert homography_of(rows) is None
    figures = grades_of("matches").grade(objects([rows]), objects([rows[::3]]), None)
    assert figures["accuracy@1"] == 1
    assert np.isnan(figures["auc@5"])


def test_unknown_truth_does_not_count_and_lengths_must_agree() -> None:
    grades, rows = grades_of("matches"), correspondences(MATRIX, 64, 48)
    figures = grades.grade(objects([None, rows]), objects([np.zeros((0, 4)), _points(30)]), None)
    assert figures["accuracy@1"] == 1
    with pytest.raises(ValueError, match="known of none"):
        grades.grade(objects([None]), objects([_points(3)]), None)
    with pytest.raises(ValueError, match="equal length"):
        grades.each(objects([rows]), objects([]), None)
