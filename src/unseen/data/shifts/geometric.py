"""Family `geometric`: where pixels come from; what lies outside repeats the border."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unseen.data.shifts.base import Member, Picture, Rng, away, factor, gaussian, pixels


def _sample(x: Picture, rows: NDArray[np.floating], columns: NDArray[np.floating]) -> Picture:
    """The picture read at places in pixels, each (h, w)."""
    places = np.stack(np.broadcast_arrays(rows, columns))
    return np.stack([ndimage.map_coordinates(x[..., c], places, order=1, mode="nearest") for c in range(3)], axis=-1)


def _grid(x: Picture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns of all pixels from the middle, in pixels, (h, w) each."""
    h, w = x.shape[:2]
    rows, columns = np.mgrid[:h, :w].astype(np.float64)
    return rows - (h - 1) / 2, columns - (w - 1) / 2


def _linear(x: Picture, matrix: NDArray[np.floating], shift: tuple[float, float] = (0.0, 0.0)) -> Picture:
    """Pixels from `matrix` @ place + shift, measured from the middle."""
    rows, columns = _grid(x)
    h, w = x.shape[:2]
    a = np.asarray(matrix, dtype=np.float64)
    return _sample(
        x,
        a[0, 0] * rows + a[0, 1] * columns + shift[0] + (h - 1) / 2,
        a[1, 0] * rows + a[1, 1] * columns + shift[1] + (w - 1) / 2,
    )


def scale(x: Picture, rng: Rng, s: float) -> Picture:
    """0.5 to 0.75 or 1.25 to 1.75 of the size, each axis by itself."""
    return _linear(x, np.diag([1 / factor((0.5, 0.75), (1.25, 1.75), rng, s) for _ in range(2)]))


def translate(x: Picture, rng: Rng, s: float) -> Picture:
    """By up to 0.4 of the side."""
    h, w = x.shape[:2]
    down, across = rng.uniform(-0.4, 0.4, 2) * s
    return _linear(x, np.eye(2), (down * h, across * w))


def rotate(x: Picture, rng: Rng, s: float) -> Picture:
    """By 15 to 45 degrees either way."""
    angle = np.deg2rad(away(15, 45, rng, s))
    return _linear(x, np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]))


def shear(x: Picture, rng: Rng, s: float) -> Picture:
    """By 15 to 25 degrees either way, along one axis."""
    slope = np.tan(np.deg2rad(away(15, 25, rng, s)))
    return _linear(x, np.array([[1, 0], [slope, 1]] if rng.random() < 0.5 else [[1, slope], [0, 1]]))


def _moved(x: Picture, down: NDArray[np.floating], across: NDArray[np.floating]) -> Picture:
    """Every pixel from a place of its own, moved by so many pixels."""
    rows, columns = np.mgrid[: x.shape[0], : x.shape[1]].astype(np.float64)
    return _sample(x, rows + down, columns + across)


def piecewise_affine(x: Picture, rng: Rng, s: float) -> Picture:
    """A grid of 4 x 4 points moves by 0.05 to 0.1 of the side; between them places are interpolated."""
    h, w = x.shape[:2]
    points = rng.normal(0, rng.uniform(0.05, 0.1) * s, (2, 4, 4))
    down, across = (ndimage.zoom(p, (h / 4, w / 4), order=1, mode="nearest", grid_mode=True) for p in points)
    return _moved(x, down * h, across * w)


def perspective(x: Picture, rng: Rng, s: float) -> Picture:
    """Each corner comes from 0.1 to 0.2 of the side farther in."""
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float64)
    inward = np.abs(rng.normal(0, rng.uniform(0.1, 0.2) * s, (4, 2))).clip(max=0.45) * (1 - 2 * corners)
    equations, values = [], []
    for (r, c), (to_r, to_c) in zip(corners, corners + inward):
        equations += [[r, c, 1, 0, 0, 0, -r * to_r, -c * to_r], [0, 0, 0, r, c, 1, -r * to_c, -c * to_c]]
        values += [to_r, to_c]
    m = np.append(np.linalg.solve(np.array(equations), np.array(values)), 1).reshape(3, 3)
    h, w = x.shape[:2]
    rows, columns = np.mgrid[:h, :w]
    place = np.tensordot(m, np.stack([rows / (h - 1), columns / (w - 1), np.ones((h, w))]), axes=1)
    return _sample(x, place[0] / place[2] * (h - 1), place[1] / place[2] * (w - 1))


def elastic(x: Picture, rng: Rng, s: float) -> Picture:
    """Every pixel moves by noise of 2 to 5 pixels, smoothed with a sigma of 0.25."""
    alpha = pixels(x, rng.uniform(2, 5)) * s
    noise = gaussian(rng.uniform(-1, 1, (*x.shape[:2], 2)).astype(np.float32), 0.25)
    return _moved(x, alpha * noise[..., 0], alpha * noise[..., 1])


def polar_crop(x: Picture, rng: Rng, s: float) -> Picture:
    """In polar coordinates the picture loses 0.02 to 0.2 of angle or radius at each end, and is turned back."""
    rows, columns = _grid(x)
    h, w = x.shape[:2]
    radius, angle = np.hypot(rows, columns), np.arctan2(rows, columns)
    inner, outer = rng.uniform(0.02, 0.2, 2) * s
    first, last = rng.uniform(0.02, 0.2, 2) * s
    largest = radius.max()
    radius = largest * inner + radius * (1 - inner - outer)
    turn = (angle + np.pi) / (2 * np.pi)
    angle = 2 * np.pi * (first + turn * (1 - first - last)) - np.pi
    return _sample(x, radius * np.sin(angle) + (h - 1) / 2, radius * np.cos(angle) + (w - 1) / 2)


def jigsaw(x: Picture, rng: Rng, s: float) -> Picture:
    """10 x 10 tiles; as many swaps of neighbours as there are tiles."""
    n = min(10, *(side // 2 for side in x.shape[:2]))
    tall, wide = (side // n for side in x.shape[:2])
    order = np.arange(n * n).reshape(n, n)
    for _ in range(round(n * n * s)):
        r, c = rng.integers(n, size=2)
        other = (r, (c + 1) % n) if rng.random() < 0.5 else ((r + 1) % n, c)
        order[r, c], order[other] = order[other], order[r, c]
    out = x.copy()
    tiles = x[: n * tall, : n * wide].reshape(n, tall, n, wide, 3).transpose(0, 2, 1, 3, 4)
    mixed = tiles.reshape(n * n, tall, wide, 3)[order.ravel()].reshape(n, n, tall, wide, 3)
    out[: n * tall, : n * wide] = mixed.transpose(0, 2, 1, 3, 4).reshape(n * tall, n * wide, 3)
    return out


MEMBERS: tuple[Member, ...] = (
    scale, translate, rotate, shear, piecewise_affine, perspective, elastic, polar_crop, jigsaw,
)  # fmt: skip
