"""Edge views: the golden case, what they do not depend on, and how they vary."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from unseen.data.shifts import edges
from unseen.data.shifts.edges import THRESHOLDS, blurred, canny, edge_map, grey, otsu, sobel, threshold
from unseen.data.shifts.filters import EDGES


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
    twice = ndimage.zoom(x, (1, 2, 2), order=1, mode="nearest", grid_mode=True)
    assert np.array_equal(found, edge_map(twice).reshape(1, 12, 2, 12, 2).min(axis=(2, 4)))


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
    np.testing.assert_allclose(grey(np.roll(x, 1, axis=1)), 0.114)
    assert grey(x[:, :1]).shape == (1, 2, 2)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"\(n, h, w\)"):
        edge_map(np.zeros((4, 4), dtype=np.float32))
    with pytest.raises(ValueError, match="mode"):
        edge_map(square(), mode="banana")
    with pytest.raises(ValueError, match="pictures"):
        grey(np.zeros((1, 2, 4, 4), dtype=np.float32))


# -- figures of scikit-image 0.26, and each option of the training view ------------------------------------


FIGURES = {
    (0.0, "otsu"): 1.466694,
    (0.0, "yen"): 0.604908,
    (0.0, "mean"): 0.864669,
    (0.0, "isodata"): 1.433548,
    (0.0, "li"): 0.638931,
    (1.0, "otsu"): 0.896249,
    (1.0, "yen"): 1.186654,
    (1.0, "mean"): 0.682891,
    (1.0, "isodata"): 0.886235,
    (1.0, "li"): 0.561580,
    (2.0, "otsu"): 0.530445,
    (2.0, "yen"): 0.739125,
    (2.0, "mean"): 0.421777,
    (2.0, "isodata"): 0.518852,
    (2.0, "li"): 0.390169,
}
"""skimage.filters.threshold_* of the Sobel magnitude of `contrasts`, by blur and method."""


def contrasts() -> np.ndarray:
    """Stripes that fade, for the lower threshold, and squares of 32 contrasts, for the upper one."""
    rows, columns = np.mgrid[:64, :64]
    stripes = rows / 63 * (columns // 8 % 2)
    squares = (8 * (7 - rows // 8) + 2 * (columns // 8 - 4) + 2) / 64 * (rows % 8 < 5) * (columns % 8 < 5)
    return np.where(columns < 32, stripes, squares).astype(np.float32)[None] ** np.float32(0.8)


class Fixed:
    """A generator that draws what it is told: a blur, a method, the noise of the threshold, p."""

    def __init__(self, sigma: float = 1.0, method: str = "otsu", noise: float = 0.0, p: float = 0.0) -> None:
        self.sigma, self.method, self.noise, self.p = sigma, method, noise, p

    def choice(self, options, n):
        options = list(options)
        return np.full(n, self.sigma if self.sigma in options else self.method)

    def normal(self, centre, deviation, n):
        assert centre == 0
        return np.full(n, {10.0: self.noise, 0.2: self.p}[deviation])


def lines(low: float, high: float, sigma: float = 1.0, x: np.ndarray | None = None) -> np.ndarray:
    """The map with hysteresis at these thresholds."""
    return 1 - canny(
        sobel(blurred(contrasts() if x is None else x, np.array([sigma]))), np.array([low]), np.array([high])
    )


@pytest.mark.parametrize(("sigma", "method"), FIGURES)
def test_a_threshold_is_that_of_scikit_image(sigma, method):
    magnitude = sobel(blurred(contrasts(), np.array([sigma]))).magnitude[0]
    assert threshold(magnitude, method) == pytest.approx(FIGURES[sigma, method], abs=1e-5)


def test_there_are_the_five_methods_and_three_blurs_of_the_paper_and_each_is_drawn_as_often(monkeypatch):
    assert set(THRESHOLDS) == {"otsu", "yen", "mean", "isodata", "li"}
    drawn: dict[object, int] = {}

    def noting(values, method):
        drawn[str(method)] = drawn.get(str(method), 0) + 1
        return 1.0

    def blurring(x, sigmas):
        for sigma in sigmas.tolist():
            drawn[sigma] = drawn.get(sigma, 0) + 1
        return x

    monkeypatch.setattr(edges, "threshold", noting)
    monkeypatch.setattr(edges, "blurred", blurring)
    edge_map(np.repeat(contrasts(), 600, axis=0), np.random.default_rng(0))
    assert set(drawn) == {*THRESHOLDS, 0.0, 1.0, 2.0}
    assert all(90 <= drawn[method] <= 150 for method in THRESHOLDS)  # 120 are meant, with a deviation of 10
    assert all(160 <= drawn[sigma] <= 240 for sigma in (0.0, 1.0, 2.0))


def test_the_test_view_has_sigma_1_and_otsu_with_hysteresis_at_half_and_one_and_a_half():
    t = FIGURES[1.0, "otsu"]
    assert np.array_equal(edge_map(contrasts()), lines(0.5 * t, 1.5 * t))


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_of_the_methods_no_two_give_the_same_map_here(sigma):
    found = {lines(0.5 * t, 1.5 * t, sigma).tobytes() for (blur, _), t in FIGURES.items() if blur == sigma}
    assert len(found) == len(THRESHOLDS)


@pytest.mark.parametrize(("sigma", "method"), FIGURES)
@pytest.mark.parametrize("p", [0.0, 0.3, 0.6, -0.6])
def test_a_training_view_has_the_blur_the_method_and_the_hysteresis_that_it_drew(sigma, method, p):
    t = FIGURES[sigma, method]
    low, high = {0.0: (0.5, 1.5), 0.3: (0.2, 1.8), 0.6: (0.1, 2.0), -0.6: (0.9, 1.1)}[p]
    expected = lines(low * t, high * t, sigma)
    if expected.all():
        expected = lines(0.1, 0.2, sigma)
    assert np.array_equal(edge_map(contrasts(), Fixed(sigma, method, p=p)), expected)


def test_thresholds_that_cross_are_swapped():
    t = FIGURES[1.0, "otsu"]
    assert np.array_equal(edge_map(contrasts(), Fixed(p=-0.8)), lines(0.7 * t, 1.3 * t))


def test_the_noise_is_in_levels_of_the_range_or_as_it_is_and_undone_outside():
    t, top = FIGURES[1.0, "otsu"], 2.563574  # magnitudes are from 0 to `top`
    moved = t + 51 / 255 * top
    assert np.array_equal(edge_map(contrasts(), Fixed(noise=51.0)), lines(0.5 * moved, 1.5 * moved))
    moved = t + 0.5
    found = edge_map(contrasts(), Fixed(noise=0.5), mode="reference")
    assert np.array_equal(found, lines(0.5 * moved, 1.5 * moved))
    assert not np.array_equal(found, lines(0.5 * t, 1.5 * t))
    for noise, mode in ((10.0, "reference"), (-10.0, "reference"), (-200.0, "per-image"), (250.0, "per-image")):
        assert np.array_equal(edge_map(contrasts(), Fixed(noise=noise), mode=mode), lines(0.5 * t, 1.5 * t))


def test_a_training_view_without_a_line_has_the_default_thresholds():
    faint = 0.3 * contrasts()  # there are lines below 0.1 and between 0.1 and 0.2
    found = edge_map(faint, Fixed(noise=127.5))  # 1.5 t lies above the largest magnitude
    assert np.array_equal(found, lines(0.1, 0.2, x=faint))
    assert not found.all()


@pytest.mark.parametrize(("size", "sigma"), [(32, 1.0), (31, 0.5), (16, 0.5)])
def test_blurs_are_halved_below_32_pixels(size, sigma):
    x = contrasts()[:, :size, -size:]
    t = otsu(sobel(blurred(x, np.array([sigma]))).magnitude[0])
    assert np.array_equal(edge_map(x), lines(0.5 * t, 1.5 * t, sigma, x))
    assert np.array_equal(edge_map(x, Fixed()), edge_map(x))
    assert not np.array_equal(edge_map(x), lines(0.5 * t, 1.5 * t, 1.5 - sigma, x))


def test_weak_lines_touch_strong_ones_at_corners_too_and_in_their_own_picture_alone(monkeypatch):
    diagonal = np.stack([np.eye(8, dtype=bool)] * 2)
    monkeypatch.setattr(edges, "ridges", lambda gradient: diagonal)
    down = np.full((2, 8, 8), 0.5)
    down[0, 0, 0] = 1.0
    found = canny(edges.Gradient(down, 0 * down), np.full(2, 0.4), np.full(2, 0.9))
    assert found.sum(axis=(1, 2)).tolist() == [8, 0]


def test_borders_have_no_lines():
    x = np.zeros((2, 32, 32), dtype=np.float32)
    x[0, :, 16:], x[1, 16:] = 1, 1
    found = edge_map(x) == 0
    assert found[0, [0, -1]].sum() == found[1, :, [0, -1]].sum() == 0
    assert found[0, 1:-1].any(axis=1).all()


def test_the_reference_mode_draws_one_blur_for_all_pictures(monkeypatch):
    drawn = []
    monkeypatch.setattr(edges, "blurred", lambda x, sigmas: drawn.append(set(sigmas.tolist())) or x)
    for seed in range(20):
        edge_map(np.repeat(square(), 10, axis=0), np.random.default_rng(seed), mode="reference")
    assert {len(one) for one in drawn} == {1}
    assert set.union(*drawn) == {0.0, 1.0, 2.0}


def test_the_family_edges_has_lines_of_a_blur_of_2_at_227_pixels_and_otsu_in_two_colours():
    x = np.repeat(contrasts()[0, ..., None], 3, axis=2)
    (member,) = EDGES
    rng = np.random.default_rng(5)
    low, high = rng.uniform(0.3, 0.7), rng.uniform(1.2, 1.8)
    ground = rng.random(3)
    t = 1.280215  # skimage.filters.threshold_otsu of the magnitude at sigma 0.564
    expected = lines(low * t, high * t, 2 * 64 / 227)[0] == 0
    found = member(x, np.random.default_rng(5), 1.0)
    share = (found - x)[0, 0] / (ground - x[0, 0])  # a corner is ground
    assert 0.8 <= share.mean() <= 1
    assert np.array_equal(np.abs(found - x - share * (ground - x)).max(axis=2) > 1e-5, expected)
