"""How matches look."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest

pytest.importorskip("cv2", reason="RANSAC needs OpenCV")

from PIL import Image

from unseen.methods.matching.needs import scene
from unseen.report.tasks import looks_of
from unseen.report.tasks.matches import AGREES, DIFFERS, GAP, draw


def _near(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture.astype(int) - colour).sum(axis=-1) < 90).any())


def test_lines_that_agree_and_lines_that_do_not_have_their_colours() -> None:
    white = np.full((60, 80, 3), 255, dtype=np.uint8)
    points = np.array([[10.0, 10, 40, 10], [10, 40, 40, 50]])
    for inliers, there, not_there in (([True, True], AGREES, DIFFERS), ([False, False], DIFFERS, AGREES)):
        made = np.asarray(Image.open(io.BytesIO(draw(white, white, points, np.array(inliers)))))
        assert made.shape == (60, 160 + GAP, 3)
        assert _near(made, there)
        assert not _near(made, not_there)


def test_a_pair_is_drawn_with_truth_or_without_and_large_ones_are_made_smaller() -> None:
    looks, first, second = looks_of("matches"), scene(1), scene(2, 200)
    found = np.array([[5.0, 5, 8, 5], [20, 20, 23, 20], [30, 50, 33, 50], [60, 30, 63, 30], [40, 40, 2, 2]])
    truth = np.column_stack([found[:, :2], found[:, :2] + [3, 0]])
    for told in (None, truth):
        source = looks.picture((first, second), found, truth=told)
        assert source is not None
        picture = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
        assert picture.size[0] == 80 + GAP + 208
    wide = np.zeros((10, 4000, 3), dtype=np.uint8)
    assert Image.open(io.BytesIO(draw(wide, wide, np.zeros((0, 4)), np.zeros(0, dtype=bool)))).size[0] <= 1400


def test_words_say_how_many() -> None:
    assert [looks_of("matches").words(np.zeros((n, 4))) for n in range(3)] == ["no match", "1 match", "2 matches"]
