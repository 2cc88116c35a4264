"""Renderings of photographs: the published events, pixels in place, bytes that follow from picture and seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="the engine needs OpenCV")

from unseen.data.homographies import moved_corners, warped
from unseen.data.simulate import modalities
from unseen.data.simulate.modalities import luma, modality_names, polarity, register_modality, render
from unseen.methods.matching.needs import scene

PICTURE = scene(5, 96)


def test_events_of_a_bright_bar_are_plus_one_at_its_left_and_minus_one_at_its_right() -> None:
    grey = np.tile(np.array([10, 10, 200, 200, 200, 10], dtype=np.float32), (4, 1))
    expected = np.zeros((4, 6), dtype=int)
    expected[1:3, 1], expected[1:3, 4] = 1, -1
    np.testing.assert_array_equal(polarity(grey, 1, 1, 0.2), expected)


def test_events_of_a_shift_the_other_way_are_those_of_the_mirrored_picture() -> None:
    grey = luma(PICTURE)
    np.testing.assert_array_equal(polarity(grey, -2, -3, 0.1), polarity(grey[::-1, ::-1], 2, 3, 0.1)[::-1, ::-1])


def test_events_of_one_grey_are_a_blank_canvas() -> None:
    assert (render(np.full((20, 30, 3), 90, dtype=np.uint8), "event", 3) == 255).all()


def test_both_colours_of_events_are_unlike_greys() -> None:
    made = render(PICTURE, "event", 1)
    colours = {tuple(colour) for colour in made.reshape(-1, 3).tolist()}
    assert colours == {(255, 255, 255), (255, 0, 0), (0, 0, 255)}
    red, blue = luma(np.array([[[255, 0, 0]], [[0, 0, 255]]], dtype=np.uint8)).ravel() / 255
    assert (red, blue) == (pytest.approx(0.299), pytest.approx(0.114))


def test_a_picture_too_small_for_a_shift_has_no_events() -> None:
    assert not polarity(np.arange(12, dtype=np.float32).reshape(3, 4), 2, 2, 0.01).any()


def test_visible_is_the_picture_itself() -> None:
    assert render(PICTURE, "visible", 7) is PICTURE


@pytest.mark.parametrize("name", modality_names())
def test_the_same_picture_modality_and_seed_give_the_same_bytes_of_the_same_shape(name: str) -> None:
    before = PICTURE.copy()
    one, other = render(PICTURE, name, 4), render(PICTURE.copy(), name, 4)
    assert one.tobytes() == other.tobytes()
    assert (one.shape, one.dtype) == (PICTURE.shape, np.uint8)
    np.testing.assert_array_equal(PICTURE, before)


@pytest.mark.parametrize("name", ["event", "sketch", "infrared", "paint", "depth", "normal", "night", "thermal"])
def test_other_seeds_give_other_pictures(name: str) -> None:
    assert len({render(PICTURE, name, seed).tobytes() for seed in range(6)}) > 1


@pytest.mark.parametrize("name", ["sketch", "paint", "normal", "negative"])
def test_to_render_and_to_warp_commute(name: str) -> None:
    """Up to what is drawn anew for the warped picture: contours correlate."""
    cv2 = pytest.importorskip("cv2")
    matrix = moved_corners(np.random.default_rng(1), 104, 96, 0.05)
    after = warped(render(PICTURE, name, 1), matrix, 104, 96)
    before = render(warped(PICTURE, matrix, 104, 96), name, 1)
    strengths = []
    for made in (after, before):
        grey = cv2.GaussianBlur(luma(made), (0, 0), 1.5)
        strengths.append(np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))[12:-12, 12:-12])
    assert np.corrcoef(strengths[0].ravel(), strengths[1].ravel())[0, 1] > 0.5


def test_a_generator_of_ones_own_is_kept_on_disk_if_it_is_costly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modalities, "_MODALITIES", dict(modalities._MODALITIES))
    asked: list[int] = []

    def made(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        asked.append(1)
        return picture[..., ::-1]

    register_modality("radar", made, costly=True)
    first, second = (render(PICTURE, "radar", 2, cache=tmp_path) for _ in range(2))
    np.testing.assert_array_equal(first, PICTURE[..., ::-1])
    np.testing.assert_array_equal(first, second)
    assert len(asked) == 1
    render(PICTURE, "radar", 3, cache=tmp_path)
    assert len(asked) == 2
    assert all(file.suffix == ".png" for file in tmp_path.rglob("*") if file.is_file())


def test_what_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modalities, "_MODALITIES", dict(modalities._MODALITIES))
    with pytest.raises(ValueError, match=r"modality must be one of visible, depth.*'sonar'"):
        render(PICTURE, "sonar")
    with pytest.raises(ValueError, match=r"picture must be of shape \(h, w, 3\)"):
        render(PICTURE[..., 0], "event")
    with pytest.raises(ValueError, match="'visible'"):
        register_modality("visible", lambda picture, rng: picture)
    register_modality("crop", lambda picture, rng: picture[1:])
    with pytest.raises(ValueError, match="'crop' must keep the shape"):
        render(PICTURE, "crop")
