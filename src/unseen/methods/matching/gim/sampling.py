"""Training pairs: frames far apart, cut, scaled, turned and warped with their labels, beside warped photographs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.homographies import apply, moved_corners
from unseen.data.images import as_pixels
from unseen.data.opencv import opencv
from unseen.methods.matching.gim.augment import WAYS
from unseen.methods.matching.gim.propagation import FarPair
from unseen.methods.matching.minima.sampling import Draw, Photographs
from unseen.methods.matching.tuning import Batch, batch_of, filled

Picture = NDArray[np.uint8]
Rows = NDArray[np.float64]
BINS = 4
"""Groups of pairs by equal steps of overlap, drawn from alike: hard pairs are seen as often as easy ones."""
KEPT = 512
"""Frames that are kept decoded."""
STILLS = 300
"""Frames that are warped as photographs where no others are given, at most."""
VISIBLE = Draw("visible", "visible")


class Video(NamedTuple):
    """The frames of one video, in order: which samples of a domain they are."""

    name: str
    frames: tuple[int, ...]


class Cut(NamedTuple):
    """Two crops and the points that belong together, (n, 4)."""

    first: Picture
    second: Picture
    rows: Rows


@dataclasses.dataclass(frozen=True)
class Strength:
    """How far pairs are changed.

    Parameters
    ----------
    left, right : (float, float)
        Range of the scales of either side.
    perspective : float
        How far corners of either crop are moved, of its side.
    flip : float in [0, 1]
        How often a side is turned by 180 degrees.
    light : str
        A way of `unseen.methods.matching.gim.augment`.
    spread : float
        Pixels of the squares of which each has one label at most: nearer ones would be called wrong for each other.
    """

    left: tuple[float, float]
    right: tuple[float, float]
    perspective: float
    flip: float
    light: str
    spread: float = 4.0


@dataclasses.dataclass(frozen=True)
class FramePairs:
    """Frames far apart with their labels."""

    read: Callable[[int, int], Picture]
    """From the number of a video and a frame to the picture."""
    pairs: Sequence[tuple[int, FarPair]]
    strength: Strength

    def __len__(self) -> int:
        return len(self.pairs)

    @functools.cached_property
    def bins(self) -> list[NDArray[np.intp]]:
        """Pairs by overlap, in groups of equal steps between the least and the most; none is empty."""
        shares = np.array([pair.overlap for _, pair in self.pairs])
        group = np.digitize(shares, np.linspace(shares.min(), shares.max(), BINS + 1)[1:-1])
        return [np.flatnonzero(group == k) for k in np.unique(group)]

    def draw(self, rng: np.random.Generator) -> int:
        """A pair, of any group alike."""
        part = self.bins[rng.integers(len(self.bins))]
        return int(part[rng.integers(len(part))])

    def cut(self, i: int, side: int, rng: np.random.Generator) -> Cut:
        """Both frames, changed, with the labels that lie in both crops."""
        video, pair = self.pairs[i]
        anchor = pair.rows[rng.integers(len(pair.rows))]
        pictures, moved = [], []
        for k, (t, scales) in enumerate(((pair.first, self.strength.left), (pair.last, self.strength.right))):
            frame, points = self.read(video, t), pair.rows[:, 2 * k : 2 * k + 2]
            matrix = placing(frame.shape, points, anchor[2 * k : 2 * k + 2], side, scales, self.strength, rng)
            pictures.append(seen(frame, matrix, side))
            moved.append(apply(matrix, points))
        rows = np.column_stack(moved)
        inside = np.isfinite(rows).all(axis=1) & (rows >= 0).all(axis=1) & (rows <= side - 1).all(axis=1)
        return Cut(pictures[0], pictures[1], thinned(np.unique(rows[inside], axis=0), self.strength.spread, rng))


def placing(
    shape: tuple[int, ...],
    points: Rows,
    anchor: NDArray[np.float64],
    side: int,
    scales: tuple[float, float],
    strength: Strength,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """From pixels of a frame to those of a crop: scaled, cut within the box of the labels, turned, seen from aside.

    The crop holds the whole box where it fits, and lies within it where it does not; it always holds the anchor.
    """
    scale = rng.uniform(*scales)
    low, high = (scaled(ends, scale) for ends in (points.min(axis=0), points.max(axis=0)))
    spot = scaled(anchor, scale)
    first, last = np.minimum(low, high - side + 1), np.maximum(low, high - side + 1)
    offset = np.clip(rng.uniform(first, last), spot - 0.8 * side, spot - 0.2 * side)
    size = scaled(np.array([shape[1] - 1, shape[0] - 1], dtype=np.float64), scale)
    offset = np.rint(np.clip(offset, np.minimum(0, size - side + 1), np.maximum(0, size - side + 1)))
    shift = (scale - 1) / 2
    matrix = np.array([[scale, 0, shift - offset[0]], [0, scale, shift - offset[1]], [0, 0, 1]])
    if rng.random() < strength.flip:
        matrix = np.array([[-1, 0, side - 1], [0, -1, side - 1], [0, 0, 1.0]]) @ matrix
    return moved_corners(rng, side, side, strength.perspective) @ matrix


def scaled(points: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Where pixels of a picture lie in the same picture of another size."""
    return (points + 0.5) * scale - 0.5


