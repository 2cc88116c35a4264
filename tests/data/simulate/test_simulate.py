"""Declared simulations: corruptions and occluders are what they say, always alike, and known to the cache."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unseen.data.domain import Domain, Lazy
from unseen.data.simulate import CORRUPTIONS, corrupted, covered_cells, occluded
from unseen.data.simulate.common import plasma

SIDE = 60


def pictures(n: int = 4) -> Domain:
    """Squares of a colour on white."""

    def read(i: int) -> Image.Image:
        x = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
        x[15:45, 15:45] = (200, 6 * i, 50)
        return Image.fromarray(x)

    return Domain(x=Lazy(range(n), read), y=np.arange(n) % 2, kind="image", name="squares")


def arrays(domain: Domain) -> np.ndarray:
    return np.stack([np.asarray(picture, dtype=np.float64) for picture in domain.x])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_degree_is_further_from_the_picture(name: str) -> None:
    clean = arrays(pictures())
    away = [np.abs(arrays(corrupted(pictures(), name, severity)) - clean).mean() for severity in range(1, 6)]
    assert away[0] > 0
    assert all(one < other for one, other in zip(away, away[1:]))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_pictures_keep_size_labels_and_are_the_same_each_time(name: str) -> None:
    one, other = corrupted(pictures(), name, 3), corrupted(pictures(), name, 3)
    assert np.array_equal(arrays(one), arrays(other))
    assert arrays(one).shape == (4, SIDE, SIDE, 3)
    assert np.array_equal(one.labels, pictures().labels)
    assert one.digests().tolist() == other.digests().tolist()


def test_what_is_changed_has_another_digest() -> None:
    made = [pictures(), *(corrupted(pictures(), "fog", 2, random_state=seed) for seed in (0, 1))]
    made += [corrupted(pictures(), "fog", 3), occluded(pictures(), 0.2), occluded(pictures(), 0.3)]
    made += [occluded(pictures(), 0.2, random_state=1)]
    made += [occluded(pictures(), 0.2, fill="pictures", others=pictures())]
    digests = np.concatenate([domain.digests() for domain in made])
    assert len(np.unique(digests)) == 4 * len(made)


@pytest.mark.parametrize("share", [0.05, 0.4, 0.8])
@pytest.mark.parametrize("fill", ["texture", "pictures"])
def test_an_occluder_covers_its_share_where_it_says(share: float, fill: str) -> None:
    made = occluded(pictures(40), share, fill=fill, others=pictures(), random_state=3)  # type: ignore[arg-type]
    boxes = made.columns["occluder"]
    assert ((boxes >= 0) & (boxes <= 1)).all()
    np.testing.assert_allclose((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), share)
    changed = (arrays(made) != arrays(pictures(40))).any(axis=3)
    left, top, right, bottom = np.rint(boxes * SIDE).astype(int).T
    for i in range(40):
        changed[i, top[i] : bottom[i], left[i] : right[i]] = False
    assert not changed.any()
    if fill == "texture":
        inside = (arrays(made) != arrays(pictures(40))).any(axis=3).mean(axis=(1, 2))
        assert np.abs(inside - share).max() < 0.06  # a colour of the texture may equal that of the picture


def test_cells_are_covered_as_counting_pixels_says() -> None:
    boxes = np.random.default_rng(0).random((20, 2, 2)).round(2)
    boxes = np.concatenate([boxes.min(axis=1), boxes.max(axis=1)], axis=1)
    found = covered_cells(boxes, 5)
    for box, cells in zip(boxes, found):
        mask = np.zeros((100, 100))
        left, top, right, bottom = np.rint(box * 100).astype(int)
        mask[top:bottom, left:right] = 1
        np.testing.assert_allclose(cells, mask.reshape(5, 20, 5, 20).mean(axis=(1, 3)), atol=1e-9)


def test_clouds_lie_in_the_unit_interval_at_any_size() -> None:
    for size in ((1, 1), (3, 70), (64, 64)):
        cloud = plasma(*size, np.random.default_rng(0))
        assert cloud.shape == size
        assert 0 <= cloud.min() <= cloud.max() <= 1


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="name must be one of fog"):
        corrupted(pictures(), "rain", 1)
    with pytest.raises(ValueError, match="severity"):
        corrupted(pictures(), "fog", 6)
    with pytest.raises(ValueError, match="share"):
        occluded(pictures(), 0.9)
    with pytest.raises(ValueError, match="others"):
        occluded(pictures(), 0.2, fill="pictures")
    with pytest.raises(ValueError, match="must hold pictures; 'sounds' holds sounds"):
        corrupted(Domain(x=Lazy([0, 1], str), kind="audio", name="sounds"), "fog", 1)
    with pytest.raises(ValueError, match=r"must hold pictures as `Lazy`.* holds an array"):
        corrupted(Domain(x=np.zeros((2, 3, 8, 8), dtype=np.float32), kind="image"), "fog", 1)


def test_arrays_are_no_pictures_to_cut_from():
    table = Domain(x=np.zeros((3, 4), dtype=np.float32), name="table")
    with pytest.raises(ValueError, match="others must hold pictures; 'table' holds features"):
        occluded(pictures(), 0.3, fill="pictures", others=table)
