"""ZEB: errors of poses, areas, means and ranks; the published table is recomputed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("cv2", reason="poses are found by OpenCV")

from unseen.data.homographies import correspondences, moved_corners
from unseen.evaluation.tasks.matches import error_auc
from unseen.evaluation.zeb import DEGREES, PIXELS, Cameras, KnownPair, Plane, areas, summary, zeb_evaluate
from unseen.nn.two_view import FAILED, Pose, pose_error, relative_pose

PUBLISHED = """
method              mean GL3  BLE  ETI  ETO  KIT  WEA  SEA  NIG  MUL  SCE  ICL  GTA
RootSIFT            31.8 43.5 33.6 49.9 48.7 35.2 21.4 44.1 14.7 33.4  7.6 14.8 35.1
SuperGlue-in        21.6 19.2 16.0 38.2 37.7 22.0 20.8 40.8 13.7 21.4  0.8  9.6 18.8
SuperGlue-out       31.2 29.7 24.2 52.3 59.3 28.0 28.4 48.0 20.9 33.4  4.5 16.6 29.3
GIM_SuperGlue-50h   34.3 43.2 34.2 58.7 61.0 29.0 28.3 48.4 18.8 34.8  2.8 15.4 36.5
LightGlue           31.7 28.9 23.9 51.6 56.3 32.1 29.5 48.9 22.2 37.4  3.0 16.2 30.4
GIM_LightGlue-100h  38.3 46.6 38.1 61.7 62.9 34.9 31.2 50.6 22.6 41.8  6.9 19.0 43.4
LoFTR-in            10.7  5.6  5.1 11.8  7.5 17.2  6.4  9.7  3.5 22.4  1.3 14.9 23.4
LoFTR-out           33.1 29.3 22.5 51.1 60.1 36.1 29.7 48.6 19.4 37.0 13.1 20.5 30.3
GIM_LoFTR-50h       39.1 50.6 43.9 62.6 61.6 35.9 26.8 47.5 17.6 41.4 10.2 25.6 45.0
DKM-in              46.2 44.4 37.0 65.7 73.3 40.2 32.8 51.0 23.1 54.7 33.0 43.6 55.7
DKM-out             45.8 45.7 37.0 66.8 75.8 41.7 33.5 51.4 22.9 56.3 27.3 37.8 52.9
GIM_DKM-50h         49.4 58.3 47.8 72.7 74.5 42.1 34.6 52.0 25.1 53.7 32.3 38.8 60.6
GIM_DKM-100h        51.2 63.3 53.0 73.9 76.7 43.4 34.6 52.5 24.5 56.6 32.2 42.5 61.6
RoMa-in             46.7 46.0 39.3 68.8 77.2 36.5 31.1 50.4 20.8 57.8 33.8 41.7 57.6
RoMa-out            48.8 48.3 40.6 73.6 79.8 39.9 34.4 51.4 24.2 59.9 33.7 41.3 59.2
GIM_RoMa            53.3 61.8 53.8 76.7 82.7 43.2 36.7 53.2 26.6 60.7 33.8 45.4 64.3
"""
"""AUC at 5 degrees in percent, as the authors' repository has it (xuelunshen/gim, MIT)."""


def published() -> pd.DataFrame:
    return pd.read_csv(io.StringIO(PUBLISHED), sep=r"\s+").set_index("method")


def test_the_means_of_the_published_table_are_recomputed() -> None:
    table = published()
    found = summary(table.drop(columns="mean"))
    np.testing.assert_allclose(found["mean"], table["mean"], atol=0.06)  # of figures that were rounded


def test_the_mean_ranks_of_the_published_table_are_those_of_a_plain_count() -> None:
    table = published().drop(columns="mean")
    plain = []
    for _, row in table.iterrows():
        places = [
            1 + sum(other > value for other in table[name]) + (sum(other == value for other in table[name]) - 1) / 2
            for name, value in row.items()
        ]
        plain.append(sum(places) / len(places))
    found = summary(table)["mean rank"]
    np.testing.assert_allclose(found, plain)
    assert found.idxmin() == "GIM_RoMa"
    assert found["RootSIFT"] < found["SuperGlue-in"]


@pytest.mark.parametrize(
    ("before", "after", "gain"),
    [
        ("SuperGlue-out", "GIM_SuperGlue-50h", 9.9),
        ("LoFTR-out", "GIM_LoFTR-50h", 18.1),
        ("DKM-out", "GIM_DKM-50h", 7.9),
    ],
)
def test_the_published_gains_of_fifty_hours_follow_from_the_table(before: str, after: str, gain: float) -> None:
    means = summary(published().drop(columns="mean"))["mean"]
    assert 100 * (means[after] / means[before] - 1) == pytest.approx(gain, abs=0.5)


# -- areas -------------------------------------------------------------------------------------------------


def test_the_area_of_the_larger_of_both_errors() -> None:
    turns, ways = [1, 2, 7, 180], [0.5, 3, 1, 180]
    assert error_auc(np.maximum(turns, ways), (5,)) == [pytest.approx(0.375)]


def test_a_pair_that_is_listed_twice_counts_once() -> None:
    rows = [("d", "a", "m", 1.0), ("d", "a", "m", 1.0), ("d", "b", "m", 180.0)]
    errors = pd.DataFrame(rows, columns=["dataset", "pair", "matcher", "error"])
    assert areas(errors).loc["m", "d"] == pytest.approx(error_auc([1.0, 180.0], (5,))[0])


def test_data_sets_count_alike_however_many_pairs_they_have() -> None:
    rows = [("many", str(i), "m", 0.0) for i in range(9)] + [("one", "0", "m", 180.0)]
    errors = pd.DataFrame(rows, columns=["dataset", "pair", "matcher", "error"])
    assert summary(areas(errors)).loc["m", "mean"] == pytest.approx(0.5)


