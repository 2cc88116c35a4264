"""Collages: masks are exact, lights are declared, and cut-outs come from drawings."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.simulate.collages import LIGHTS, collages, ink_cutouts, lit
from unseen.data.sources import digits

PHOTO = np.full((80, 90, 3), 100, dtype=np.uint8)


def squares() -> Domain:
    """Opaque squares in two colours that no background has."""
    x = np.zeros((2, 4, 16, 16), dtype=np.uint8)
    x[0, 0], x[1, 1], x[:, 3] = 255, 255, 255
    return Domain(x=x, y=np.array([0, 1]), kind="image", classes=ClassSpace(names=("red", "green")))


def test_the_mask_says_where_each_cut_out_lies() -> None:
    made = collages(squares(), [PHOTO], 20, side=32)
    assert made.task == "mask"
    assert made.classes is not None
    assert made.classes.names == ("background", "red", "green")
    for picture, mask in zip(made.x, made.labels):
        for label, colour in ((0, (100 / 255,) * 3), (1, (1, 0, 0)), (2, (0, 1, 0))):
            inside = picture[:, mask == label]
            np.testing.assert_allclose(inside, np.tile(np.array(colour)[:, None], inside.shape[1]), atol=0.01)


def test_one_seed_gives_the_same_pictures() -> None:
    one, again, other = (collages(squares(), [PHOTO], 3, random_state=seed) for seed in (0, 0, 1))
    assert one.fingerprint(labels=True) == again.fingerprint(labels=True) != other.fingerprint(labels=True)


@pytest.mark.parametrize("light", LIGHTS)
def test_a_light_changes_pictures_and_never_masks(light: str) -> None:
    x = np.random.default_rng(0).random((3, 24, 24)).astype(np.float32)
    out = lit(x, light, np.random.default_rng(1))
    assert out.dtype == np.float32
    assert 0 <= out.min() <= out.max() <= 1
    assert np.array_equal(out, x) == (light == "plain")


def test_ink_is_cut_out_of_paper() -> None:
    drawn = digits("handwritten", size=16).take(slice(0, 4))
    cut = ink_cutouts(drawn)
    assert cut.x.shape == (4, 4, 16, 16)
    paper = np.stack([np.asarray(picture.convert("L")) for picture in drawn.x])
    assert np.array_equal(cut.x[:, 3], 255 - paper)
    assert np.array_equal(cut.labels, drawn.labels)


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match="light must be one of plain, dusk"):
        collages(squares(), [PHOTO], 1, light="neon")
    with pytest.raises(ValueError, match="there must be a photograph"):
        collages(squares(), [], 1)