def seen(frame: Picture, matrix: NDArray[np.float64], side: int) -> Picture:
    """What a matrix from frame to crop makes of a frame; what is made smaller is blurred first."""
    cv2 = opencv()
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if scale < 1:
        frame = cv2.GaussianBlur(frame, (0, 0), 0.4 / scale)
    return np.asarray(cv2.warpPerspective(frame, matrix, (side, side), flags=cv2.INTER_LINEAR))


def thinned(rows: Rows, spread: float, rng: np.random.Generator) -> Rows:
    """At most one label of each square of either crop, in random order."""
    rows = rows[rng.permutation(len(rows))]
    for k in (0, 2):
        rows = rows[np.unique(rows[:, k : k + 2] // spread, axis=0, return_index=True)[1]] if len(rows) else rows
    return rows


def reader(source: Domain, videos: Sequence[Video]) -> Callable[[int, int], Picture]:
    """Frames by video and number, the latest kept decoded."""

    @functools.lru_cache(maxsize=KEPT)
    def read(video: int, t: int) -> Picture:
        return as_pixels(source.x[videos[video].frames[t]])

    return read


def videos_of(source: Domain) -> list[Video]:
    """The videos of a domain of frames: by the columns video and frame, or one, as it stands.

    Raises
    ------
    ValueError
        If a frame has no number, or two of a video have the same.
    """
    n = len(source)
    names = np.asarray(source.columns.get("video", np.full(n, source.name))).astype(str)
    numbers = np.asarray(source.columns.get("frame", np.arange(n)))
    if numbers.dtype.kind not in "iuf":
        raise ValueError(f"source, column frame, must hold numbers; got {numbers.dtype}")
    if not np.isfinite(numbers).all():
        lost = numbers[~np.isfinite(numbers)][0]
        raise ValueError(f"source, column frame, must hold finite numbers; got {lost}")
    order = np.lexsort([numbers, names])
    same = (names[order][1:] == names[order][:-1]) & (numbers[order][1:] == numbers[order][:-1])
    if same.any():
        i = order[1:][same][0]
        raise ValueError(
            f"source, column frame, must number the frames of a video once; {str(names[i])!r} has {numbers[i]} twice"
        )
    return [Video(str(name), tuple(order[names[order] == name].tolist())) for name in np.unique(names)]


def from_videos(share: float, batch_size: int) -> int:
    """Pairs of a batch that come from videos."""
    return round(share * batch_size)


def spread(n: int, most: int = STILLS) -> list[int]:
    """Of so many frames at most `most`, evenly chosen."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)).tolist()


def mixed(
    videos: FramePairs | None,
    photographs: Photographs | None,
    share: float,
    light: str,
    rng: np.random.Generator,
    *,
    side: int,
    batch_size: int,
    points: int,
    least: int = 8,
) -> Iterator[Batch]:
    """Batches without an end: `share` of each from videos, the rest warped photographs; light is changed in both.

    A crop with fewer than `least` labels is drawn anew.
    """
    n = from_videos(share, batch_size) if photographs is not None else batch_size
    n = n if videos is not None else 0
    queue: list[int] = []

    def far() -> Cut:
        assert videos is not None
        return videos.cut(videos.draw(rng), side, rng)

    def warped() -> Cut:
        assert photographs is not None
        queue[:] = queue or rng.permutation(len(photographs)).tolist()
        return Cut(*photographs.cut(queue.pop(), VISIBLE, side, rng))

    while True:
        cuts = filled(
            n, far, least, f"hardly any crop of {side} pixels holds {least} labels: take a larger side, or less warp"
        ) + filled(
            batch_size - n, warped, least,
            f"hardly any photograph holds {least} points in both its crops of {side} pixels: take a larger side, or "
            "less warp and turn",
        )  # fmt: skip
        lit = [Cut(_light(cut.first, light, rng), _light(cut.second, light, rng), cut.rows) for cut in cuts]
        yield batch_of(lit, ("video",) * n + ("homography",) * (batch_size - n), points, rng)


def _light(picture: Picture, way: str, rng: np.random.Generator) -> Picture:
    """Changed for every other picture, each by itself."""
    return WAYS[way](picture, rng) if rng.random() < 0.5 else picture
