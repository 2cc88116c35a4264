"""Edge views: the golden case, what they do not depend on, and how they vary."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from unseen.data.shifts.edges import THRESHOLDS, blurred, canny, edge_map, grey, otsu, sobel, threshold


def square(size: int = 32, side: int = 16) -> np.ndarray:
    x = np.zeros((1, size, size), dtype=np.float32)
    start = (size - side) // 2
    x[:, start : start + side, start : start + side] = 1
    return x


def blobs(n: int = 3, size: int = 32, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random((n, size, size))
    smooth = ndimage.gaussian_filter(noise, (0, 3, 3))
    low, high = smooth.min(axis=(1, 2), keepdims=True), smooth.max(axis=(1, 2), keepdims=True)
    return ((smooth - low) / (high - low)).astype(np.float32)


def test_edge_golden_a_white_square_has_otsu_0826_of_a_magnitude_up_to_2564_and_a_closed_contour():
    magnitude = sobel(blurred(square(), np.array([1.0]))).magnitude[0]
    assert magnitude.max() == pytest.approx(2.564, abs=1e-3)
    assert otsu(magnitude) == pytest.approx(0.826, abs=1e-3)
    lines = edge_map(square())[0] == 0
    inside, count = ndimage.label(~lines)  # the ground outside and the square, kept apart
    assert count == 2
    assert inside[0, 0] != inside[16, 16]
    assert 60 <= lines.sum() <= 72


def test_lines_are_one_pixel_wide():
    lines = edge_map(square())[0] == 0
    assert lines[16].sum() == 2
    assert lines[:, 16].sum() == 2


@pytest.mark.parametrize("train", [False, True])
def test_an_edge_map_holds_zeros_and_ones_only(train):
    found = edge_map(blobs(), np.random.default_rng(0) if train else None)
    assert found.dtype == np.float32
    assert set(np.unique(found)) == {0.0, 1.0}


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("train", [False, True])
def test_a_constant_image_gives_a_constant_map(value, train):
    x = np.full((2, 32, 32), value, dtype=np.float32)
    assert (edge_map(x, np.random.default_rng(0) if train else None) == 1).all()
    assert threshold(sobel(x).magnitude[0], "otsu") == 0.5


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(-0.5, 0.5), st.sampled_from([0.5, 2.0, 4.0]))
def test_it_does_not_depend_on_a_constant_or_on_contrast(seed, shift, scale):
    x = blobs(2, seed=seed)
    expected = edge_map(x)
    differing = [np.mean(edge_map(x + np.float32(shift)) != expected), np.mean(edge_map(x * scale) != expected)]
    assert max(differing) < 0.01  # rounding may tip a pixel at the threshold


def test_each_picture_has_its_own_map():
    x = blobs(4)
    assert np.array_equal(edge_map(x)[2:3], edge_map(x[2:3]))


def test_only_weak_lines_that_touch_strong_ones_are_kept():
    x = np.zeros((1, 32, 64), dtype=np.float32)
    x[:, 8:24, 8:24], x[:, 8:24, 40:56] = 1.0, 0.2
    gradient = sobel(blurred(x, np.array([1.0])))
    ones = np.ones(1)
    assert canny(gradient, 0.1 * ones, 2.0 * ones)[0, :, 32:].sum() == 0
    assert canny(gradient, 0.1 * ones, 0.1 * ones)[0, :, 32:].sum() > 0


def test_training_maps_vary_and_repeat_with_their_generator():
    x = np.repeat(blobs(1), 20, axis=0)
    found = edge_map(x, np.random.default_rng(1))
    assert len({one.tobytes() for one in found}) > 5
    assert np.array_equal(found, edge_map(x, np.random.default_rng(1)))


def test_the_reference_mode_keeps_one_blur_and_nearly_always_the_exact_threshold():
    x = np.repeat(blobs(1), 200, axis=0)
    few = {one.tobytes() for one in edge_map(x, np.random.default_rng(0), mode="reference", sigma=1.0)}
    many = {one.tobytes() for one in edge_map(x, np.random.default_rng(0))}
    assert len(few) < len(many)


def test_small_pictures_are_enlarged_and_keep_their_lines():
    x = square(12, 6)
    found = edge_map(x)
    assert found.shape == x.shape
    assert 8 <= (found == 0).sum() <= 60


@pytest.mark.parametrize("method", THRESHOLDS)
def test_a_threshold_lies_between_two_separate_groups(method):
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(1, 0.1, 900), rng.normal(5, 0.1, 900)])
    assert 1 < threshold(values, method) < 5


def test_otsu_by_a_naive_loop():
    values = np.random.default_rng(3).gamma(2, 1, 500)
    edges = np.linspace(values.min(), values.max(), 257)
    centres, best = (edges[:-1] + edges[1:]) / 2, (-1.0, 0.0)
    counts = np.histogram(values, edges)[0]
    for k in range(1, 256):
        a, b = counts[:k], counts[k:]
        if a.sum() and b.sum():
            between = a.sum() * b.sum() * (np.average(centres[:k], weights=a) - np.average(centres[k:], weights=b)) ** 2
            best = max(best, (between, centres[k - 1]))
    assert otsu(values) == pytest.approx(best[1])


def test_grey_is_the_usual_luminance():
    x = np.zeros((1, 3, 2, 2), dtype=np.float32)
    x[0, 1] = 1
    np.testing.assert_allclose(grey(x), 0.587)
    assert grey(x[:, :1]).shape == (1, 2, 2)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"\(n, h, w\)"):
        edge_map(np.zeros((4, 4), dtype=np.float32))
    with pytest.raises(ValueError, match="mode"):
        edge_map(square(), mode="banana")
    with pytest.raises(ValueError, match="pictures"):
        grey(np.zeros((1, 2, 4, 4), dtype=np.float32))
