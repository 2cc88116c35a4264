"""The geometry of two views from matches: a homography or a fundamental matrix, and the turn and way of a camera."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

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
DRAWS = 2000
"""Of RANSAC, at most, for a homography."""
Estimator = Literal["ransac", "magsac"]
CHANCE = {"homography": (16, 0.02), "fundamental": (16, 0.08)}
"""Inliers that unrelated pictures hardly reach: so many, and a share of the matches. Measured on 24 pairs of photos
of unlike things with XFeat in three renderings: 13 of 353 at most with a homography, 34 of 328 with a fundamental
matrix."""


def needed(geometry: str, matches: int) -> int:
    """Inliers of so many matches below which they may be chance."""
    fewest, share = CHANCE[geometry]
    return round(fewest + share * matches)


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
    points: NDArray[np.float64],
    geometry: str = "homography",
    threshold: float = THRESHOLD,
    seed: int = 0,
    *,
    estimator: Estimator = "ransac",
    confidence: float | None = None,
) -> View:
    """The geometry that most matches agree with, by OpenCV's RANSAC, or its MAGSAC++.

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
    estimator : {"ransac", "magsac"}
    confidence : float in (0, 1), optional
        At which it stops drawing; OpenCV's own (.995 and .999) if absent.
    """
    if geometry not in GEOMETRIES:
        raise ValueError(f"geometry must be one of {', '.join(GEOMETRIES)}; got {geometry!r}")
    if not threshold > 0:
        raise ValueError(f"threshold must be above 0 pixels; got {threshold}")
    if estimator not in ("ransac", "magsac"):
        raise ValueError(f"estimator must be ransac or magsac; got {estimator!r}")
    if confidence is not None and not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1); got {confidence}")
    none = np.zeros(len(points), dtype=bool)
    if len(points) < LEAST[geometry]:
        return View(geometry, None, none)
    cv2 = opencv()
    cv2.setRNGSeed(seed)
    first, second = (np.ascontiguousarray(points[:, k : k + 2], dtype=np.float64) for k in (0, 2))
    try:
        if geometry == "homography":
            way = cv2.RANSAC if estimator == "ransac" else cv2.USAC_MAGSAC
            matrix, mask = cv2.findHomography(
                first, second, way, threshold, maxIters=DRAWS, confidence=confidence or 0.995
            )
        else:
            way = cv2.FM_RANSAC if estimator == "ransac" else cv2.USAC_MAGSAC
            matrix, mask = cv2.findFundamentalMat(
                first, second, way, threshold, confidence or 0.999, *_draws(estimator)
            )
    except cv2.error:  # points on one line, or all in one place; MAGSAC of OpenCV 5 raises on others, too
        return View(geometry, None, none)
    if matrix is None or mask is None or matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        return View(geometry, None, none)
    return View(geometry, np.asarray(matrix, dtype=np.float64), mask.ravel().astype(bool))


def _draws(estimator: Estimator) -> tuple[int, ...]:
    """The most draws of a fundamental matrix: OpenCV's own, or the 1,000 of the labels of videos."""
    return () if estimator == "ransac" else (1000,)


# -- cameras -----------------------------------------------------------------------------------------------


class Pose(NamedTuple):
    """How the second camera stands to the first: x2 = R x1 + t, with t of unit length (its length is not seen)."""

    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]


class PoseError(NamedTuple):
    """Degrees by which a pose is off; 180 where none was found."""

    rotation: float
    translation: float

    @property
    def worst(self) -> float:
        """The larger of both, by which pairs are graded."""
        return max(self)


FAILED = PoseError(180.0, 180.0)
"""What a pair without a pose counts."""
POSE_THRESHOLD = 0.5
"""Pixels that an inlier of a pose may be off."""


def relative_pose(
    points: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    threshold: float = POSE_THRESHOLD,
    seed: int = 0,
) -> Pose | None:
    """The pose that most matches agree with: an essential matrix by RANSAC, and of its poses that with most points.

    Parameters
    ----------
    points : array (m, 4)
        x, y in the first picture, x, y in the second.
    first, second : array (3, 3)
        Intrinsics of both cameras.
    threshold : float, > 0
        Pixels that an inlier may be off; it is divided by the mean of the focal lengths.
    seed : int
        Of its draws.
    """
    if len(points) < 5:
        return None
    cv2 = opencv()
    cv2.setRNGSeed(seed)
    left, right = (_normalized(points[:, k : k + 2], camera) for k, camera in ((0, first), (2, second)))
    focal = np.mean([first[0, 0], second[1, 1], first[0, 0], second[1, 1]])  # as published, two of them twice
    try:
        essential, mask = cv2.findEssentialMat(left, right, np.eye(3), cv2.RANSAC, 0.99999, threshold / focal)
    except cv2.error:
        return None
    if essential is None or mask is None or essential.shape[1:] != (3,):
        return None
    best, most = None, 0
    for matrix in np.split(essential, len(essential) // 3):
        n, rotation, translation, _ = cv2.recoverPose(matrix, left, right, np.eye(3), 1e9, mask=mask.copy())[:4]
        if n > most:
            best, most = Pose(rotation, translation[:, 0]), n
    return best


def _normalized(points: NDArray[np.float64], camera: NDArray[np.float64]) -> NDArray[np.float64]:
    lifted = np.column_stack([points, np.ones(len(points))]) @ np.linalg.inv(camera).T
    return np.ascontiguousarray(lifted[:, :2] / lifted[:, 2:])


def pose_error(truth: Pose, estimated: Pose | None) -> PoseError:
    """Degrees between two rotations, and between the lines of two translations: their sign and length do not count."""
    if estimated is None:
        return FAILED
    turned = np.clip((np.trace(truth.rotation.T @ estimated.rotation) - 1) / 2, -1, 1)
    lengths = np.linalg.norm(truth.translation) * np.linalg.norm(estimated.translation)
    if not lengths:
        return PoseError(float(np.degrees(np.arccos(turned))), 0.0 if not np.any(truth.translation) else 180.0)
    way = np.clip(truth.translation @ estimated.translation / lengths, -1, 1)
    angle = float(np.degrees(np.arccos(way)))
    return PoseError(float(np.degrees(np.arccos(turned))), min(angle, 180 - angle))