def test_rounding_ranks_no_matcher_before_another() -> None:
    table = pd.DataFrame({"x": [1.0, 1.0 - 1e-14], "y": [0.5, 0.5]}, index=["a", "b"])
    assert summary(table)["mean rank"].tolist() == [1.5, 1.5]


def test_a_matcher_without_a_figure_has_no_mean() -> None:
    table = pd.DataFrame({"x": [0.1, 0.2], "y": [0.3, np.nan]}, index=["a", "b"])
    with pytest.raises(ValueError, match="b has no figure on y"):
        summary(table)


# -- poses -------------------------------------------------------------------------------------------------

CAMERA = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])


def rotation(degrees: float) -> np.ndarray:
    a = np.deg2rad(degrees)
    return np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])


def seen_twice(pose: Pose, n: int = 200) -> np.ndarray:
    """Points in space as both cameras see them."""
    points = np.random.default_rng(0).uniform([-2, -1.5, 4], [2, 1.5, 9], (n, 3))
    sides = [points, points @ pose.rotation.T + pose.translation]
    return np.concatenate([(side @ CAMERA.T)[:, :2] / side[:, 2:] for side in sides], axis=1)


TRUE = Pose(rotation(8), np.array([0.8, 0.1, 0.2]))


def test_the_pose_of_exact_matches_is_found() -> None:
    found = relative_pose(seen_twice(TRUE), CAMERA, CAMERA)
    assert pose_error(TRUE, found).worst < 0.1


def test_wrong_matches_are_outvoted() -> None:
    points = seen_twice(TRUE)
    points[:60, 2:] = np.random.default_rng(1).uniform(0, 300, (60, 2))
    assert pose_error(TRUE, relative_pose(points, CAMERA, CAMERA)).worst < 1


@pytest.mark.parametrize("scale", [1.0, 7.0, -1.0, -0.1])
def test_sign_and_length_of_the_way_do_not_count(scale: float) -> None:
    error = pose_error(TRUE, Pose(TRUE.rotation, scale * TRUE.translation))
    assert error.rotation == pytest.approx(0, abs=1e-3)
    assert error.translation == pytest.approx(0, abs=1e-3)


def test_degrees_are_degrees() -> None:
    found = Pose(rotation(8 + 3), rotation(4) @ TRUE.translation)
    error = pose_error(TRUE, found)
    assert error.rotation == pytest.approx(3, abs=1e-4)
    assert 0 < error.translation <= 4
    assert error.worst == max(error)


def test_a_failure_is_180_degrees() -> None:
    assert pose_error(TRUE, None) == FAILED == (180.0, 180.0)
    assert relative_pose(np.zeros((4, 4)), CAMERA, CAMERA) is None
    assert 0 <= pose_error(TRUE, relative_pose(np.ones((30, 4)), CAMERA, CAMERA)).worst <= 180  # all in one place
    assert Cameras(CAMERA, CAMERA, TRUE).error(np.zeros((0, 4))) == 180
    assert Plane(np.eye(3), 64, 48).error(np.zeros((0, 4))) == np.inf


# -- evaluation --------------------------------------------------------------------------------------------


def pictures() -> Any:
    return np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64, 3), np.uint8)


def test_matchers_are_graded_on_unlike_data_sets() -> None:
    matrix = moved_corners(np.random.default_rng(2), 64, 48, 0.1)
    flat = KnownPair("a", pictures, Plane(matrix, 64, 48))
    posed = KnownPair("a", pictures, Cameras(CAMERA, CAMERA, TRUE))
    asked = {
        "plane": lambda first, second: correspondences(matrix, 64, 48)[4:],
        "space": lambda first, second: seen_twice(TRUE),
        "nothing": lambda first, second: np.zeros((0, 4)),
    }
    errors = zeb_evaluate(asked, {"flat": [flat], "posed": [posed]})
    assert errors.columns.tolist() == ["dataset", "pair", "matcher", "unit", "matches", "error"]
    assert dict(zip(errors.dataset, errors.unit)) == {"flat": PIXELS, "posed": DEGREES}
    table = areas(errors)
    assert table.index.tolist() == ["plane", "space", "nothing"]
    assert table.columns.tolist() == ["flat", "posed"]
    assert table.loc["plane", "flat"] > 0.99
    assert table.loc["space", "posed"] > 0.95
    assert (table.loc["nothing"] == 0).all()
    assert summary(table).loc["nothing", "mean"] == 0


def test_a_data_set_without_pairs_or_with_truth_of_two_kinds_is_named() -> None:
    flat = KnownPair("a", pictures, Plane(np.eye(3), 64, 48))
    posed = KnownPair("b", pictures, Cameras(CAMERA, CAMERA, TRUE))
    with pytest.raises(ValueError, match="empty has no pairs"):
        zeb_evaluate({}, {"empty": []})
    with pytest.raises(ValueError, match="both has pairs with cameras"):
        zeb_evaluate({}, {"both": [flat, posed]})


@pytest.mark.parametrize(
    ("first", "matrix", "told"),
    [
        (np.eye(2), np.eye(4), "K0 must be"),
        (CAMERA, np.eye(3), "T must be"),
        (CAMERA, np.full((3, 4), np.nan), "T must be"),
        (CAMERA, 2 * np.eye(4), "T must begin with a rotation"),
        (CAMERA, np.diag([1.0, 1, -1, 1]), "T must begin with a rotation"),
    ],
)
def test_cameras_that_cannot_be_are_named(first: np.ndarray, matrix: np.ndarray, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Cameras.of(first, CAMERA, matrix)
