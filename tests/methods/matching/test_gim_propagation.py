"""How labels of near frames reach far ones: chained in the same pixel, by exact videos whose every match is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cv2", reason="robust fits need OpenCV")

from unseen.data.homographies import apply, moved_corners
from unseen.methods.matching.gim.propagation import Dropped, FarPair, Limits, far_pair, far_pairs, link, propagate
from unseen.nn.video_matches import Kind, VideoMatches

SIZE = (160, 120)
LOOSE = Limits(1, 1, 8, "homography", 3.0)


def matches(points: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.column_stack([points, other]).astype(float)


def test_links_are_those_whose_middles_round_to_the_same_pixel() -> None:
    ends = np.arange(8).reshape(4, 2)
    left = matches(ends, np.array([(20.2, 20.4), (30.6, 30), (40.5, 40), (50, 50)]))
    right = matches(np.array([(20.4, 20), (31, 30), (40, 40), (99, 99)]), ends + 100)
    found = link(left, right)  # 40.5 is rounded to 40, half to even
    assert found is not None
    np.testing.assert_array_equal(found, np.column_stack([ends[:3], ends[:3] + 100]))


def test_of_several_matches_in_one_pixel_the_last_counts() -> None:
    left = matches(np.array([(1, 1), (2, 2)]), np.array([(5, 5), (5.2, 4.9)]))
    found = link(left, matches(np.array([(5, 5)]), np.array([(9, 9)])))
    np.testing.assert_array_equal(found, [(2, 2, 9, 9)])


def test_pixels_of_two_rows_never_stand_for_each_other() -> None:
    """A key of x + y * width would take (width, 0) for (0, 1)."""
    left = matches(np.array([(1, 1)]), np.array([(SIZE[0], 0)]))
    assert link(left, matches(np.array([(0, 1)]), np.array([(9, 9)]))) is None


def test_neighbouring_pixels_are_not_linked() -> None:
    left = matches(np.array([(1, 1)]), np.array([(5, 5)]))
    assert link(left, matches(np.array([(6, 5)]), np.array([(9, 9)]))) is None


def test_without_a_common_middle_or_with_too_few_there_is_no_link() -> None:
    assert link(np.zeros((0, 4)), np.zeros((0, 4))) is None
    left = matches(np.arange(6).reshape(3, 2), np.arange(6).reshape(3, 2))
    assert link(left, left, least=4) is None
    assert link(left, left, least=3) is not None


@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 60))
def test_labels_never_become_more_by_linking(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = rng.uniform(0, 12, (n, 4)), rng.uniform(0, 12, (m, 4))
    found = link(left, right)
    assert found is None or len(found) <= min(n, m)


def naive(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The same, match by match."""
    there, here = (
        {(int(x), int(y)): k for k, (x, y) in enumerate(np.rint(points))} for points in (left[:, 2:], right[:, :2])
    )
    chains = sorted((there[pixel], here[pixel]) for pixel in there.keys() & here.keys())
    return np.array([[*left[i, :2], *right[j, 2:]] for i, j in chains]).reshape(-1, 4)


@given(st.integers(0, 2**31), st.integers(0, 80), st.integers(0, 80))
def test_links_are_those_of_a_walk_over_all_matches_also_left_of_a_frame_and_twice_in_a_pixel(
    seed: int, n: int, m: int
) -> None:
    rng = np.random.default_rng(seed)
    left, right = rng.uniform(-4, 4, (n, 4)), rng.uniform(-4, 4, (m, 4))
    found = link(left, right)
    np.testing.assert_array_equal(np.zeros((0, 4)) if found is None else found, naive(left, right))


def test_what_segments_share_is_put_together_once_and_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    store = exact(17, (1, 2, 4), homographies(17, 5), step=4)
    asked: list[tuple[int, int]] = []
    direct = VideoMatches.direct
    monkeypatch.setattr(VideoMatches, "direct", lambda self, a, b: asked.append((a, b)) or direct(self, a, b))
    kept, _ = far_pairs(store, 3, LOOSE, SIZE)
    assert len(asked) == len(set(asked))
    for pair in kept:
        alone = far_pair(store, pair.first, min(pair.first + 12, 16), LOOSE, SIZE)
        assert isinstance(alone, FarPair)
        np.testing.assert_array_equal(alone.rows, pair.rows)


# -- exact videos ------------------------------------------------------------------------------------------


def homographies(frames: int, seed: int) -> list[np.ndarray]:
    """From frame 0 to each frame: small steps, one after the other."""
    rng = np.random.default_rng(seed)
    made = [np.eye(3)]
    for _ in range(frames - 1):
        made.append(moved_corners(rng, *SIZE, 0.02) @ made[-1])
    return made


def exact(frames: int, gaps: tuple[int, ...], to: list[np.ndarray], step: int = 1) -> VideoMatches:
    """Every pixel of a grid with its exact place in the later frame."""
    x, y = np.meshgrid(np.arange(0, SIZE[0], step), np.arange(0, SIZE[1], step))
    points = np.column_stack([x.ravel(), y.ravel()]).astype(float)
    rows = {}
    for gap in gaps:
        for t in range(0, frames - gap, gaps[0]):
            there = apply(to[t + gap] @ np.linalg.inv(to[t]), points)
            inside = ((there >= 0) & (there < SIZE)).all(axis=1)
            rows[gap, t] = {Kind("exact", 1.0): np.column_stack([points, there])[inside]}
    return VideoMatches(frames, gaps, rows)


