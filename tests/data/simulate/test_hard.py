"""Hard pictures are what they say, always alike; varied copies know what they are copies of."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unseen.data.domain import Domain, Lazy
from unseen.data.simulate.hard import HARD, SIDES, far_away, harder, varied

SIDE = 60


def pictures(n: int = 4) -> Domain:
    """Squares of a colour on white."""

    def read(i: int) -> Image.Image:
        x = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
        x[15:45, 15:45] = (200, 6 * i, 50)
        return Image.fromarray(x)

    ids = np.array([f"square {i}" for i in range(n)])
    return Domain(x=Lazy(range(n), read), y=np.arange(n) % 2, kind="image", ids=ids, columns={"a": ids}, name="squares")


def arrays(domain: Domain) -> np.ndarray:
    return np.stack([np.asarray(picture, dtype=np.float64) for picture in domain.x])


@pytest.mark.parametrize("name", HARD)
def test_hard_pictures_keep_all_but_their_looks_and_are_the_same_each_time(name: str) -> None:
    domain = pictures()
    one, other, third = harder(domain, name), harder(domain, name), harder(domain, name, 5)
    assert np.array_equal(arrays(one), arrays(other))
    assert arrays(one).shape == arrays(domain).shape
    assert one.labels.tolist() == domain.labels.tolist()
    assert one.ids is not None
    assert one.ids.tolist() == domain.ids.tolist()  # type: ignore[union-attr]
    assert set(one.columns) == {"a"}
    away = [np.abs(arrays(made) - arrays(domain)).mean() for made in (one, third)]
    assert 0 < away[0] < away[1]
    digests = [made.digests().tolist() for made in (domain, one, third)]
    assert one.digests().tolist() == other.digests().tolist()
    assert len({digest for part in digests for digest in part}) == 12


@pytest.mark.parametrize("name", ["small", "occluded"])
def test_places_are_drawn_from_the_seed(name: str) -> None:
    one, other = (harder(pictures(), name, random_state=seed) for seed in (0, 1))
    assert not np.array_equal(arrays(one), arrays(other))


@pytest.mark.parametrize("share", SIDES)
def test_a_small_picture_is_there_whole_on_ground_of_the_colour_of_its_border(share: float) -> None:
    x = np.zeros((50, 50, 3), dtype=np.float32)
    x[10:40, 10:40] = (1.0, 0.0, 0.0)
    made = far_away(x, share, np.random.default_rng(0))
    red = made[..., 0] - made[..., 1]
    side = np.sqrt((red > 0.5).sum())
    assert abs(side - 30 * share) <= 2
    assert made[red < 0.05].max() < 0.2
    white = far_away(np.ones((50, 50, 3), dtype=np.float32), share, np.random.default_rng(0))
    assert white.min() > 0.85


def test_varied_copies_have_the_labels_of_their_originals() -> None:
    made = varied(pictures(3), 2)
    assert len(made) == 6
    assert made.columns["original"].tolist() == [f"square {i}" for i in range(3)] * 2
    assert made.labels.tolist() == [0, 1, 0] * 2
    looks = arrays(made)
    assert looks.shape == (6, SIDE, SIDE, 3)
    assert np.array_equal(looks, arrays(varied(pictures(3), 2)))
    assert len({look.tobytes() for look in looks}) == 6
    assert not np.array_equal(looks, arrays(varied(pictures(3), 2, random_state=1)))


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match="hard must be one of blur, small, camouflaged, occluded; got 'dark'"):
        harder(pictures(), "dark")
    with pytest.raises(ValueError, match=r"severity must be in \[1, 5\]; got 6"):
        harder(pictures(), "small", 6)
    with pytest.raises(ValueError, match="domain must hold pictures"):
        harder(Domain(x=np.zeros((2, 3))), "small")
    with pytest.raises(ValueError, match="domain must hold pictures"):
        varied(Domain(x=np.zeros((2, 3))), 1)
    with pytest.raises(ValueError, match="copies must be at least 1"):
        varied(pictures(), 0)
