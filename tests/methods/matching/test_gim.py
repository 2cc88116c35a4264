"""GIM: what is labelled, how crops keep their labels, and that a few steps learn."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("cv2", reason="robust fits need OpenCV")

import processes
import unseen
from unseen.data.domain import Domain, Lazy
from unseen.data.homographies import apply
from unseen.data.simulate.flights import Way, flight
from unseen.jobs.matching.learning import facts
from unseen.methods.matching.gim import GIM
from unseen.methods.matching.gim import method as gim_module
from unseen.methods.matching.gim.augment import WAYS, dark, mobile
from unseen.methods.matching.gim.method import Labelled, no_labels
from unseen.methods.matching.gim.propagation import FarPair
from unseen.methods.matching.gim.sampling import FramePairs, Strength, mixed, placing, seen, spread, thinned, videos_of
from unseen.methods.matching.minima.sampling import Photographs
from unseen.methods.matching.needs import SIDE, frames, scene, scene_pairs, scenes, small_matcher
from unseen.nn import video_matches
from unseen.nn.matchers import SparseMatcher, dense, matcher, mutual_nearest, sparse_matcher
from unseen.nn.state import digest
from unseen.nn.train import Run
from unseen.nn.video_matches import Kind, Settings, fixed_by, match_video
from unseen.nn.xfeat import xfeat

SRC = Path(__file__).resolve().parents[3] / "src"
SMOKE: dict[str, Any] = dict(GIM.card.smoke)
STILL = Strength((1.0, 1.0), (1.0, 1.0), 0.0, 0.0, "none")
STRONG = Strength((0.6, 1.0), (1.0, 1.4), 0.15, 0.5, "none")


# -- labels of near frames ---------------------------------------------------------------------------------


def sliding(n: int = 9) -> tuple[Any, int]:
    """Frames of a window that slides by 4 pixels each."""
    wide = scene(7, 200)
    return (lambda t: np.ascontiguousarray(wide[:120, 4 * t : 4 * t + 140])), n


def test_each_matcher_gap_and_size_has_labels_of_its_own_and_what_disagrees_is_gone() -> None:
    frame, n = sliding()
    both = {"sift": matcher("sift", points=300), "orb": matcher("orb", points=300)}
    store = match_video(frame, n, both, Settings((1, 2, 4), (1.0, 1.5), "homography", 1.0))
    assert set(store.rows) == {(gap, t) for gap in (1, 2, 4) for t in range(n - gap)}
    assert set(store.rows[1, 0]) == {Kind(name, size) for name in both for size in (1.0, 1.5)}
    for (gap, _), kinds in store.rows.items():
        for rows in kinds.values():
            np.testing.assert_allclose(rows[:, :2] - rows[:, 2:] - [4 * gap, 0], 0, atol=1.5)
    assert store.count() == store.count("sift") + store.count("orb")
    assert len(store.direct(0, 4)) == sum(map(len, store.rows[4, 0].values()))
    assert len(store.direct(0, 3)) == 0
    assert store.fewest(0, 4) <= store.fewest(0, 1)


def test_two_matchers_give_more_labels_than_either() -> None:
    frame, n = sliding()
    settings = Settings((1, 2), (1.0,), "homography", 1.0)
    one, other = (match_video(frame, n, {k: matcher(k, points=300)}, settings).count() for k in ("sift", "orb"))
    both = match_video(frame, n, {k: matcher(k, points=300) for k in ("sift", "orb")}, settings).count()
    assert both == one + other > max(one, other)


def test_labels_lie_only_where_the_mask_lets_them() -> None:
    frame, n = sliding()

    def lower(picture: np.ndarray) -> np.ndarray:
        return np.arange(len(picture))[:, None].repeat(picture.shape[1], axis=1) > 60

    settings, sift = Settings((1, 2), (1.0,), "homography", 1.0), {"sift": matcher("sift")}
    rows = match_video(frame, n, sift, settings, mask=lower).direct(0, 1)
    assert 0 < len(rows) < len(match_video(frame, n, sift, settings).direct(0, 1))
    assert (rows[:, [1, 3]] > 60).all()


def test_what_was_matched_before_a_stop_is_not_matched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, n = sliding()
    settings = Settings((1, 2), (1.0,), "homography", 1.0)
    first = match_video(frame, n, {"orb": matcher("orb")}, settings, keep=tmp_path)
    asked: list[str] = []
    raw = video_matches._raw
    monkeypatch.setattr(video_matches, "_raw", lambda *a: asked.append("asked") or raw(*a))
    again = match_video(frame, n, {"orb": matcher("orb")}, settings, keep=tmp_path)
    assert asked == []
    np.testing.assert_array_equal(first.direct(0, 2), again.direct(0, 2))
    match_video(frame, n, {"orb": matcher("orb")}, Settings((1, 2), (0.5,), "homography", 1.0), keep=tmp_path)
    assert asked == ["asked"]


def test_what_was_matched_is_kept_part_by_part_so_that_a_stop_loses_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, n = sliding()
    settings = Settings((1, 2), (1.0,), "homography", 1.0)
    whole = match_video(frame, n, {"orb": matcher("orb")}, settings)
    monkeypatch.setattr(video_matches, "PART", 4)

    def stopped(t: int) -> np.ndarray:
        if t == 6:
            raise KeyboardInterrupt
        return frame(t)

    with pytest.raises(KeyboardInterrupt):
        match_video(stopped, n, {"orb": matcher("orb")}, settings, keep=tmp_path)
    kept = sorted(file.parent.name for file in tmp_path.rglob("state.json"))
    assert kept == ["000000", "000004"]
    again = match_video(frame, n, {"orb": matcher("orb")}, settings, keep=tmp_path)
    assert len(list(tmp_path.rglob("state.json"))) == 4  # of fifteen pairs
    for pair in whole.rows:
        np.testing.assert_array_equal(whole.direct(pair[1], sum(pair)), again.direct(pair[1], sum(pair)))


def test_a_frame_is_described_once_and_kept_no_longer_than_it_is_asked_for() -> None:
    frame, n = sliding(12)
    asked: list[int] = []
    match_video(
        lambda t: asked.append(t) or frame(t), n, {"orb": matcher("orb")}, Settings((1, 2), (1.0,), "homography", 1.0)
    )
    assert asked == list(range(n))


@pytest.mark.parametrize("other", [matcher("orb", points=40), matcher("sift", points=60), xfeat(40, 0.0)])
def test_what_was_kept_of_a_matcher_is_not_taken_for_another_one(other: Any, tmp_path: Path) -> None:
    """Neither SIFT nor ORB has weights: type, kind and number of points tell them apart."""
    if not isinstance(other, SparseMatcher):
        other = sparse_matcher(other, mutual_nearest())
    frame, n = sliding(4)
    settings = Settings((1, 2), (1.0,), "homography", 1.0)
    match_video(frame, n, {"one": matcher("sift", points=40)}, settings, keep=tmp_path)
    found = match_video(frame, n, {"one": other}, settings, keep=tmp_path)
    np.testing.assert_array_equal(found.direct(0, 1), match_video(frame, n, {"one": other}, settings).direct(0, 1))
    strict = sparse_matcher(xfeat(40, 0.3), mutual_nearest())
    strict.load_state_dict((plain := sparse_matcher(xfeat(40, 0.0), mutual_nearest())).state_dict())
    assert digest(fixed_by(plain)) != digest(fixed_by(strict))


def test_many_points_are_asked_for_while_labels_are_made_and_the_matcher_stays_as_it_is() -> None:
    network = matcher("sift", points=20)
    assert dense(network, 500).features.points == 500
    assert network.features.points == 20
    own = xfeat(64, 0.05)
    made = dense(sparse_matcher(own, mutual_nearest()), 4096)
    assert (made.features.points, made.features.threshold) == (4096, 0.01)
    assert own.threshold == 0.05


# -- crops -------------------------------------------------------------------------------------------------


def smooth(height: int = 160, width: int = 200) -> np.ndarray:
    """A picture whose colour tells the place: red is x, green is y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, 0 * x], axis=2).astype(np.uint8)


