"""Hard pictures: blurred, small, camouflaged or occluded; and copies changed at random, to learn from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from unseen.data.augment import random_resized_crop
from unseen.data.domain import Domain
from unseen.data.rand_augment import rand_augment
from unseen.data.simulate.common import changed, lazy_pictures, plasma
from unseen.data.simulate.corruptions import SEVERITIES, corrupted
from unseen.data.simulate.occlusion import occluded
from unseen.data.typing import FloatArray

HARD: Mapping[str, str] = {
    "blur": "out of focus, by a Gaussian as wide as a hundredth of the picture and more",
    "small": "from far away, at a random place on clouds of the colour of its border",
    "camouflaged": "with hardly any contrast to what is around it",
    "occluded": "behind a rectangle of texture",
}
"""How pictures can be hard, and what that is."""
COVERED = (0.15, 0.25, 0.35, 0.45, 0.55)
"""Of an occluded picture, by degree."""
SIDES = (0.6, 0.5, 0.4, 0.3, 0.2)
"""What the sides of a small picture are multiplied with, by degree."""
ORIGINAL = "original"
"""The column of `varied` copies with the id of what each is a copy of."""


def check_hard(name: str, severity: int) -> None:
    """Raise `ValueError` if pictures cannot be hard in this way or degree."""
    if name not in HARD:
        raise ValueError(f"hard must be one of {', '.join(HARD)}; got {name!r}")
    if not 1 <= severity <= SEVERITIES:
        raise ValueError(f"severity must be in [1, {SEVERITIES}]; got {severity}")


def harder(domain: Domain, name: str, severity: int = 3, *, random_state: int = 0) -> Domain:
    """The pictures of a domain, made hard to recognize when they are read; labels, classes and ids stay.

    Parameters
    ----------
    domain : Domain
        Pictures that are read lazily.
    name : {"blur", "small", "camouflaged", "occluded"}
    severity : int
        From 1 to 5.
    random_state : int
        Of places and textures, which differ from picture to picture.

    Raises
    ------
    ValueError
        If there is no such change or degree, or the domain holds no pictures.
    """
    check_hard(name, severity)
    if name == "occluded":
        result = occluded(domain, COVERED[severity - 1], random_state=random_state)
        return result.replace(columns=domain.columns, name=f"{domain.name}, occluded {severity}")
    if name != "small":
        result = corrupted(domain, "contrast" if name == "camouflaged" else name, severity, random_state=random_state)
        return result.replace(name=f"{domain.name}, {name} {severity}")
    share = SIDES[severity - 1]

    def change(x: FloatArray, i: int) -> FloatArray:
        return far_away(x, share, np.random.default_rng((random_state, i)))

    return changed(domain, change, lambda i: f"small {share} {random_state} {i}", f"{domain.name}, small {severity}")


def far_away(x: FloatArray, share: float, rng: np.random.Generator) -> FloatArray:
    """A picture (h, w, 3) in [0, 1] with its sides multiplied by `share`, at a random place of a cloudy ground."""
    from PIL import Image

    height, width = x.shape[:2]
    tall, wide = max(1, round(share * height)), max(1, round(share * width))
    small = Image.fromarray(np.rint(x * 255).astype(np.uint8)).resize((wide, tall), Image.Resampling.BOX)
    border = np.concatenate([x[0], x[-1], x[:, 0], x[:, -1]]).mean(axis=0)
    ground = border + 0.2 * (plasma(height, width, rng)[:, :, None] - 0.5)
    top, left = (int(rng.integers(room + 1)) for room in (height - tall, width - wide))
    ground[top : top + tall, left : left + wide] = np.asarray(small, dtype=np.float32) / 255
    return ground.clip(0, 1).astype(np.float32)


def varied(domain: Domain, copies: int, *, least: float = 0.3, random_state: int = 0) -> Domain:
    """Copies of pictures, each a random crop that two operations of RandAugment change when it is read.

    Parameters
    ----------
    domain : Domain
        Pictures that are read lazily.
    copies : int, >= 1
        Of each picture.
    least : float in (0, 1]
        Share of the area of a picture that a crop has at least.
    random_state : int

    Returns
    -------
    Domain
        ``copies`` times as many pictures, with the labels of their originals, whose ids are the column ``original``.

    Raises
    ------
    ValueError
        If there are no copies to make, or the domain holds no pictures.
    """
    if copies < 1:
        raise ValueError(f"copies must be at least 1; got {copies}")
    lazy_pictures("domain", domain)
    assert domain.ids is not None
    rows = np.tile(np.arange(len(domain)), copies)
    ids = np.array([f"{domain.ids[row]} ({i // len(domain) + 1})" for i, row in enumerate(rows.tolist())])
    columns = {key: column[rows] for key, column in domain.columns.items()} | {ORIGINAL: domain.ids[rows]}
    several = domain.replace(
        x=domain.x[rows], y=None if domain.y is None else domain.y[rows], ids=ids, columns=columns, skipped=()
    )

    def change(x: FloatArray, i: int) -> FloatArray:
        generator = torch.Generator().manual_seed(random_state * 1_000_003 + i)
        picture = random_resized_crop(torch.as_tensor(x).permute(2, 0, 1)[None], generator, scale=(least, 1.0))
        return np.asarray(rand_augment(picture, generator)[0].permute(1, 2, 0), dtype=np.float32)

    return changed(several, change, lambda i: f"varied {least} {random_state} {i}", f"{domain.name}, varied")
