"""Photographs that packages ship, as matching claims use them: by name, and their middle at one size."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain, concatenate
from unseen.data.homographies import middle
from unseen.data.images import as_pixels
from unseen.data.sources.photographs import photographs

SIZE = (480, 320)
"""Width and height of what is matched."""
NOISE = 0.15
"""How far corners are moved, of the shorter side."""
POINTS = 1024


package = functools.cache(photographs)
"""The photographs of a package, found once."""


@functools.cache
def learned_from() -> Domain:
    """Photographs of two packages: nothing of them is matched in any case."""
    return concatenate([package("mate"), package("lomiri")], "photographs")


@functools.cache
def picture_of(case: str) -> NDArray[np.uint8]:
    """A photograph by the name of its package and its own."""
    domain = package(case.partition("/")[0])
    assert domain.ids is not None
    return as_pixels(domain.x[domain.ids.tolist().index(case)])


@functools.cache
def scene(case: str) -> NDArray[np.uint8]:
    """The middle of a photograph, as large as it fits, at 480 x 320."""
    return middle(picture_of(case), *SIZE)


def of_case(case: str) -> Iterable[Domain]:
    """What a case reads."""
    return [package(case.partition("/")[0]), learned_from()]
