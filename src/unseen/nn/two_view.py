"""The geometry of two views from matches: a homography or a fundamental matrix, by RANSAC."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from unseen.data.opencv import opencv

Geometry = Literal["homography", "fundamental"]
GEOMETRIES: tuple[Geometry, ...] = ("homography", "fundamental")
LEAST = {"homography": 4, "fundamental": 8}
"""Matches that a geometry needs."""
THRESHOLD = 3.0
"""Pixels that an inlier may be off."""


@dataclasses.dataclass(frozen=True)
class View:
    """What matches say together.

    Attributes
    ----------
    geometry : {"homography", "fundamental"}
    matrix : array (3, 3) or None
        None where too few matches agree.
    inliers : array (m,) of bool
        Which matches agree with it.
    """

    geometry: str
    matrix: Float[np.ndarray, "3 3"] | None
    inliers: Bool[np.ndarray, "m"]

    @property
    def count(self) -> int:
        """How many matches agree."""
        return int(self.inliers.sum())


def two_view(
    points: NDArray[np.float64], geometry: str = "homography", threshold: float = THRESHOLD, seed: int = 0
) -> View:
    """The geometry that most matches agree with, by OpenCV's RANSAC.

    Parameters
    ----------
    points : array (m, 4)
        x, y in the first picture, x, y in the second.
    geometry : {"homography", "fundamental"}
        A homography is right for flat scenes and turned cameras, a fundamental matrix for scenes with depth.
    threshold : float, > 0
        Pixels that an inlier may be off.
    seed : int
        Of its draws: the same matches give the same matrix.
    """
    if geometry not in GEOMETRIES:
        raise ValueError(f"geometry must be one of {', '.join(GEOMETRIES)}; got {geometry!r}")
    if not threshold > 0:
        raise ValueError(f"threshold must be above 0 pixels; got {threshold}")
    none = np.zeros(len(points), dtype=bool)
    if len(points) < LEAST[geometry]:
        return View(geometry, None, none)
    cv2 = opencv()
    cv2.setRNGSeed(seed)
    first, second = (np.ascontiguousarray(points[:, k : k + 2], dtype=np.float64) for k in (0, 2))
    try:
        if geometry == "homography":
            matrix, mask = cv2.findHomography(first, second, cv2.RANSAC, threshold)
        else:
            matrix, mask = cv2.findFundamentalMat(first, second, cv2.FM_RANSAC, threshold, 0.999)
    except cv2.error:  # points on one line, or all in one place
        return View(geometry, None, none)
    if matrix is None or mask is None or matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        return View(geometry, None, none)
    return View(geometry, np.asarray(matrix, dtype=np.float64), mask.ravel().astype(bool))
