"""Homographies: drawn at random, applied to points and pictures, read from tables of others.

Pixels are at whole numbers: (0, 0) is the middle of the first one. A homography maps (x, y) of the first picture to
(x, y) of the second.
"""

from __future__ import annotations

import hashlib
from typing import Any, cast

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from unseen.data.opencv import opencv

Matrix = Float[np.ndarray, "3 3"]


def apply(matrix: NDArray[Any], points: NDArray[Any]) -> Float[np.ndarray, "n 2"]:
    """Where a homography takes points, (n, 2); infinite where they go behind the picture."""
    lifted = np.column_stack([np.asarray(points, dtype=np.float64), np.ones(len(points))]) @ np.asarray(matrix).T
    with np.errstate(divide="ignore", invalid="ignore"):
        mapped = lifted[:, :2] / lifted[:, 2:]
    return np.where(lifted[:, 2:] > 1e-9, mapped, np.inf)


def corners(width: float, height: float) -> Float[np.ndarray, "4 2"]:
    """The middles of the corner pixels: top left, top right, bottom right, bottom left."""
    return np.array([(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)], dtype=np.float64)


def through(first: NDArray[Any], second: NDArray[Any]) -> Float[np.ndarray, "3 3"]:
    """The homography that takes the first points to the second, (n, 2) with n >= 4: least squares of the DLT."""
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2 or first.shape[1] != 2 or len(first) < 4:
        raise ValueError(f"four points or more must be given twice, (n, 2); got {first.shape} and {second.shape}")
    (a, there), (b, here) = _centred(first), _centred(second)
    x, y, u, v = a[:, 0], a[:, 1], b[:, 0], b[:, 1]
    zero, ones = np.zeros_like(x), np.ones_like(x)
    upper = np.stack([x, y, ones, zero, zero, zero, -u * x, -u * y, -u], axis=1)
    lower = np.stack([zero, zero, zero, x, y, ones, -v * x, -v * y, -v], axis=1)
    equations = np.concatenate([upper, lower])
    matrix = np.linalg.svd(equations, full_matrices=len(equations) < 9)[2][-1].reshape(3, 3)
    matrix = np.linalg.inv(here) @ matrix @ there
    return matrix / matrix[2, 2]


def _centred(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points around 0 with a deviation of 1, and the matrix that brings them there."""
    mean, scale = points.mean(axis=0), 1 / max(points.std(), 1e-9)
    matrix = np.array([[scale, 0, -scale * mean[0]], [0, scale, -scale * mean[1]], [0, 0, 1]])
    return (points - mean) * scale, matrix


def moved_corners(rng: np.random.Generator, width: int, height: int, noise: float) -> Float[np.ndarray, "3 3"]:
    """A homography that moves each corner by up to `noise` of the shorter side in x and in y."""
    there = corners(width, height)
    return through(there, there + rng.uniform(-noise, noise, (4, 2)) * min(width, height))


def sampled(
    rng: np.random.Generator,
    width: int,
    height: int,
    *,
    patch_ratio: float = 0.5,
    perspective: float = 0.1,
    scaling: float = 0.2,
    rotation: float = 90.0,
    rotations: int = 25,
    translation: float = 1.0,
) -> Float[np.ndarray, "3 3"]:
    """A homography as evaluations on single pictures draw them: a patch in the middle, moved in four ways.

    Parameters
    ----------
    patch_ratio : float in (0, 1]
        Sides of the patch as a share of the picture's.
    perspective : float
        Deviation of the normal draws that move its corners, as a share of the picture.
    scaling : float
        Deviation of its growth around 1.
    rotation : float
        Largest turn in degrees either way, in `rotations` equal steps, of which one is drawn.
    translation : float in [0, 1]
        Share of the free way to the borders that may be gone.
    """
    size = np.array([width - 1, height - 1], dtype=np.float64)
    margin = (1 - patch_ratio) / 2
    patch = corners(2, 2) * patch_ratio + margin
    moved = patch + np.clip(rng.normal(0, perspective / 2, (4, 2)), -margin, margin)
    middle = moved.mean(axis=0)
    moved = (moved - middle) * np.clip(1 + rng.normal(0, scaling), 0.4, 1.6) + middle
    low, high = -moved.min(axis=0), 1 - moved.max(axis=0)
    moved = moved + translation * rng.uniform(np.minimum(low, 0), np.maximum(high, 0))
    angle = np.deg2rad(rng.choice(np.linspace(-rotation, rotation, rotations)) if rotations else 0.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    pixels, middle = moved * size, moved.mean(axis=0) * size
    return through(patch * size, (pixels - middle) @ turn.T + middle)


def generator_of(name: str, seed: int = 0) -> np.random.Generator:
    """Random numbers that belong to a file name: the same homographies whatever else is in the list."""
    return np.random.default_rng(int(hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()[:16], 16))


def warped(picture: NDArray[np.uint8], matrix: NDArray[Any], width: int, height: int) -> NDArray[np.uint8]:
    """The second picture: what a homography makes of the first, black where the first has nothing."""
    cv2 = opencv()
    return cast(
        NDArray[np.uint8],
        cv2.warpPerspective(picture, np.asarray(matrix, dtype=np.float64), (width, height), flags=cv2.INTER_LINEAR),
    )


def grid(width: int, height: int, step: int = 8) -> Float[np.ndarray, "n 2"]:
    """Points every `step` pixels, the middle of each square, and the four corners first."""
    x, y = np.meshgrid(np.arange(step // 2, width, step), np.arange(step // 2, height, step))
    return np.concatenate([corners(width, height), np.column_stack([x.ravel(), y.ravel()])])


def correspondences(matrix: NDArray[Any], width: int, height: int, step: int = 8) -> Float[np.ndarray, "n 4"]:
    """What a homography says of a picture, as labels of the task ``matches``: its corners first, then a grid."""
    points = grid(width, height, step)
    rows = np.column_stack([points, apply(matrix, points)])
    return rows[np.isfinite(rows).all(axis=1)]


def from_one_based(transposed: NDArray[Any]) -> Float[np.ndarray, "3 3"]:
    """The matrix of a Matlab transform as ours: it is stored transposed and counts pixels from 1.

    ``S T^t S^-1`` with the shift S by one pixel, and 1 in the lower right corner.
    """
    shift = np.array([[1, 0, -1], [0, 1, -1], [0, 0, 1]], dtype=np.float64)
    matrix = shift @ np.asarray(transposed, dtype=np.float64).T @ np.linalg.inv(shift)
    return matrix / matrix[2, 2]


def middle(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The middle of a picture, as large as it fits, brought to a width and height."""
    cv2 = opencv()
    scale = min(picture.shape[1] / width, picture.shape[0] / height)
    w, h = max(round(width * scale), 1), max(round(height * scale), 1)
    top, left = (picture.shape[0] - h) // 2, (picture.shape[1] - w) // 2
    piece = np.ascontiguousarray(picture[top : top + h, left : left + w])
    return np.asarray(cv2.resize(piece, (width, height), interpolation=cv2.INTER_AREA))
