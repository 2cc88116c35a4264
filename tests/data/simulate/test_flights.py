"""Flights: what is said of two frames is what is seen in them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2", reason="frames are warped by OpenCV")

from unseen.data.homographies import apply
from unseen.data.simulate.flights import NOTHING, Way, flight
from unseen.evaluation.tasks.matches import homography_of
from unseen.nn.two_view import Pose, pose_error, relative_pose

CLEAR = Way(roll=15, lean=8, near=0.8, far=1.2, drift=0.5, dusk=0, haze=0, noise=0)


def ground(height: int = 200, width: int = 250) -> np.ndarray:
    """A picture whose colour tells the place: red is x, green is y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, 0 * x], axis=2).astype(np.uint8)


def test_points_of_a_frame_show_the_same_place_where_the_truth_says_in_the_other() -> None:
    video = flight(ground(), frames=10, size=(120, 90), way=CLEAR, seed=1)
    for a, b in ((0, 1), (2, 7), (9, 0)):
        rows = video.truth(a, b)[4:]
        assert len(rows) > 20
        x, y, u, v = np.rint(rows).astype(int).T
        np.testing.assert_allclose(video.frame(a)[y, x].astype(int), video.frame(b)[v, u].astype(int), atol=4)


def test_without_layers_the_truth_is_one_homography() -> None:
    video = flight(ground(), frames=10, size=(120, 90), way=CLEAR)
    matrix = homography_of(video.truth(0, 6))
    assert matrix is not None
    points = np.array([[5.0, 7], [100, 80], [60, 33]])
    np.testing.assert_allclose(apply(matrix, points), apply(video.homography(0, 6), points), atol=1e-6)


def test_planes_at_several_heights_share_the_pose_and_no_homography() -> None:
    texture = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    way = Way(roll=20, lean=20, near=1.0, far=1.3, dusk=0, haze=0, noise=0)
    video = flight(texture, frames=20, layers=12, size=(160, 120), way=way, seed=3)
    rows = video.truth(2, 12, 2)
    assert len(np.unique(video.map(2))) > 2
    assert homography_of(np.concatenate([rows[::7], rows[1::7]])) is None or len(rows) < 4
    found = relative_pose(rows, video.intrinsics, video.intrinsics)
    assert pose_error(Pose(*video.pose(2, 12)), found).worst < 1.5


def test_what_is_covered_in_the_other_frame_is_no_match() -> None:
    texture = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    video = flight(texture, frames=20, layers=8, size=(160, 120), way=CLEAR, seed=2)
    rows = video.truth(0, 15, 3)
    x, y, u, v = np.rint(rows).astype(int).T
    np.testing.assert_array_equal(video.map(0)[y, x], video.map(15)[v, u])


def test_matches_are_off_by_what_they_miss_the_truth() -> None:
    texture = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    video = flight(texture, frames=20, layers=8, size=(160, 120), way=CLEAR, seed=2)
    rows = video.truth(0, 15, 3)
    np.testing.assert_allclose(video.off(0, 15, rows), 0, atol=1e-6)
    np.testing.assert_allclose(video.off(0, 15, rows + [0, 0, 3, 4]), 5, atol=1e-6)


def test_light_changes_frames_and_not_the_truth() -> None:
    clear, dim = (
        flight(ground(), frames=8, size=(120, 90), seed=5, way=way) for way in (CLEAR, Way(15, 8, 0.8, 1.2, 0.5))
    )
    np.testing.assert_array_equal(clear.truth(0, 5), dim.truth(0, 5))
    assert min(dim.frame(t).mean() for t in range(8)) < 0.8 * min(clear.frame(t).mean() for t in range(8))


def test_the_same_seed_gives_the_same_flight_and_another_one_another() -> None:
    one, same, other = (flight(ground(), frames=4, size=(120, 90), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.frame(2), same.frame(2))
    assert not np.array_equal(one.frame(2), other.frame(2))


def test_frames_are_a_domain_in_their_order() -> None:
    video = flight(ground(), frames=4, size=(120, 90))
    domain = video.domain("over there")
    assert domain.columns["frame"].tolist() == [0, 1, 2, 3]
    assert set(domain.columns["video"]) == {"over there"}
    np.testing.assert_array_equal(domain.x[3], video.frame(3))
    assert 0 < video.overlap(0, 1) <= 1
    assert (video.map(0) != NOTHING).all()


@pytest.mark.parametrize(("settings", "told"), [({"frames": 1}, "frames must be"), ({"layers": -1}, "layers must not")])
def test_what_cannot_be_flown_is_named(settings: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        flight(ground(), **settings)
