"""Labels of near frames become labels of far ones: chained where they meet in the same pixel, as far as they reach."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from unseen.nn.two_view import two_view
from unseen.nn.video_matches import CONFIDENCE, VideoMatches

Rows = NDArray[np.float64]
Known = dict[tuple[int, int, tuple[int, ...]], Rows | None]
"""Labels of segments by their ends and the gaps that may be used."""
Why = Literal["few direct labels", "no chain", "too near", "few labels left"]
WHY: dict[Why, str] = {
    "few direct labels": "a matcher found hardly anything between near frames (a cut, blur, nothing with texture)",
    "no chain": "labels of near frames do not meet in the same pixels",
    "too near": "labels reached no further than near frames",
    "few labels left": "too few labels agreed with each other after they were carried over",
}
"""Why pairs are dropped, in words."""


class Reach(NamedTuple):
    """Labels of two frames, and which frames they are."""

    rows: Float[np.ndarray, "n 4"]
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class FarPair:
    """Two frames far apart and the labels that reached from one to the other.

    Attributes
    ----------
    first, last : int
        The frames.
    rows : array (n, 4)
        x, y in the first and x, y in the last.
    links : int
        Largest gaps between them: how often labels were chained, at least.
    inliers : float
        Share of what arrived that the last robust fit kept.
    overlap : float
        The smaller of the shares of both frames that the box around the labels covers.
    """

    first: int
    last: int
    rows: Float[np.ndarray, "n 4"]
    links: int
    inliers: float
    overlap: float


class Dropped(NamedTuple):
    """Two frames that no labels are kept of, and why."""

    first: int
    last: int
    why: Why


@dataclasses.dataclass(frozen=True)
class Limits:
    """How many labels are asked for.

    Parameters
    ----------
    direct : int
        Of each matcher, between frames a largest gap apart.
    linked : int
        After each link.
    final : int
        After the last robust fit.
    geometry, threshold
        Of that fit.
    """

    direct: int
    linked: int
    final: int
    geometry: str
    threshold: float


def link(left: Rows, right: Rows, least: int = 1) -> Rows | None:
    """Chain matches (left, middle) and (middle, right) that meet in the same pixel of the middle frame.

    Middle points are rounded, so that what is chained is off by less than a pixel and nothing is interpolated. Of
    several matches in one pixel the last counts.

    Parameters
    ----------
    left : array (n, 4)
    right : array (m, 4)
    least : int
        None is given if there are fewer links than that.
    """
    (there, i), (here, j) = _by_pixel(left[:, 2:]), _by_pixel(right[:, :2])
    common, a, b = np.intersect1d(there, here, assume_unique=True, return_indices=True)
    if len(common) < max(least, 1):
        return None
    i, j = i[a], j[b]
    order = np.lexsort((j, i))
    return np.column_stack([left[i[order], :2], right[j[order], 2:]])


def _by_pixel(points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Keys of the pixels that hold points, in order, and the last point of each."""
    x, y = np.rint(points).astype(np.int64).T
    keys, places = np.unique(((x << 32) + y)[::-1], return_index=True)
    return keys, len(points) - 1 - places


def propagate(
    store: VideoMatches, first: int, last: int, gaps: Sequence[int], least: int, known: Known | None = None
) -> Reach | None:
    """Labels from frame `first` as far towards `last` as they reach; None if they reach nowhere.

    The way is cut into segments of the largest gap. A segment has its direct labels and those that smaller gaps carry
    over exactly the same segment. Segments are linked from left to right; where a link fails, the last segment is made
    shorter by the smallest gap and tried again. `known` are labels of segments that were put together before.
    """
    largest, smallest = gaps[-1], gaps[0]
    stops = [*range(first, last, largest), last]
    segments = list(zip(stops[:-1], stops[1:]))
    reached: Reach | None = None
    while segments:
        start, end = segments.pop(0)
        rows = _labels_of(store, start, end, gaps, least, known)
        if reached is None:
            if rows is None:
                return None
            reached = Reach(rows, start, end)
            continue
        linked = None if rows is None else link(reached.rows, rows, least)
        if linked is not None:
            reached = Reach(linked, first, end)
        else:
            segments = [(start, end - smallest)] if end - smallest > start else []
    return reached


def _labels_of(
    store: VideoMatches, start: int, end: int, gaps: Sequence[int], least: int, known: Known | None
) -> Rows | None:
    """Labels of a segment: direct ones, and those of smaller gaps that reach its very ends; once for each segment."""
    key = (start, end, tuple(gaps))
    if known is not None and key in known:
        return known[key]
    parts = [store.direct(start, end)] if end - start == gaps[-1] else []
    if len(gaps) > 1:
        carried = propagate(store, start, end, gaps[:-1], least, known)
        if carried is not None and (carried.first, carried.last) == (start, end):
            parts.append(carried.rows)
    rows = np.concatenate(parts) if parts else np.zeros((0, 4))
    labels = rows if len(rows) else None
    if known is not None:
        known[key] = labels
    return labels


def far_pair(
    store: VideoMatches, first: int, last: int, limits: Limits, size: tuple[int, int], known: Known | None = None
) -> FarPair | Dropped:
    """What reaches from one frame towards another, fitted once more; or why nothing is kept."""
    gaps = store.gaps
    if store.fewest(first, first + gaps[-1]) < limits.direct:
        return Dropped(first, last, "few direct labels")
    reached = propagate(store, first, last, gaps, limits.linked, known)
    for level in range(len(gaps) - 1, 0, -1):  # one gap was reached alone: smaller ones may say more of it
        if reached is not None and reached.last - reached.first == gaps[level]:
            reached = propagate(store, first, reached.last, gaps[:level], limits.linked, known)
    if reached is None:
        return Dropped(first, last, "no chain")
    if reached.last - reached.first <= gaps[0]:
        return Dropped(first, last, "too near")
    view = two_view(reached.rows, limits.geometry, limits.threshold, estimator="magsac", confidence=CONFIDENCE)
    rows = reached.rows[view.inliers]
    if len(rows) < limits.final:
        return Dropped(first, last, "few labels left")
    span = reached.last - reached.first
    return FarPair(first, reached.last, rows, -(-span // gaps[-1]), len(rows) / len(reached.rows), overlap(rows, size))


def far_pairs(
    store: VideoMatches, reach: int, limits: Limits, size: tuple[int, int]
) -> tuple[list[FarPair], list[Dropped]]:
    """All pairs `reach` largest gaps apart, or as far as labels reach, from every frame of the grid."""
    kept: list[FarPair] = []
    dropped: list[Dropped] = []
    largest, smallest = store.gaps[-1], store.gaps[0]
    known: Known = {}
    for first in range(0, store.frames - largest, smallest):
        last = min(first + reach * largest, first + (store.frames - 1 - first) // smallest * smallest)
        known = {key: rows for key, rows in known.items() if key[0] >= first}  # no segment begins before it any more
        outcome = far_pair(store, first, last, limits, size, known)
        (kept if isinstance(outcome, FarPair) else dropped).append(outcome)  # type: ignore[arg-type]
    return kept, dropped


def overlap(rows: Rows, size: tuple[int, int]) -> float:
    """The smaller of the shares of both frames, of (width, height), that the box around the labels covers."""
    boxes = [np.ptp(rows[:, k : k + 2], axis=0).prod() for k in (0, 2)]
    return float(min(boxes) / (size[0] * size[1]))
