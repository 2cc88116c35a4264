"""What matching needs beside the words of `fit`: a network that matches, and pictures large enough to be matched."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import nn

from unseen.data.domain import Domain, Lazy
from unseen.data.pairs import Pairs
from unseen.methods.needs import Given, Need
from unseen.nn.protocols import Matcher

SIDE = 72
"""Pixels of a side of the pictures of an example."""


@dataclasses.dataclass(frozen=True)
class AMatcher(Need):
    """A `model` that matches pictures (`unseen.nn.protocols.Matcher`), such as `unseen.nn.matchers.matcher()`."""

    first: ClassVar[bool] = True

    def lacks(self, given: Given) -> str | None:
        """Return that the model is no matcher."""
        if isinstance(given.inputs.get("model"), Matcher):
            return None
        return "matches pictures by a matcher: unseen match, or fit it in Python, with unseen.nn.matchers"

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return a small matcher, and photographs in the place of what has none."""
        examples: dict[str, Any] = {}
        if isinstance(inputs.get("model"), nn.Module):
            examples["model"] = small_matcher()
        if "source" in inputs:
            examples["source"] = scenes("source", 4, 2)
        if "pairs" in inputs:
            examples["pairs"] = scene_pairs(4, 3)
        if isinstance(inputs.get("teachers"), Mapping):
            examples["teachers"] = {name: small_matcher() for name in inputs["teachers"]}
        if "auxiliary" in inputs:
            examples["auxiliary"] = scenes("auxiliary", 3, 5)
        return examples


@dataclasses.dataclass(frozen=True)
class FramesOfVideos(Need):
    """A `source` of frames that follow each other; columns video and frame say of which video, and which."""

    def lacks(self, given: Given) -> str | None:
        """Return that the source has no frames in order."""
        source = given.inputs.get("source")
        if not isinstance(source, Domain) or "video" in source.columns:
            return None
        return "learns from frames of videos: unseen match learn VIDEO, or a source with the columns video and frame"

    def example(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return frames of a window that slides over a scene."""
        return {"source": frames("source", 1, 8, 4)} if "source" in inputs else {}


def small_matcher() -> nn.Module:
    """XFeat with fresh weights, few points: quick, and of no use."""
    from unseen.nn.matchers import mutual_nearest, tunable_matcher
    from unseen.nn.xfeat import xfeat
    from unseen.runtime import reproducible

    with reproducible(11):
        return tunable_matcher(xfeat(64, 0.0), mutual_nearest()).eval()


def scene(seed: int, side: int = SIDE) -> np.ndarray:
    """A picture of coloured rectangles with texture, (side, side + 8, 3) of bytes."""
    rng = np.random.default_rng(seed)
    picture = np.full((side, side + 8, 3), 128.0) + rng.normal(0, 12, (side, side + 8, 1))
    for _ in range(14):
        (y, x), (h, w) = rng.integers(0, side - 8, 2), rng.integers(6, side // 2, 2)
        picture[y : y + h, x : x + w] = rng.uniform(0, 255, 3) + rng.normal(0, 10, (1, 1, 3))
    return np.clip(picture, 0, 255).astype(np.uint8)


def scenes(name: str, n: int, seed: int) -> Domain:
    """Pictures without labels."""
    return _domain(name, [scene(100 * seed + i) for i in range(n)])


def frames(name: str, videos: int, n: int, seed: int) -> Domain:
    """Frames of windows that slide over scenes by 8 pixels each, with the columns video and frame."""
    wide = [scene(100 * seed + v, SIDE + 8 * n) for v in range(videos)]
    pictures = [np.ascontiguousarray(picture[:SIDE, 8 * t : 8 * t + SIDE]) for picture in wide for t in range(n)]
    columns = {"video": np.repeat([f"v{v}" for v in range(videos)], n), "frame": np.tile(np.arange(n), videos)}
    return _domain(name, pictures).replace(columns=columns)


def scene_pairs(n: int, seed: int) -> Pairs:
    """Pictures and the same moved by a few pixels, with where points have gone in the column ``matches``."""
    left, right, rows = [], [], []
    for i in range(n):
        picture, shift = scene(100 * seed + i), 3 + i % 4
        left.append(picture)
        right.append(np.roll(picture, shift, axis=1))
        y, x = np.mgrid[4:SIDE:8, 4 : SIDE - 8 : 8]
        points = np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)
        rows.append(np.column_stack([points, points + [shift, 0]]))
    matches = np.empty(n, dtype=object)
    for i, points in enumerate(rows):
        matches[i] = points
    return Pairs(_domain("left", left), _domain("right", right), columns={"matches": matches}, name="pairs")


def _domain(name: str, pictures: Sequence[np.ndarray]) -> Domain:
    return Domain(x=Lazy(range(len(pictures)), lambda i: pictures[i]), kind="image", name=name)