@pytest.mark.parametrize("seed", range(3))
def test_perfect_labels_of_a_homography_video_stay_within_a_pixel_for_each_link(seed: int) -> None:
    to = homographies(13, seed)
    found = propagate(exact(13, (1, 2, 4), to), 0, 12, (1, 2, 4), 8)
    assert found is not None
    assert (found.first, found.last) == (0, 12)
    assert len(found.rows) > 1000
    off = np.linalg.norm(apply(to[12], found.rows[:, :2]) - found.rows[:, 2:], axis=1)
    assert off.max() < 12  # a chain of smallest gaps has up to twelve links, each of less than a pixel
    assert np.median(off) < 3


def test_chains_over_identical_frames_are_the_identity() -> None:
    to = [np.eye(3)] * 9
    found = propagate(exact(9, (1, 2, 4), to, step=4), 0, 8, (1, 2, 4), 8)
    assert found is not None
    np.testing.assert_array_equal(found.rows[:, :2], found.rows[:, 2:])
    assert (found.first, found.last) == (0, 8)


def test_where_a_large_gap_is_lost_smaller_ones_carry_on() -> None:
    store = exact(9, (1, 2, 4), [np.eye(3)] * 9, step=4)
    rows = {key: value for key, value in store.rows.items() if key != (4, 4)}
    found = propagate(VideoMatches(9, store.gaps, rows), 0, 8, store.gaps, 8)
    assert found is not None
    assert found.last == 8


def test_a_cut_ends_the_walk_before_it_and_nothing_is_chained_over_it() -> None:
    store = exact(13, (1, 2, 4), [np.eye(3)] * 13, step=4)
    before_cut = {key: value for key, value in store.rows.items() if key[1] + key[0] <= 6 or key[1] > 6}
    found = propagate(VideoMatches(13, store.gaps, before_cut), 0, 12, store.gaps, 8)
    assert found is not None
    assert found.last == 6  # the last segment was made shorter by the smallest gap until it was reached
    assert propagate(VideoMatches(13, store.gaps, before_cut), 5, 12, store.gaps, 8) is None


def test_what_only_reached_one_largest_gap_is_tried_with_smaller_ones() -> None:
    store = exact(5, (1, 2, 4), [np.eye(3)] * 5, step=4)
    only = {key: value for key, value in store.rows.items() if key[0] == 4}
    assert propagate(VideoMatches(5, store.gaps, only), 0, 4, store.gaps, 8) is not None
    found = far_pair(VideoMatches(5, store.gaps, only), 0, 4, LOOSE, SIZE)
    assert found == Dropped(0, 4, "no chain")  # a direct match is no far frame


# -- what is kept ------------------------------------------------------------------------------------------


def test_every_pair_is_kept_or_dropped_for_a_reason_and_no_empty_label_is_kept() -> None:
    to = homographies(17, 5)
    store = exact(17, (1, 2, 4), to, step=2)
    rows = {key: value if key[1] < 8 else {Kind("exact", 1.0): np.zeros((0, 4))} for key, value in store.rows.items()}
    kept, dropped = far_pairs(VideoMatches(17, store.gaps, rows), 3, LOOSE, SIZE)
    assert len(kept) + len(dropped) == 13
    assert kept
    assert dropped
    assert all(len(pair.rows) >= 8 for pair in kept)
    assert {one.why for one in dropped} <= {"few direct labels", "no chain", "too near", "few labels left"}


def test_a_pair_tells_which_frames_it_reached_how_many_links_and_how_much_of_them_it_covers() -> None:
    found = far_pair(exact(13, (1, 2, 4), [np.eye(3)] * 13, step=4), 0, 12, LOOSE, SIZE)
    assert isinstance(found, FarPair)
    assert (found.first, found.last, found.links, found.inliers) == (0, 12, 3, 1.0)
    assert found.overlap == pytest.approx(156 * 116 / (160 * 120))


def test_a_pair_that_one_of_the_matchers_hardly_matched_is_dropped() -> None:
    store = exact(9, (1, 2, 4), [np.eye(3)] * 9, step=4)
    rows = {key: {**value, Kind("weak", 1.0): np.zeros((0, 4))} for key, value in store.rows.items()}
    assert far_pair(VideoMatches(9, store.gaps, rows), 0, 8, LOOSE, SIZE) == Dropped(0, 8, "few direct labels")


def test_wrong_matches_do_not_survive_the_last_fit() -> None:
    store = exact(9, (1, 2, 4), [np.eye(3)] * 9, step=6)
    rng = np.random.default_rng(0)
    rows = {}
    for key, value in store.rows.items():
        own = value[Kind("exact", 1.0)].copy()
        own[::5, 2:] = own[rng.integers(len(own), size=len(own[::5])), 2:]
        rows[key] = {Kind("exact", 1.0): own}
    found = far_pair(VideoMatches(9, store.gaps, rows), 0, 8, LOOSE, SIZE)
    assert isinstance(found, FarPair)
    assert np.linalg.norm(found.rows[:, 2:] - found.rows[:, :2], axis=1).max() < 3.5
    assert found.inliers < 1