@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize("scales", [(0.6, 1.0), (1.0, 1.4)])
def test_labels_go_where_their_pixels_go(scales: tuple[float, float], flip: float) -> None:
    """A grid is warped as a picture and as points: both say the same, turned by 180 degrees, too."""
    picture, rng = smooth(), np.random.default_rng(4)
    x, y = np.meshgrid(np.arange(20, 180, 6), np.arange(20, 140, 6))
    points = np.column_stack([x.ravel(), y.ravel()]).astype(float)
    strength = Strength(scales, scales, 0.1, flip, "none")
    matrix = placing(picture.shape, points, points[200], 96, scales, strength, rng)
    crop, there = seen(picture, matrix, 96), apply(matrix, points)
    inside = ((there >= 3) & (there <= 92)).all(axis=1)
    assert inside.sum() > 30
    u, v = np.rint(there[inside]).astype(int).T
    np.testing.assert_allclose(crop[v, u, :2], points[inside], atol=2.5)


def test_a_flip_takes_x_to_the_width_less_one_less_x() -> None:
    strength = Strength((1, 1), (1, 1), 0.0, 1.0, "none")
    points = np.array([[0.0, 0], [95, 95]])
    matrix = placing((96, 96), points, points[0], 96, (1, 1), strength, np.random.default_rng(0))
    np.testing.assert_allclose(apply(matrix, points), [[95, 95], [0, 0]], atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_crop_holds_the_box_of_the_labels_where_it_fits_and_always_the_anchor(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for low, high, whole in (((60, 50), (110, 90), True), ((0, 0), (199, 159), False)):
        points = rng.uniform(low, high, (50, 2))
        points[:2] = low, high
        anchor = points[rng.integers(50)]
        matrix = placing((160, 200), points, anchor, 96, (0.9, 1.1), STILL, rng)
        inside = ((apply(matrix, points) >= -1) & (apply(matrix, points) <= 96)).all(axis=1)
        assert inside.all() or not whole
        assert ((apply(matrix, anchor[None]) >= -1) & (apply(matrix, anchor[None]) <= 96)).all()


def test_labels_in_both_crops_show_the_same_place() -> None:
    """Far frames of an exact video: the colour tells the place in the world, whatever was done to either side."""
    video = flight(smooth(), frames=12, size=(120, 96), way=Way(dusk=0, haze=0, noise=0, near=0.8, far=1.0, roll=20))
    rows = video.truth(0, 8)[4:]
    pair = FarPair(0, 8, rows, 1, 1.0, 0.5)
    pool = FramePairs(lambda v, t: video.frame(t), [(0, pair)], STRONG)
    for seed in range(5):
        cut = pool.cut(0, 64, np.random.default_rng(seed))
        assert len(cut.rows) > 3
        x, y, u, v = np.rint(cut.rows).astype(int).T
        off = np.abs(cut.first[y, x, :2].astype(float) - cut.second[v, u, :2]).max(axis=1)
        assert np.median(off) <= 4  # grey levels, which are pixels of the ground


def test_of_each_square_one_label_is_used_on_either_side() -> None:
    rows = np.random.default_rng(0).uniform(0, 64, (500, 4))
    found = thinned(rows, 4.0, np.random.default_rng(1))
    for k in (0, 2):
        squares = np.unique(found[:, k : k + 2] // 4, axis=0)
        assert len(squares) == len(found)
    assert len(thinned(np.zeros((0, 4)), 4.0, np.random.default_rng(1))) == 0


def test_easy_and_hard_pairs_are_drawn_alike() -> None:
    shares = [0.9] * 60 + [0.7] * 20 + [0.5] * 10 + [0.2] * 10
    pairs = [(0, FarPair(0, 8, np.ones((9, 4)), 1, 1.0, share)) for share in shares]
    pool, rng = FramePairs(lambda v, t: smooth(), pairs, STILL), np.random.default_rng(0)
    drawn = np.array([shares[pool.draw(rng)] for _ in range(2000)])
    assert (drawn < 0.65).mean() == pytest.approx(0.5, abs=0.05)  # a fifth of all pairs, two of four groups


@pytest.mark.parametrize("way", [dark, mobile])
def test_light_changes_what_is_seen_and_not_where(way: Any) -> None:
    picture = scene(3, 120)
    made = [way(picture, np.random.default_rng(seed)) for seed in range(40)]
    assert all(one.shape == picture.shape and one.dtype == np.uint8 for one in made)
    changed = [one for one in made if not np.array_equal(one, picture)]
    assert len(changed) > 15
    if way is dark:
        assert np.mean([one.mean() for one in changed]) < picture.mean()
    assert set(WAYS) == {"dark", "mobile", "none"}


def test_a_batch_holds_its_share_of_far_frames_and_of_warped_photographs() -> None:
    rows = np.column_stack([np.random.default_rng(0).uniform(10, 100, (200, 2))] * 2)
    pool = FramePairs(lambda v, t: scene(1, 120), [(0, FarPair(0, 8, rows, 1, 1.0, 0.5))], STILL)
    still = Photographs([scene(2, 140)], 0.1, 5.0)
    batch = next(mixed(pool, still, 0.5, "none", np.random.default_rng(0), side=64, batch_size=4, points=30))
    assert batch.names == ("video", "video", "homography", "homography")
    assert batch.first.shape == (4, 1, 64, 64)
    assert batch.known.any(dim=1).all()
    poor = FramePairs(lambda v, t: scene(1, 120), [(0, FarPair(0, 8, rows[:3], 1, 1.0, 0.5))], STILL)
    with pytest.raises(ValueError, match="hardly any crop"):
        next(mixed(poor, still, 0.5, "none", np.random.default_rng(0), side=64, batch_size=4, points=30))
    away = Photographs([scene(2, 140)], 0.0, 0.0)
    settings: dict[str, Any] = {"side": 64, "batch_size": 4, "points": 30, "least": 65}  # of 64 points of a crop
    with pytest.raises(ValueError, match="hardly any photograph holds 65 points"):
        next(mixed(pool, away, 0.5, "none", np.random.default_rng(0), **settings))


# -- the method --------------------------------------------------------------------------------------------


def test_frames_are_ordered_by_their_video_and_number() -> None:
    domain = Domain(
        x=Lazy(range(5), lambda i: scene(i)), kind="image", name="d",
        columns={"video": np.array(["b", "a", "b", "a", "b"]), "frame": np.array([2, 1, 0, 0, 1])},
    )  # fmt: skip
    assert videos_of(domain) == [("a", (3, 1)), ("b", (2, 4, 0))]
    assert videos_of(domain.replace(columns={}))[0].frames == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("numbers", "told"), [([0, 1, 1], "'a' has 1 twice"), ([0, np.nan, 2], "finite numbers; got nan")]
)
def test_frames_without_a_number_of_their_own_are_named(numbers: list, told: str) -> None:
    columns = {"video": np.array(["a", "a", "a"]), "frame": np.array(numbers)}
    domain = Domain(x=Lazy(range(3), lambda i: scene(i)), kind="image", name="d", columns=columns)
    with pytest.raises(ValueError, match=told):
        videos_of(domain)


def test_a_few_steps_lower_the_loss_and_change_only_what_describes() -> None:
    model = small_matcher()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    settings = {**SMOKE, "steps": 100, "learning_rate": 2e-3, "batch_size": 3, "light": "none"}
    method = GIM(**settings).fit(source=frames("videos", 2, 9, 4), model=model)
    assert set(method.losses_) == {"video", "homography"}
    assert all(values[-1] < values[0] for values in method.losses_.values())
    after = method.network_.state_dict()
    for key in before:
        if any(part in key for part in ("heatmap_head", "keypoint_head", "running", "num_batches")):
            assert torch.equal(before[key], after[key]), key
    assert not torch.equal(before["features.block3.0.layer.0.weight"], after["features.block3.0.layer.0.weight"])
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())


def test_every_pair_that_was_tried_is_counted_as_kept_or_dropped() -> None:
    method = GIM(**SMOKE).fit(source=frames("videos", 2, 9, 4), model=small_matcher())
    counts = method.counts_
    dropped = sum(n for name, n in counts.items() if name.startswith("dropped: "))
    assert counts["pairs tried"] == counts["pairs kept"] + dropped
    assert counts["pairs kept"] == len(method.pairs_) > 0
    assert counts["frames"] == 18
    assert {pair["video"] for pair in method.pairs_} <= {"v0", "v1"}
    assert all(pair["labels"] >= SMOKE["final"] and pair["last"] > pair["first"] for pair in method.pairs_)


def test_labels_of_far_frames_are_never_taken_from_pictures_that_do_not_belong_together() -> None:
    unlike = scenes("slides", 9, 3)
    with pytest.raises(ValueError, match=r"no labels reached frames far apart: of 9 frames 7 pairs were tried"):
        GIM(**{**SMOKE, "direct": 16, "final": 32}).fit(source=unlike, model=small_matcher())


def test_where_nothing_can_be_learnt_the_likely_cause_and_what_to_change_are_said() -> None:
    few = no_labels(GIM(), {"frames": 9, "pairs tried": 1, "dropped: few direct labels": 1, "labels of near frames": 9})
    assert few == (
        "no labels reached frames far apart: of 9 frames 1 pair was tried. Dropped: 1, as a matcher found hardly "
        "anything between near frames (a cut, blur, nothing with texture). The likely cause is that too few frames "
        "were taken, so that too much changes within 8 of them: take more a second (a larger `rate`), or match nearer "
        "ones (`settings` 'gaps=[1,2,4]')"
    )
    lost = {"dropped: no chain": 98, "dropped: too near": 1}
    many = no_labels(GIM(gaps=(1,)), {"frames": 900, "pairs tried": 99, **lost})
    assert "The likely cause is that too much changes within 1 of them: take more a second (a larger `rate`)." in many
    weak = no_labels(GIM(), {"frames": 60, "pairs tried": 9, "dropped: few labels left": 8, "dropped: no chain": 1})
    assert "Dropped: 8, as too few labels agreed" in weak
    assert weak.endswith(
        "fewer than 64 labels agreed: ask for fewer (`settings` 'final=32'), or, where the scene is flat or the camera "
        "only turns, `settings` label_geometry=homography"
    )


def test_what_was_dropped_is_kept_with_its_video_and_why() -> None:
    pictures = [*frames("v", 1, 9, 4).x, *(np.full((SIDE, SIDE, 3), 90 + t, np.uint8) for t in range(9))]
    columns = {"video": np.repeat(["moves", "shows nothing"], 9), "frame": np.tile(np.arange(9), 2)}
    source = Domain(x=Lazy(range(18), lambda i: pictures[i]), kind="image", name="both", columns=columns)
    method = GIM(**SMOKE).fit(source=source, model=small_matcher())
    of_nothing = [one for one in method.dropped_ if one["video"] == "shows nothing"]
    assert [one["first"] for one in of_nothing] == list(range(7))
    assert {one["why"] for one in of_nothing} == {"few direct labels"}
    assert all(one["last"] > one["first"] for one in of_nothing)
    assert len(method.dropped_) == sum(n for name, n in method.counts_.items() if name.startswith("dropped: "))
    assert facts(method)["dropped"] == method.dropped_


def test_a_video_too_short_for_the_largest_gap_is_named_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    both = frames("videos", 2, 9, 4)
    short = both.take(np.arange(11))  # of the second video two frames
    method = GIM(**SMOKE).fit(source=short, model=small_matcher())
    assert method.counts_["frames"] == 9
    assert "1 of 2 videos are left out" in caplog.text
    assert "'v1' has 2 frames" in caplog.text
    with pytest.raises(ValueError, match="must have more frames than the largest gap of 2; 'v0' has 2 frames"):
        GIM(**SMOKE).fit(source=both.take(np.arange(2)), model=small_matcher())


@pytest.mark.parametrize(("video", "most"), [(1.0, 0), (0.5, 300)])
def test_frames_are_warped_as_photographs_only_where_they_are_and_no_more_than_some(
    video: float, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    read = gim_module.read_pictures
    monkeypatch.setattr(gim_module, "read_pictures", lambda x: asked.append(len(x)) or read(x))
    still = scene(1, 96)
    source = Domain(x=Lazy(range(1000), lambda i: still), kind="image", name="long")
    monkeypatch.setattr(GIM, "_label", lambda *a: Labelled([], [], {}))
    monkeypatch.setattr(GIM, "_train", lambda *a: Run("tune", {}, {}, 1, None))
    GIM(**{**SMOKE, "video": video}).fit(source=source, model=small_matcher())
    assert sum(asked) == most


def test_some_of_many_frames_are_spread_evenly_and_of_few_all_are_taken() -> None:
    assert spread(5) == [0, 1, 2, 3, 4]
    many = spread(1000)
    assert (len(many), many[0], many[-1]) == (300, 0, 999)
    assert set(np.diff(many)) <= {3, 4}


def test_without_a_share_of_videos_nothing_is_labelled() -> None:
    method = GIM(**{**SMOKE, "video": 0.0}).fit(source=scenes("slides", 3, 3), model=small_matcher())
    assert (method.counts_, method.pairs_) == ({}, [])
    assert set(method.losses_) == {"homography"}


def test_a_second_round_labels_by_what_was_learnt_in_the_first() -> None:
    once, twice = (
        GIM(**{**SMOKE, "rounds": n}).fit(source=frames("videos", 1, 9, 4), model=small_matcher()) for n in (1, 2)
    )
    assert len(twice.losses_["video"]) == 2 * len(once.losses_["video"])


def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    settings, source = {**SMOKE, "steps": 4}, frames("videos", 1, 9, 4)
    whole = GIM(**settings).fit(source=source, model=small_matcher())
    with unseen.runtime(folder=tmp_path):
        GIM(**settings).fit(source=source, model=small_matcher())
        again = GIM(**settings).fit(source=source, model=small_matcher())
    assert any((tmp_path / "labels").iterdir())
    for key, value in whole.network_.state_dict().items():
        assert torch.equal(value, again.network_.state_dict()[key]), key


def test_frames_are_not_looked_at_again_for_each_frame_to_know_whether_they_were_labelled(tmp_path: Path) -> None:
    both, asked = frames("videos", 2, 9, 4), []
    source = both.replace(x=Lazy(range(18), lambda i: both.x[i], lambda i: asked.append(i) or str(i)))
    with unseen.runtime(folder=tmp_path):
        GIM(**SMOKE).fit(source=source, model=small_matcher())
    assert len(asked) <= 2 * 18  # once to know the frames, once to know the source of the run


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"gaps": (2, 5)}, "each the double"),
        ({"gaps": ()}, "each the double"),
        ({"sizes": (0.01,)}, "sizes must hold"),
        ({"left": (1.2, 0.8)}, "left must be a range"),
        ({"side": 100}, "side must be a multiple of 32"),
        ({"video": 2.0}, "video must be in"),
        ({"video": 0.1, "batch_size": 4}, "got 0.1, which gives 0 of videos"),
        ({"video": 0.9, "batch_size": 4}, "got 0.9, which gives 4 of videos"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        GIM(**{**SMOKE, **settings}).fit(source=frames("videos", 1, 9, 4), model=small_matcher())


def test_what_cannot_learn_or_label_and_frames_of_two_sizes_are_named() -> None:
    source = frames("videos", 1, 9, 4)
    with pytest.raises(TypeError, match="model must be a matcher that can be tuned"):
        GIM(**SMOKE).fit(source=source, model=sparse_matcher(xfeat(64, 0.0), mutual_nearest()))
    with pytest.raises(TypeError, match="teachers must be matchers"):
        GIM(**SMOKE).fit(source=source, model=small_matcher(), teachers={"plain": nn.Linear(2, 2)})
    with pytest.raises(ValueError, match="teachers must not be called 'model'"):
        GIM(**SMOKE).fit(source=source, model=small_matcher(), teachers={"model": matcher("orb")})
    uneven = Domain(x=Lazy(range(6), lambda i: scene(1, 72 + (i == 4))), kind="image", name="uneven")
    with pytest.raises(ValueError, match="frames must be of one size"):
        GIM(**SMOKE).fit(source=uneven, model=small_matcher())


def test_a_matcher_that_learnt_is_loaded_in_a_fresh_process_and_finds_the_same(tmp_path: Path) -> None:
    method = GIM(**SMOKE).fit(source=frames("videos", 1, 9, 4), model=small_matcher())
    method.save(tmp_path / "m")
    code = (
        "import sys; from unseen.methods import get; from unseen.methods.matching.needs import scene_pairs; "
        "print(get('gim').load(sys.argv[1]).match(scene_pairs(1, 1))[0].tolist())"
    )
    found = processes.run(
        [sys.executable, "-c", code, str(tmp_path / "m")], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1"}, check=True,
    )  # fmt: skip
    np.testing.assert_allclose(json.loads(found.stdout), method.match(scene_pairs(1, 1))[0], atol=1e-3)
