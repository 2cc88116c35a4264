"""How pairs are asked about: scaled, turned, rendered, and the way with the most inliers wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

pytest.importorskip("cv2", reason="RANSAC needs OpenCV")

from unseen.data.domain import Domain
from unseen.data.homographies import apply
from unseen.data.pairs import Pairs
from unseen.methods.matching.gim import GIM
from unseen.methods.matching.matcher import PairMatcher, gradient, quarter_turn, smaller, turned, unturned, ways
from unseen.methods.matching.minima import MINIMA
from unseen.methods.matching.needs import scene, scene_pairs, small_matcher
from unseen.nn.matchers import matcher
from unseen.nn.protocols import Matches
from unseen.nn.state import save_state


class Pixels(nn.Module):
    """Finds a point where the colours of both pictures are equal and stand once in either: exact, and not turned."""

    def __init__(self, upright: bool = True) -> None:
        super().__init__()
        self.upright = upright
        self.asked: list[tuple[Any, ...]] = []

    def match(self, first: np.ndarray, second: np.ndarray) -> Matches:
        self.asked.append((first.shape, second.shape))
        if self.upright and first.shape != second.shape:
            return Matches(np.zeros((0, 4)), np.zeros(0))
        places: list[dict[tuple[int, ...], tuple[int, int]]] = []
        for picture in (first, second):
            found: dict[tuple[int, ...], list[tuple[int, int]]] = {}
            for y, x in np.ndindex(*picture.shape[:2]):
                found.setdefault(tuple(picture[y, x].tolist()), []).append((x, y))
            places.append({colour: where[0] for colour, where in found.items() if len(where) == 1})
        rows = [(*places[0][colour], *places[1][colour]) for colour in places[0] if colour in places[1]]
        return Matches(np.array(rows, dtype=float).reshape(-1, 4), np.ones(len(rows)))


NOISE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize("quarter", range(4))
def test_points_of_a_turned_picture_come_back(quarter: int) -> None:
    made = turned(NOISE, quarter)
    y, x = np.mgrid[: made.shape[0], : made.shape[1]].reshape(2, -1)
    back = unturned(np.column_stack([x, y]).astype(float), quarter, NOISE.shape).astype(int)
    np.testing.assert_array_equal(NOISE[back[:, 1], back[:, 0]], made[y, x])


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_turned_picture_is_matched_with_rotations_in_pixels_as_it_came(quarter: int) -> None:
    method = PairMatcher(rotations=True, longest=64).fit(model=Pixels())
    found = method.matches_of(NOISE, turned(NOISE, quarter)).points
    assert len(found) > 500
    there = unturned(found[:, 2:], quarter, NOISE.shape)
    np.testing.assert_allclose(there, found[:, :2])


class Silent(nn.Module):
    """Finds nothing, and counts how often it was asked."""

    asked = 0

    def match(self, first: np.ndarray, second: np.ndarray) -> Matches:
        self.asked += 1
        return Matches(np.zeros((0, 4)), np.zeros(0))


def test_sift_has_the_say_where_enough_of_its_matches_agree_and_nowhere_else() -> None:
    picture, model = scene(0, 200), Silent()
    second = np.roll(picture, 3, axis=1)
    asked = PairMatcher(sift_first=True, rotations="auto", renderings=True).fit(model=model)
    sift = PairMatcher().fit(model=matcher("sift"))
    np.testing.assert_array_equal(asked.matches_of(picture, second).points, sift.matches_of(picture, second).points)
    quarter = asked.matches_of(picture, turned(picture, 1)).points
    back = unturned(quarter[:, 2:], 1, picture.shape)
    assert np.median(np.abs(back - quarter[:, :2])) < 0.5
    assert model.asked == 0  # nothing else was tried
    other = np.random.default_rng(0).integers(0, 256, picture.shape, dtype=np.uint8)
    assert len(asked.matches_of(picture, other).points) == 0
    assert model.asked == 12  # three renderings, upright and in three turns
    assert len(PairMatcher().fit(model=model).matches_of(picture, second).points) == 0
    assert model.asked == 13


def test_a_negative_is_matched_with_renderings() -> None:
    plain = PairMatcher(longest=64).fit(model=Pixels())
    assert len(plain.matches_of(NOISE, 255 - NOISE).points) < 20
    method = PairMatcher(renderings=True, longest=64).fit(model=Pixels())
    found = method.matches_of(NOISE, 255 - NOISE).points
    assert len(found) > 500
    np.testing.assert_allclose(found[:, :2], found[:, 2:])


def test_the_gradient_of_a_negative_is_that_of_the_picture() -> None:
    picture = scene(3)
    assert np.abs(gradient(picture).astype(int) - gradient(255 - picture)).max() <= 1
    assert [way.second.tolist() for way in ways(picture, picture)][1] == (255 - picture).tolist()


def test_large_pictures_are_made_smaller_and_points_are_scaled_back() -> None:
    large = np.repeat(np.repeat(NOISE, 4, axis=0), 4, axis=1)
    model = Pixels(upright=False)
    method = PairMatcher(longest=32).set_params(longest=32).fit(model=model)
    found = method.matches_of(np.pad(large, ((0, 0), (0, 8), (0, 0))), NOISE).points
    assert model.asked == [((20, 32, 3), (20, 30, 3))]
    assert len(found) > 300
    np.testing.assert_allclose(found[:, :2], (found[:, 2:] + 0.5) * 4 - 0.5)
    assert smaller(NOISE, 100)[1].tolist() == [1, 1]


def test_points_are_scaled_by_what_each_side_was_rounded_to() -> None:
    large = np.zeros((203, 320, 3), dtype=np.uint8)
    picture, scale = smaller(large, 32)
    assert picture.shape == (20, 32, 3)
    assert scale.tolist() == [10, 10.15]  # not 10 by 10: the last row would lie 3 pixels above where it is


def test_what_is_no_pair_of_pictures_is_named() -> None:
    method = PairMatcher().fit(model=small_matcher())
    pairs = scene_pairs(2, 1)
    with pytest.raises(TypeError, match="pairs must be a Pairs of pictures; got Domain"):
        method.match(pairs.left)
    with pytest.raises(ValueError, match="kind 'text'"):
        method.match(Pairs(pairs.left, Domain(x=np.array(["a", "b"]), kind="text")))
    with pytest.raises(ValueError, match="longest must be"):
        PairMatcher(longest=8)


def test_a_pair_of_tiny_or_blank_pictures_has_no_match() -> None:
    method = PairMatcher(renderings=True, rotations=True).fit(model=small_matcher())
    tiny = np.zeros((3, 200, 3), dtype=np.uint8)
    assert method.matches_of(tiny, tiny).points.shape == (0, 4)


@pytest.mark.parametrize("quarter", range(4))
def test_auto_turns_only_where_nothing_is_found_upright(quarter: int) -> None:
    model = Pixels()
    method = PairMatcher(rotations="auto", longest=64).fit(model=model)
    found = method.matches_of(NOISE, turned(NOISE, quarter)).points
    there = unturned(found[:, 2:], quarter, NOISE.shape)
    np.testing.assert_allclose(there, found[:, :2])
    assert len(found) > 500
    assert len(model.asked) == (4 if quarter % 2 else 1)  # this matcher finds what stands on its head by itself


def test_auto_leaves_what_was_found_upright_as_it_is() -> None:
    pairs = scene_pairs(3, 1)
    plain, auto = (PairMatcher(rotations=way).fit(model=Pixels(upright=False)) for way in (False, "auto"))
    for one, other in zip(plain.match(pairs), auto.match(pairs)):
        np.testing.assert_array_equal(one, other)


def test_where_no_turn_has_enough_what_was_found_upright_stays() -> None:
    other = np.random.default_rng(9).integers(0, 256, NOISE.shape, dtype=np.uint8)
    plain, auto = (PairMatcher(rotations=way, longest=64).fit(model=Pixels()) for way in (False, "auto"))
    np.testing.assert_array_equal(plain.matches_of(NOISE, other).points, auto.matches_of(NOISE, other).points)
    with pytest.raises((TypeError, ValueError), match="rotations"):
        PairMatcher(rotations="often")


def test_the_matrix_of_a_quarter_says_where_pixels_of_a_turned_picture_are() -> None:
    matrix = quarter_turn(NOISE.shape[1])
    back = unturned(apply(matrix, np.array([[3.0, 5], [29, 19]])), 1, NOISE.shape)
    np.testing.assert_array_equal(back, [[3, 5], [29, 19]])
    x, y = apply(matrix, np.array([[3.0, 5]])).astype(int)[0]
    np.testing.assert_array_equal(turned(NOISE, 1)[y, x], NOISE[5, 3])


def test_a_saved_matcher_of_any_method_is_loaded_by_what_all_are(tmp_path: Path) -> None:
    learnt = MINIMA(rotations="auto", threshold=5.0)
    learnt.network_ = small_matcher()
    learnt.save(tmp_path / "mine")
    back = PairMatcher.load(tmp_path / "mine")
    assert isinstance(back, MINIMA)
    assert (back.rotations, back.threshold) == ("auto", 5.0)
    pairs = scene_pairs(2, 1)
    np.testing.assert_array_equal(back.match(pairs)[0], learnt.match(pairs)[0])
    with pytest.raises(ValueError, match="this is a saved 'minima', not 'gim'"):
        GIM.load(tmp_path / "mine")
    save_state(tmp_path / "other", {"method": "coral", "params": {}, "fitted": {}})
    with pytest.raises(ValueError, match="this is a saved 'coral', not 'matcher'"):
        PairMatcher.load(tmp_path / "other")
    with pytest.raises(ValueError, match=r"mine' is the folder of a saved one: .*PairMatcher.load reads it"):
        matcher(str(tmp_path / "mine"))
