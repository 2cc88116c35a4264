"""Matches between near frames of a video, by several matchers, at several gaps and sizes, each fitted by itself."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from unseen.data.opencv import opencv
from unseen.nn.matchers import SparseMatcher
from unseen.nn.protocols import Matcher
from unseen.nn.state import digest, load_state, save_state
from unseen.nn.two_view import two_view
from unseen.runtime import track

Picture = NDArray[np.uint8]
Rows = NDArray[np.float64]
"""Matches, (n, 4): x, y in the earlier frame and x, y in the later one, in pixels of the video."""
Pairs = Sequence[tuple[int, int]]
"""Gap and earlier frame, by that frame."""
PART = 192
"""Pairs that are kept in a file."""
CONFIDENCE = 0.999999
"""At which a fit of a pair of frames stops drawing."""


PARTS, PLAIN = ("features", "pairing"), ("kind", "points", "threshold", "ratio", "least")
"""Parts of a matcher, and settings of these that change what is found and stand in no weight."""


class Kind(NamedTuple):
    """By which matcher labels were made, and at which size of the frames, 1 being that of the video."""

    method: str
    size: float


@dataclasses.dataclass(frozen=True)
class Settings:
    """How near frames are matched.

    Parameters
    ----------
    gaps : tuple of int
        Frames between the two of a pair, the smallest first, each a multiple of the smallest.
    sizes : tuple of float
        Sizes that frames are matched at, of that of the video.
    geometry : {"fundamental", "homography"}
        What the matches of a pair must agree with.
    threshold : float, > 0
        Pixels of the video that a match may be off.
    """

    gaps: tuple[int, ...]
    sizes: tuple[float, ...]
    geometry: str
    threshold: float


@dataclasses.dataclass(frozen=True)
class VideoMatches:
    """All labels of near frames of a video: what propagation works on.

    Attributes
    ----------
    frames : int
        How many frames the video has.
    gaps : tuple of int
    rows : mapping of (gap, earlier frame) to {kind: matches}
        Of every pair on the grid of the smallest gap; a matcher that found nothing has no rows.
    """

    frames: int
    gaps: tuple[int, ...]
    rows: Mapping[tuple[int, int], Mapping[Kind, Rows]]

    def direct(self, first: int, second: int) -> Rows:
        """The labels of two frames that were matched, of all kinds together, (n, 4); none if they were not."""
        labels = [rows for rows in self.rows.get((second - first, first), {}).values() if len(rows)]
        return np.concatenate(labels) if labels else np.zeros((0, 4))

    def fewest(self, first: int, second: int) -> int:
        """Labels of the matcher that has the fewest between two frames, over its sizes together; 0 if not matched."""
        counts: dict[str, int] = {}
        for kind, rows in self.rows.get((second - first, first), {}).items():
            counts[kind.method] = counts.get(kind.method, 0) + len(rows)
        return min(counts.values(), default=0)

    def count(self, method: str | None = None) -> int:
        """Labels of a matcher, or of all."""
        return sum(
            len(rows) for pair in self.rows.values() for kind, rows in pair.items() if method in (None, kind.method)
        )


def match_video(
    frame: Callable[[int], Picture],
    frames: int,
    matchers: Mapping[str, nn.Module],
    settings: Settings,
    *,
    mask: Callable[[Picture], NDArray[np.bool_]] | None = None,
    keep: Path | None = None,
    label: str = "frames",
) -> VideoMatches:
    """Match all pairs of near frames by each matcher at each size, and keep the inliers of each pair and kind.

    Parameters
    ----------
    frame : callable t -> array (h, w, 3) of bytes
    frames : int
        How many there are.
    matchers : mapping of name to network
        Each has `match` (`unseen.nn.protocols.Matcher`).
    settings : Settings
    mask : callable picture -> array (h, w) of bool, optional
        Where labels may lie: False in the sky, on people. Points are judged by both frames.
    keep : Path, optional
        Folder in which what one matcher found at one size is kept, to go on from after a stop.
    label : str
        What progress is told of.
    """
    step = settings.gaps[0]
    pairs = [(gap, t) for t in range(0, frames, step) for gap in settings.gaps if t + gap < frames]
    rows: dict[tuple[int, int], dict[Kind, Rows]] = {pair: {} for pair in pairs}
    masks = None if mask is None else {t: mask(frame(t)) for t in range(0, frames, step)}
    for name, network in matchers.items():
        for size in settings.sizes:
            folder = None if keep is None else keep / digest((name, fixed_by(network), size, settings.gaps, frames))
            raw = functools.partial(_raw, frame, network, size, label)
            for pair, matches in zip(pairs, _kept(folder, pairs, raw)):
                rows[pair][Kind(name, size)] = _fitted(_seen(matches, pair, masks), settings)
    return VideoMatches(frames, settings.gaps, rows)


def fixed_by(network: nn.Module) -> list[Any]:
    """All that says what a matcher finds: types and plain settings of its parts, and weights, which SIFT has not."""
    parts = [part for part in (network, *(getattr(network, name, None) for name in PARTS)) if part is not None]
    plain = [(type(part).__name__, {key: getattr(part, key, None) for key in PLAIN}) for part in parts]
    return [
        [(kind, {key: value if isinstance(value, (int, float, str)) else None for key, value in held.items()})
         for kind, held in plain],
        network.state_dict(),
    ]  # fmt: skip


def _kept(folder: Path | None, pairs: Pairs, make: Callable[[Pairs], Iterator[Rows]]) -> Iterator[Rows]:
    """What was made before and kept in a folder, or what is made now and kept, so many pairs at a time."""
    if folder is None:
        yield from make(pairs)
        return
    for k in range(0, len(pairs), PART):
        place = folder / f"{k:06d}"
        if not (place / "state.json").exists():
            save_state(place, list(make(pairs[k : k + PART])))
        yield from load_state(place)


def _raw(frame: Callable[[int], Picture], network: Any, size: float, label: str, pairs: Pairs) -> Iterator[Rows]:
    """Matches of every pair as the matcher gives them; one that describes frames sees each once."""
    described: dict[int, Any] = {}
    for gap, t in track(pairs, f"{label}, matched"):
        if isinstance(network, SparseMatcher):
            described = {at: view for at, view in described.items() if at >= t}  # no frame before is asked for any more
            for at in (t, t + gap):
                if at not in described:
                    described[at] = network.describe(resized(frame(at), size))
            matches = network.pair(described[t], described[t + gap])
        else:
            matches = network.match(resized(frame(t), size), resized(frame(t + gap), size))
        yield (matches.points + 0.5) / size - 0.5


def _seen(rows: Rows, pair: tuple[int, int], masks: Mapping[int, NDArray[np.bool_]] | None) -> Rows:
    """Matches whose both ends lie where the masks let them."""
    if masks is None or not len(rows):
        return rows
    gap, t = pair
    good = np.ones(len(rows), dtype=bool)
    for k, shown in ((0, masks[t]), (2, masks[t + gap])):
        x, y = np.rint(rows[:, k : k + 2]).astype(int).T
        good &= shown[np.clip(y, 0, shown.shape[0] - 1), np.clip(x, 0, shown.shape[1] - 1)]
    return rows[good]


def _fitted(rows: Rows, settings: Settings) -> Rows:
    """The inliers of one pair and kind: each kind is fitted by itself, before any are put together."""
    view = two_view(rows, settings.geometry, settings.threshold, estimator="magsac", confidence=CONFIDENCE)
    return rows[view.inliers]


def resized(picture: Picture, size: float) -> Picture:
    """A picture whose sides are `size` times as long."""
    if size == 1:
        return picture
    cv2 = opencv()
    way = cv2.INTER_AREA if size < 1 else cv2.INTER_LINEAR
    shape = tuple(max(round(side * size), 1) for side in picture.shape[1::-1])
    return np.asarray(cv2.resize(picture, shape, interpolation=way))


def check_labelers(matchers: Mapping[str, nn.Module]) -> None:
    """Raise `TypeError`, which names it, for a network that does not match pictures."""
    for name, network in matchers.items():
        if not isinstance(network, Matcher):
            raise TypeError(f"teachers must be matchers (unseen.nn.matchers); {name!r} is a {type(network).__name__}")
