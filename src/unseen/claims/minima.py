"""What MINIMA's abstract asserts, as experiments on photographs that packages ship."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.claims.base import Result
from unseen.data.domain import Domain, concatenate
from unseen.data.homographies import correspondences, generator_of, moved_corners, warped
from unseen.data.images import as_pixels
from unseen.data.opencv import opencv
from unseen.data.simulate.modalities import luma, modality_names, render
from unseen.data.sources.photographs import photographs
from unseen.data.tasks.base import objects
from unseen.evaluation.tasks import grades_of
from unseen.methods.matching.matcher import PairMatcher, turned
from unseen.methods.matching.minima import MINIMA
from unseen.nn.matchers import matcher
from unseen.runtime import without_checkpoints

TRAINED = ("event", "sketch", "infrared", "normal")
"""Modalities that are learned from."""
UNSEEN = ("paint", "negative", "night", "thermal")
"""Modalities that no arm learns from."""
SIZE = (480, 320)
"""Width and height of what is matched."""
NOISE = 0.15
"""How far corners are moved, of the shorter side."""
POINTS = 1024
SETTINGS: dict[str, Any] = {"steps": 300}
"""Of both arms that learn; the rest is the default."""


# -- photographs -------------------------------------------------------------------------------------------


@functools.cache
def learned_from() -> Domain:
    """Photographs of two packages: nothing of them is matched in any case."""
    return concatenate([photographs("mate"), photographs("lomiri")], "photographs")


@functools.cache
def scene(case: str) -> NDArray[np.uint8]:
    """The middle of a photograph, as large as it fits, at 480 x 320."""
    name = case.partition("/")[0]
    domain = photographs(name)
    assert domain.ids is not None
    picture = as_pixels(domain.x[domain.ids.tolist().index(case)])
    height, width = picture.shape[:2]
    scale = min(width / SIZE[0], height / SIZE[1])
    w, h = round(SIZE[0] * scale), round(SIZE[1] * scale)
    top, left = (height - h) // 2, (width - w) // 2
    middle = np.ascontiguousarray(picture[top : top + h, left : left + w])
    return np.asarray(opencv().resize(middle, SIZE, interpolation=opencv().INTER_AREA))


def of_case(case: str) -> Iterable[Domain]:
    """What a case reads."""
    return [photographs(case.partition("/")[0]), learned_from()]


# -- matchers ----------------------------------------------------------------------------------------------


@functools.cache
def untuned(name: str, renderings: bool = False, rotations: bool = False) -> PairMatcher:
    """A matcher with its published weights."""
    return PairMatcher(renderings=renderings, rotations=rotations).fit(model=matcher(name, points=POINTS))


@functools.cache
def tuned(seed: int, modalities: tuple[str, ...] | None = None) -> MINIMA:
    """XFeat after the same steps, on all modalities of the default list or on those named."""
    settings = {**SETTINGS, "random_state": seed} | ({} if modalities is None else {"modalities": modalities})
    with without_checkpoints():
        return MINIMA(**settings).fit(source=learned_from(), model=matcher("xfeat", points=POINTS))


def with_renderings(method: MINIMA) -> MINIMA:
    """The same tuned matcher, asked in three ways."""
    asked = MINIMA(**{**method.get_params(), "renderings": True})
    asked.network_ = method.network_
    return asked


def arms(seed: int) -> dict[str, PairMatcher]:
    """All matchers of a seed."""
    made: dict[str, PairMatcher] = {
        "xfeat": untuned("xfeat"),
        "control": tuned(seed, ("visible",)),
        "minima": tuned(seed),
        "three ways": untuned("xfeat", renderings=True),
        "sift": untuned("sift"),
        "orb": untuned("orb"),
    }
    return made | {"minima, three ways": with_renderings(tuned(seed))}


# -- modalities --------------------------------------------------------------------------------------------


def pair_of(picture: NDArray[np.uint8], name: str, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Any]:
    """The second picture, rendered and then warped, and the truth."""
    matrix = moved_corners(rng, *SIZE, NOISE)
    second = warped(render(picture, name, int(rng.integers(2**31))), matrix, *SIZE)
    return second, correspondences(matrix, *SIZE)


def run_modalities(case: str, seed: int) -> Result:
    """One photograph against itself, rendered and warped: `auc@10` and `accuracy@3` of every modality and matcher."""
    grades, picture = grades_of("matches"), scene(case)
    table: Result = {}
    for name in ("visible", *TRAINED, *UNSEEN):
        second, truth = pair_of(picture, name, generator_of(f"{case}:{name}", seed))
        for arm, method in arms(seed).items():
            found = method.matches_of(picture, second).points
            figures = grades.grade(objects([truth]), objects([found]), None)
            table.setdefault(arm, {})[f"{name} auc"] = figures["auc@10"]
            table[arm][f"{name} accuracy"] = figures["accuracy@3"]
    for figures in table.values():
        for told, names in (("trained", TRAINED), ("unseen", UNSEEN)):
            for metric in ("auc", "accuracy"):
                figures[f"{told} {metric}"] = float(np.mean([figures[f"{name} {metric}"] for name in names]))
    return table


# -- turned pictures ---------------------------------------------------------------------------------------


def run_turned(case: str, seed: int) -> Result:
    """The second picture is warped and turned by a quarter."""
    picture = scene(case)
    second, truth = pair_of(picture, "visible", generator_of(f"{case}:turned", seed))
    x, y = truth[:, 2].copy(), truth[:, 3].copy()
    truth[:, 2], truth[:, 3] = y, SIZE[0] - 1 - x
    table = {}
    for arm, method in {
        "xfeat": untuned("xfeat"), "xfeat, rotations": untuned("xfeat", rotations=True), "sift": untuned("sift"),
    }.items():  # fmt: skip
        found = method.matches_of(picture, turned(second, 1)).points
        table[arm] = {"auc": grades_of("matches").grade(objects([truth]), objects([found]), None)["auc@10"]}
    return table


# -- the engine --------------------------------------------------------------------------------------------


def run_engine(case: str, seed: int) -> Result:
    """How far contours lie from those of the photograph, and whether warping commutes with rendering."""
    cv2, picture = opencv(), scene(case)
    rng = generator_of(f"{case}:engine", seed)
    matrix = moved_corners(rng, *SIZE, 0.05)
    table = {}
    for name in modality_names():
        draw = int(rng.integers(2**31))
        made = render(picture, name, draw)
        one, other = contours(picture), contours(made)
        (dx, dy), _ = cv2.phaseCorrelate(one, other)
        after, before = warped(made, matrix, *SIZE), render(warped(picture, matrix, *SIZE), name, draw)
        inside = cv2.erode(warped(np.full_like(picture, 255), matrix, *SIZE)[..., 0], np.ones((25, 25))) > 0
        both = np.corrcoef(
            cv2.GaussianBlur(luma(after), (0, 0), 3)[inside], cv2.GaussianBlur(luma(before), (0, 0), 3)[inside]
        )
        table[name] = {"pixels off": float(np.hypot(dx, dy)), "agreement": float(np.nan_to_num(both[0, 1]))}
    return table


def contours(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How strongly a blurred grey picture changes."""
    cv2 = opencv()
    grey = cv2.GaussianBlur(luma(picture), (0, 0), 2.0)
    return np.asarray(np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)), dtype=np.float32)
