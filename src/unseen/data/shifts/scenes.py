"""Families `segmentation` and `weather`: pieces of one colour, and what falls or hangs before the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unseen.data.shifts.base import Member, Picture, Rng, blend, gaussian, grey, pixels
from unseen.data.shifts.colors import from_hsv, to_hsv

COARSE = 64
"""Pieces are found in a picture with no side above this."""


# -- segmentation ------------------------------------------------------------------------------------------


def _flat(x: Picture, labels: NDArray[np.integer], rng: Rng, s: float) -> Picture:
    """0.5 to 1 of the pieces in their mean colour."""
    count = np.bincount(labels.ravel())
    sums = np.stack([np.bincount(labels.ravel(), x[..., c].ravel()) for c in range(3)], axis=1)
    means = sums / np.maximum(count, 1)[:, None]
    chosen = rng.random(len(count)) < rng.uniform(0.5, 1) * s
    return np.where(chosen[labels][..., None], means[labels], x)


def _nearest(x: Picture, points: NDArray[np.floating], colors: NDArray[np.floating] | None = None) -> NDArray[np.intp]:
    """The nearest of some points, (k, 2) in shares of the sides, for every pixel; colours count if given."""
    h, w = x.shape[:2]
    rows, columns = (np.arange(side) + 0.5 for side in (h, w))
    apart = (rows[:, None] / h - points[:, 0])[:, None] ** 2 + (columns[:, None] / w - points[:, 1])[None] ** 2
    if colors is not None:
        apart = apart * len(points) + 10 * ((x[:, :, None] - colors) ** 2).sum(axis=3)
    return apart.argmin(axis=2)


def _grid(side: int) -> NDArray[np.float64]:
    """The middles of side x side equal fields, (side^2, 2) in shares of the sides, row by row."""
    middles = (np.arange(side) + 0.5) / side
    return np.stack(np.meshgrid(middles, middles, indexing="ij"), axis=-1).reshape(-1, 2)


def _step(x: Picture) -> int:
    """Every how many pixels of a picture are looked at for its pieces."""
    return -(-max(x.shape[:2]) // COARSE)


def _spread(labels: NDArray[np.integer], x: Picture, step: int) -> NDArray[np.integer]:
    """Labels of every `step`-th pixel as those of all pixels of the picture."""
    h, w = x.shape[:2]
    return labels[np.arange(h) // step][:, np.arange(w) // step]


def superpixels(x: Picture, rng: Rng, s: float) -> Picture:
    """16 to 128 pieces by k-means of place and colour (as SLIC)."""
    step = _step(x)
    small, n = x[::step, ::step], int(rng.integers(16, 129))
    points = _grid(max(1, round(np.sqrt(n))))
    tall, wide = small.shape[:2]
    colors = small[(points[:, 0] * tall).astype(int), (points[:, 1] * wide).astype(int)].astype(np.float64)
    rows, columns = np.mgrid[:tall, :wide]
    values = [(rows + 0.5) / tall, (columns + 0.5) / wide, *np.moveaxis(small, 2, 0)]
    for _ in range(3):
        labels = _nearest(small, points, colors)
        count = np.bincount(labels.ravel(), minlength=len(points))
        sums = np.stack([np.bincount(labels.ravel(), v.ravel(), minlength=len(points)) for v in values], axis=1)
        moved = sums / np.maximum(count, 1)[:, None]
        there = (count > 0)[:, None]
        points, colors = np.where(there, moved[:, :2], points), np.where(there, moved[:, 2:], colors)
    return _flat(x, _spread(_nearest(small, points, colors), x, step), rng, s)


def _voronoi(x: Picture, points: NDArray[np.floating], rng: Rng, s: float) -> Picture:
    step = _step(x)
    return _flat(x, _spread(_nearest(x[::step, ::step], points), x, step), rng, s)


def uniform_voronoi(x: Picture, rng: Rng, s: float) -> Picture:
    """The cells of 50 to 300 random points."""
    return _voronoi(x, rng.random((int(rng.integers(50, 301)), 2)), rng, s)


def regular_voronoi(x: Picture, rng: Rng, s: float) -> Picture:
    """The cells of a grid of 10 to 20 points a side, of which some are missing."""
    points = _grid(int(rng.integers(10, 21)))
    kept = rng.random(len(points)) < rng.uniform(0.5, 0.9)
    kept[rng.integers(len(points))] = True
    return _voronoi(x, points[kept], rng, s)


def irregular_voronoi(x: Picture, rng: Rng, s: float) -> Picture:
    """The cells of a grid of 7 to 15 points a side, moved at random."""
    n = int(rng.integers(7, 16))
    points = _grid(n)
    return _voronoi(x, points + rng.uniform(-0.5, 0.5, points.shape) / n, rng, s)


SEGMENTATION: tuple[Member, ...] = (superpixels, uniform_voronoi, regular_voronoi, irregular_voronoi)


# -- weather -----------------------------------------------------------------------------------------------


def _haze(x: Picture, rng: Rng, roughness: float) -> NDArray[np.float32]:
    """Smooth noise in [0, 1], (h, w, 1): octaves of random grids, the finer the weaker."""
    h, w = x.shape[:2]
    total = np.zeros((h, w))
    for octave in range(1, 5):
        n = 2**octave
        grid = rng.random((n, n))
        total += ndimage.zoom(grid, (h / n, w / n), order=1, mode="nearest", grid_mode=True) * roughness**octave
    low, high = total.min(), total.max()
    return ((total - low) / max(high - low, 1e-9))[..., None].astype(np.float32)


def snowy_landscape(x: Picture, rng: Rng, s: float) -> Picture:
    """Pixels darker than 100 to 200 levels: 0.15 lighter, then 1.5 to 3 times as light, and as much less coloured."""
    hsv, light = to_hsv(x), grey(x)[..., 0]
    dark = light < rng.uniform(100, 200) / 255
    by = rng.uniform(1.5, 3) ** s
    hsv[..., 1] = np.where(dark, hsv[..., 1] / by, hsv[..., 1])
    hsv[..., 2] = np.where(dark, np.clip((hsv[..., 2] + 0.15 * min(s, 1.0)) * by, 0, 1), hsv[..., 2])
    return from_hsv(hsv)


def clouds(x: Picture, rng: Rng, s: float) -> Picture:
    """White with a density that varies."""
    veil = np.clip((_haze(x, rng, 0.6) - rng.uniform(0.2, 0.5)) * rng.uniform(1.5, 3), 0, 1)
    return x + np.float32(min(s, 1.0)) * veil * (rng.uniform(0.8, 1) - x)


def fog(x: Picture, rng: Rng, s: float) -> Picture:
    """A light veil over all of it, 0.375 to 0.925 thick."""
    veil = np.clip(rng.uniform(0.5, 0.8) + 0.25 * (_haze(x, rng, 0.5) - 0.5), 0, 1)
    return x + np.float32(min(s, 1.0)) * veil * (rng.uniform(0.75, 1) - x)


def _falling(x: Picture, rng: Rng, density: float, length: float, width: float, slant: float) -> NDArray[np.float32]:
    """Streaks in [0, 1], (h, w, 1)."""
    h, w = x.shape[:2]
    drops = (rng.random((h, w)) < density).astype(np.float32)
    reach = max(1, round(length))
    streaks = np.zeros((h, w), dtype=np.float32)
    for step in range(reach):
        moved = np.roll(drops, (step, round(slant * step)), axis=(0, 1))
        streaks = np.maximum(streaks, moved)
    return np.clip(1.6 * gaussian(streaks[..., None], width), 0, 1)


def snowflakes(x: Picture, rng: Rng, s: float) -> Picture:
    """White flakes on 2 to 7 of 100 places."""
    flakes = _falling(x, rng, rng.uniform(0.02, 0.07) * s, pixels(x, rng.uniform(3, 10)), 0.5, rng.uniform(-1, 1))
    return x + flakes * (1 - x)


def rain(x: Picture, rng: Rng, s: float) -> Picture:
    """Grey streaks of 15 to 40 pixels."""
    drops = _falling(x, rng, rng.uniform(0.01, 0.03) * s, pixels(x, rng.uniform(15, 40)), 0.4, rng.uniform(-0.5, 0.5))
    return blend(x, x + drops * (rng.uniform(0.6, 0.85) - x), 0.8)


WEATHER: tuple[Member, ...] = (snowy_landscape, clouds, fog, snowflakes, rain)
