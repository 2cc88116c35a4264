"""Pictures as consoles draw them."""

import numpy as np
import pytest

from unseen.data.domain import Domain
from unseen.data.renditions import FACETS, GENERATIONS, console, consoles

X = np.random.default_rng(0).random((3, 3, 64, 64), dtype=np.float32)


def colours(picture: np.ndarray) -> int:
    return len(np.unique(picture.reshape(3, -1), axis=1).T)


def test_grids_and_colours_are_those_of_their_generation() -> None:
    for generation, side, limit in (("8-bit", 16, 4), ("16-bit", 32, 16)):
        drawn = console(X, generation)
        assert drawn.shape == X.shape
        cells = drawn.reshape(3, 3, side, 64 // side, side, 64 // side)
        assert np.ptp(cells, axis=(3, 5)).max() == 0
        assert max(map(colours, drawn)) <= limit


def test_facets_are_triangles_of_their_mean_colour() -> None:
    drawn = console(X, "low-poly")
    assert colours(drawn[0]) == 2 * FACETS**2
    np.testing.assert_allclose(drawn.mean(axis=(2, 3)), X.mean(axis=(2, 3)), atol=1e-5)


def test_a_plain_picture_is_drawn_as_it_is() -> None:
    plain = np.full((1, 3, 20, 30), 0.2, dtype=np.float32)
    for generation in GENERATIONS:
        np.testing.assert_allclose(console(plain, generation), plain, atol=1 / 255)


def test_every_picture_stands_once_in_each_style() -> None:
    domain = Domain(x=X, y=np.array([0, 1, 0]), kind="image", name="scenes")
    drawn = consoles(domain)
    assert drawn.domains == tuple(sorted(GENERATIONS))
    assert drawn.labels.tolist() == 4 * [0, 1, 0]
    np.testing.assert_array_equal(drawn.x[drawn.columns["domain"] == "full"], X)


def test_bad_pictures_are_named() -> None:
    with pytest.raises(ValueError, match="of shape"):
        console(X[:, :1], "8-bit")
    with pytest.raises(ValueError, match="values in"):
        console(255 * X, "8-bit")
    with pytest.raises(ValueError, match="generation must be one of"):
        console(X, "64-bit")
    with pytest.raises(ValueError, match="domain must hold pictures"):
        consoles(Domain(x=np.zeros((2, 3)), y=np.array([0, 1])))
