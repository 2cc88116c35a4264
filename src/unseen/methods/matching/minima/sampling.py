"""Training pairs: labels of photographs, with one side rendered in another modality."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from unseen.data.homographies import apply, moved_corners, warped
from unseen.data.images import as_pixels
from unseen.data.opencv import opencv
from unseen.data.pairs import Pairs
from unseen.data.simulate.modalities import render
from unseen.methods.matching.tuning import Batch, batch_of, filled

Pairing = Literal["visible-x", "any-any"]
STEP = 8
"""Pixels between the points of ground truth."""
LONGEST = 640
"""Pixels of the longer side of a photograph that is learned from."""
WINDOW = 1.5
"""Sides of what is rendered, of those of the crops: a warp may look beyond the crop."""


class Draw(NamedTuple):
    """Which modality either side of a pair has."""

    first: str
    second: str

    @property
    def told(self) -> str:
        """The pair in words: what is not visible, or ``visible``."""
        others = [name for name in self if name != "visible"]
        return "-".join(others) or "visible"


@dataclasses.dataclass(frozen=True)
class Sampler:
    """Which modalities the two sides of a pair are given.

    Parameters
    ----------
    modalities : sequence of str
        They should hold ``visible``, which keeps what the matcher knew.
    pairing : {"visible-x", "any-any"}
        One side alone is replaced, as in the released code; or either side is drawn by itself.
    weights : sequence of float
        How often each modality is drawn; all alike if empty.
    """

    modalities: Sequence[str]
    pairing: Pairing = "visible-x"
    weights: Sequence[float] = ()

    def draw(self, rng: np.random.Generator) -> Draw:
        """A modality, and the side that gets it; the other side stays the photograph."""
        share = np.asarray(self.weights, dtype=np.float64) if len(self.weights) else np.ones(len(self.modalities))
        first, second = rng.choice(len(self.modalities), 2, p=share / share.sum())
        if self.pairing == "any-any":
            return Draw(self.modalities[first], self.modalities[second])
        drawn = (self.modalities[first], "visible")
        return Draw(*(drawn if rng.random() < 0.5 else drawn[::-1]))


@runtime_checkable
class Pool(Protocol):
    """What pairs are cut from."""

    def __len__(self) -> int: ...

    def cut(
        self, i: int, draw: Draw, side: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]:
        """Both crops, (side, side, 3), and rows of points that belong together, (n, 4)."""
        ...


@dataclasses.dataclass(frozen=True)
class Photographs:
    """Single photographs: the second picture is the first one, warped by a random homography.

    A side is rendered before it is warped: a generator sees a photograph as it was taken.
    """

    pictures: Sequence[NDArray[np.uint8]]
    warp: float
    turn: float
    cache: Path | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    def cut(
        self, i: int, draw: Draw, side: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]:
        """A window of the photograph, twice, and the middle of the one against the warped middle of the other."""
        window, offset = _window(self.pictures[i], side, rng)
        left, right = (render(window, name, int(rng.integers(2**31)), cache=self.cache) for name in draw)
        matrix = moved_corners(rng, side, side, self.warp) @ _turned(rng, side, self.turn)
        shift = np.array([[1, 0, offset], [0, 1, offset], [0, 0, 1]], dtype=np.float64)
        first = np.ascontiguousarray(left[offset : offset + side, offset : offset + side])
        second = warped(right, matrix @ np.linalg.inv(shift), side, side)
        points = _grid(side, rng)
        there = apply(matrix, points)
        inside = (there >= 0).all(axis=1) & (there <= side - 1).all(axis=1)
        return first, second, np.column_stack([points, there])[inside]


@dataclasses.dataclass(frozen=True)
class Posed:
    """Two photographs of a scene with points that are known to belong together, each rendered from its own."""

    left: Sequence[NDArray[np.uint8]]
    right: Sequence[NDArray[np.uint8]]
    matches: Sequence[NDArray[np.float64]]
    cache: Path | None = None

    def __len__(self) -> int:
        return len(self.matches)

    def cut(
        self, i: int, draw: Draw, side: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]:
        """A crop of either picture around a match, with all matches that lie in both."""
        rows = self.matches[i]
        centre = rows[rng.integers(len(rows))]
        crops, moved = [], rows.copy()
        for k, (picture, name) in enumerate(zip((self.left[i], self.right[i]), draw)):
            crop, corner = _around(picture, centre[2 * k : 2 * k + 2], side)
            crops.append(render(crop, name, int(rng.integers(2**31)), cache=self.cache))
            moved[:, 2 * k : 2 * k + 2] -= corner
        inside = ((moved >= 0) & (moved <= side - 1)).all(axis=1)
        return crops[0], crops[1], moved[inside]


def batches_of(
    pool: Pool,
    sampler: Sampler,
    rng: np.random.Generator,
    *,
    side: int,
    batch_size: int,
    points: int,
    visible: bool = False,
) -> Iterator[Batch]:
    """Batches without an end: pictures in random order, each twice in a row of the order, as it is drawn anew.

    Each picture stands twice in a pass, so that it is likely to be seen with and without another modality. With
    `visible` both sides stay photographs, as in validation.
    """
    queue: list[int] = []

    def drawn() -> Any:
        queue[:] = queue or [k // 2 for k in rng.permutation(2 * len(pool)).tolist()]
        draw = Draw("visible", "visible") if visible else sampler.draw(rng)
        return *pool.cut(queue.pop(), draw, side, rng), draw.told

    while True:
        cuts = filled(batch_size, drawn, 1, f"hardly any crop of {side} pixels holds a point: take a larger side")
        yield batch_of(cuts, tuple(cut[3] for cut in cuts), points, rng)


# -- pieces of pictures ------------------------------------------------------------------------------------


def read_pictures(samples: Any, longest: int = LONGEST, *, name: str = "source") -> list[NDArray[np.uint8]]:
    """Photographs, none with a longer side than `longest`; what cannot be read is named."""
    pictures = []
    for i in range(len(samples)):
        try:
            picture = as_pixels(samples[i])
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}, sample {i}: {error}") from error
        pictures.append(_shrunk(picture, longest))
    return pictures


def read_pairs(pairs: Pairs) -> Posed:
    """Both sides and their matches, of the column ``matches``; pairs are not made smaller, as their points are given.

    Raises
    ------
    ValueError
        If there is no such column, or an entry is no table of x, y, x, y inside the pictures.
    """
    if "matches" not in pairs.columns:
        raise ValueError(
            "pairs must have the column matches: for each pair rows of x, y on the left and x, y on the right"
        )
    left, right = (read_pictures(side.x, 10**9, name=f"pairs, {side.name}") for side in (pairs.left, pairs.right))
    rows = []
    for i, entry in enumerate(pairs.columns["matches"]):
        points = np.asarray(entry, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 4 or not np.isfinite(points).all():
            raise ValueError(f"pairs, matches of pair {i}: rows of four finite numbers are needed; got {points.shape}")
        size = np.array([left[i].shape[1], left[i].shape[0], right[i].shape[1], right[i].shape[0]])
        points = points[((points >= 0) & (points <= size - 1)).all(axis=1)]
        if not len(points):
            raise ValueError(f"pairs, matches of pair {i}: none lies in both pictures")
        rows.append(points)
    return Posed(left, right, rows)


def _shrunk(picture: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return picture
    cv2 = opencv()
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def _window(picture: NDArray[np.uint8], side: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], int]:
    """A square at a random place and size, brought to `WINDOW` times the crop, and where the crop begins in it."""
    cv2 = opencv()
    outer = round(WINDOW * side)
    height, width = picture.shape[:2]
    cut = min(height, width, round(outer * rng.uniform(0.8, 1.4)))
    top, left = rng.integers(height - cut + 1), rng.integers(width - cut + 1)
    piece = picture[top : top + cut, left : left + cut]
    way = cv2.INTER_AREA if cut > outer else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(piece, (outer, outer), interpolation=way)), (outer - side) // 2


def _turned(rng: np.random.Generator, side: int, most: float) -> NDArray[np.float64]:
    """A turn about the middle by up to `most` degrees either way."""
    angle, middle = np.deg2rad(rng.uniform(-most, most)), (side - 1) / 2
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, middle - c * middle + s * middle], [s, c, middle - s * middle - c * middle], [0, 0, 1]])


def _grid(side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points every `STEP` pixels, from a random first one."""
    x, y = np.meshgrid(*(np.arange(rng.integers(STEP), side, STEP) for _ in range(2)))
    return np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)


def _around(
    picture: NDArray[np.uint8], point: NDArray[np.float64], side: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A crop about a point, black beyond the picture, and its upper left corner."""
    height, width = picture.shape[:2]
    low = np.clip(np.rint(point - side / 2).astype(np.int64), 0, np.maximum([width - side, height - side], 0))
    piece = picture[low[1] : low[1] + side, low[0] : low[0] + side]
    crop = np.zeros((side, side, 3), dtype=np.uint8)
    crop[: piece.shape[0], : piece.shape[1]] = piece
    return crop, low
