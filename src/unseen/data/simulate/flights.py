"""Flights of a camera over photographs: videos whose every pixel has a known place, declared rather than found.

A photograph is the ground, a plane; pieces of others float over it at known heights. A camera flies above on a smooth
path, comes nearer, turns and leans; on the way light falls, moves and takes another colour, haze comes, and each frame
has its own noise. Between two frames every point moves by the homography of its plane, so that all matches are known,
and so is the pose.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from unseen.data.domain import Domain, Lazy
from unseen.data.homographies import apply
from unseen.data.opencv import opencv

Picture = NDArray[np.uint8]
NOTHING = -1
"""Of the map of planes: what shows no plane."""


@dataclasses.dataclass(frozen=True)
class Way:
    """How far a camera goes within a flight, and how the light changes.

    Parameters
    ----------
    roll : float
        Degrees of the turn about the line of sight, either way of the middle.
    lean : float
        Degrees by which it looks aside.
    near, far : float
        Least and most pixels of the photograph to a pixel of a frame.
    drift : float in [0, 1]
        Share of the free way over the photograph that is flown.
    dusk : float in [0, 1]
        Share of the light that is lost at the darkest.
    haze : float in [0, 1]
        Share of the contrast that is lost in the thickest haze.
    noise : float
        Deviation of the noise of a frame, in grey levels.
    """

    roll: float = 60.0
    lean: float = 25.0
    near: float = 0.8
    far: float = 2.0
    drift: float = 0.4
    dusk: float = 0.6
    haze: float = 0.4
    noise: float = 3.0


class Plane(NamedTuple):
    """A picture with its opacity at a height over the ground, its upper left pixel at `corner`, `scale` to a pixel."""

    picture: Picture
    opacity: NDArray[np.uint8]
    height: float
    corner: tuple[float, float]

    @property
    def placed(self) -> Float[np.ndarray, "3 3"]:
        """From its pixels to places over the ground."""
        return np.array([[1, 0, self.corner[0]], [0, 1, self.corner[1]], [0, 0, 1]], dtype=np.float64)


@dataclasses.dataclass(frozen=True)
class Flight:
    """A video and all that is known of it.

    Attributes
    ----------
    planes : tuple of Plane
        The ground first, then the higher ones.
    intrinsics : array (3, 3)
    rotations : array (n, 3, 3)
        From the world to the camera.
    centres : array (n, 3)
        Where the camera is.
    light : array (n, 8)
        Gain, slope in x and y, three tints, haze, seed of the noise.
    size : (int, int)
        Width and height of frames.
    noise : float
    """

    planes: tuple[Plane, ...]
    intrinsics: Float[np.ndarray, "3 3"]
    rotations: Float[np.ndarray, "n 3 3"]
    centres: Float[np.ndarray, "n 3"]
    light: Float[np.ndarray, "n 8"]
    size: tuple[int, int]
    noise: float

    def __len__(self) -> int:
        return len(self.centres)

    def seen(self, plane: int, t: int) -> Float[np.ndarray, "3 3"]:
        """The homography from places over the ground at the height of a plane to pixels of frame t."""
        shift = np.array([0, 0, -self.planes[plane].height]) - self.centres[t]  # z points into the ground
        rotation = self.rotations[t]
        return self.intrinsics @ np.column_stack([rotation[:, :2], rotation @ shift])

    def homography(self, a: int, b: int, plane: int = 0) -> Float[np.ndarray, "3 3"]:
        """Where points of a plane in frame a lie in frame b."""
        matrix = self.seen(plane, b) @ np.linalg.inv(self.seen(plane, a))
        return matrix / matrix[2, 2]

    def pose(self, a: int, b: int) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
        """Rotation and translation from camera a to camera b."""
        rotation = self.rotations[b] @ self.rotations[a].T
        return rotation, self.rotations[b] @ (self.centres[a] - self.centres[b])

    def frame(self, t: int) -> Picture:
        """What the camera sees, (h, w, 3) of bytes."""
        return self._lit(self._looked(t)[0], t)

    def map(self, t: int) -> NDArray[np.int64]:
        """Which plane each pixel shows, (h, w)."""
        return self._looked(t)[1]

    def truth(self, a: int, b: int, step: int = 8) -> Float[np.ndarray, "k 4"]:
        """Points of frame a, every `step` pixels, that frame b shows, too: x, y in a and x, y in b.

        Where all is ground the corners of frame a come first, wherever they lie, so that truth is known to be a
        homography.
        """
        width, height = self.size
        x, y = (
            part.ravel() for part in np.meshgrid(np.arange(step // 2, width, step), np.arange(step // 2, height, step))
        )
        shown, there = self.map(a)[y, x], self.map(b)
        rows = []
        for plane in range(len(self.planes)):
            points = np.column_stack([x, y])[shown == plane].astype(np.float64)
            moved = apply(self.homography(a, b, plane), points)
            inside = (
                np.isfinite(moved).all(axis=1)
                & (moved > -0.5).all(axis=1)
                & (moved < [width - 0.5, height - 0.5]).all(axis=1)
            )
            points, moved = points[inside], moved[inside]
            u, v = np.rint(moved).astype(int).T
            rows.append(np.column_stack([points, moved])[there[v, u] == plane])
        if len(self.planes) == 1:
            ends = np.array([(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)], dtype=np.float64)
            rows.insert(0, np.column_stack([ends, apply(self.homography(a, b), ends)]))
        return np.concatenate(rows)

    def off(self, a: int, b: int, rows: NDArray[np.float64]) -> Float[np.ndarray, "m"]:
        """Pixels by which matches, x y in a and x y in b, miss where the plane that a shows there has gone, (m,)."""
        x, y = np.clip(np.rint(rows[:, :2]).astype(int), 0, np.array(self.size) - 1).T
        shown, off = self.map(a)[y, x], np.full(len(rows), np.inf)
        for plane in np.unique(shown[shown != NOTHING]).tolist():
            mask = shown == plane
            off[mask] = np.linalg.norm(apply(self.homography(a, b, plane), rows[mask, :2]) - rows[mask, 2:], axis=1)
        return off

    def overlap(self, a: int, b: int) -> float:
        """Share of frame a that frame b shows."""
        rows = self.truth(a, b)[4 if len(self.planes) == 1 else 0 :]
        return len(rows) / (len(range(4, self.size[0], 8)) * len(range(4, self.size[1], 8)))

    def domain(self, name: str = "flight") -> Domain:
        """All frames as pictures, with the columns video and frame."""
        frames = functools.cache(self.frame)
        columns = {"video": np.full(len(self), name), "frame": np.arange(len(self))}
        return Domain(x=Lazy(range(len(self)), lambda i: frames(int(i))), kind="image", name=name, columns=columns)

    def _looked(self, t: int) -> tuple[Picture, NDArray[np.int64]]:
        cv2 = opencv()
        frame = np.zeros((self.size[1], self.size[0], 3), dtype=np.uint8)
        shown = np.full((self.size[1], self.size[0]), NOTHING)
        for k, plane in enumerate(self.planes):
            matrix = self.seen(k, t) @ plane.placed
            border = cv2.BORDER_REFLECT if k == 0 else cv2.BORDER_CONSTANT
            warped = cv2.warpPerspective(plane.picture, matrix, self.size, flags=cv2.INTER_AREA, borderMode=border)
            over = (
                cv2.warpPerspective(plane.opacity, matrix, self.size, flags=cv2.INTER_LINEAR, borderMode=border) > 127
            )
            frame[over], shown[over] = warped[over], k
        return frame, shown

    def _lit(self, frame: Picture, t: int) -> Picture:
        gain, slope_x, slope_y, red, green, blue, haze, seed = self.light[t]
        y, x = np.mgrid[-1 : 1 : self.size[1] * 1j, -1 : 1 : self.size[0] * 1j]
        shade = gain * np.clip(1 + slope_x * x + slope_y * y, 0.2, 2)
        lit = frame * shade[..., None] * [red, green, blue]
        lit = lit * (1 - haze) + 190 * haze * gain
        lit += np.random.default_rng(int(seed)).normal(0, self.noise, frame.shape[:2])[..., None]
        return np.clip(lit, 0, 255).astype(np.uint8)


def flight(
    ground: Picture,
    others: Sequence[Picture] = (),
    *,
    frames: int = 60,
    size: tuple[int, int] = (320, 240),
    layers: int = 0,
    way: Way = Way(),
    seed: int = 0,
) -> Flight:
    """A flight over a photograph.

    Parameters
    ----------
    ground : array (h, w, 3) of bytes
        The photograph; beyond its borders it is mirrored.
    others : sequence of pictures
        What pieces are cut from; the ground itself if there are none.
    frames : int, >= 2
    size : (int, int)
        Width and height of frames.
    layers : int
        Pieces that float over the ground; without any, two frames are related by one homography.
    way : Way
    seed : int

    Examples
    --------
    >>> import numpy as np
    >>> from unseen.data.simulate.flights import flight
    >>> video = flight(np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8), frames=4)
    >>> video.frame(0).shape
    (240, 320, 3)
    """
    if frames < 2:
        raise ValueError(f"frames must be at least 2; got {frames}")
    if layers < 0:
        raise ValueError(f"layers must not be negative; got {layers}")
    rng = np.random.default_rng(seed)
    width, height = size
    focal = 0.9 * width
    intrinsics = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    scale = np.exp(_between(_smooth(rng, frames), np.log(way.near), np.log(way.far)))
    free = np.maximum(np.array(ground.shape[1::-1]) - way.near * np.array(size), 0) / 2
    place = np.column_stack([_smooth(rng, frames), _smooth(rng, frames)]) * free * way.drift
    middle = np.array(ground.shape[1::-1]) / 2
    above = scale * focal
    lean = np.deg2rad(way.lean) * np.column_stack([_smooth(rng, frames), _smooth(rng, frames)])
    looks = _rotations(np.deg2rad(way.roll) * _smooth(rng, frames), lean)
    # the camera stands where the middle of its picture shows the place
    sight = looks[:, 2]
    centres = np.column_stack([middle + place - above[:, None] * sight[:, :2] / sight[:, 2:], -above])
    planes = [Plane(ground, np.full(ground.shape[:2], 255, dtype=np.uint8), 0.0, (0.0, 0.0))]
    lowest = float(above.min())
    for _ in range(layers):
        planes.append(
            _piece(rng, others[int(rng.integers(len(others)))] if len(others) else ground, ground.shape, size, lowest)
        )
    planes[1:] = sorted(planes[1:], key=lambda plane: plane.height)
    return Flight(tuple(planes), intrinsics, looks, centres, _light(rng, frames, way), size, way.noise)


def _piece(
    rng: np.random.Generator, picture: Picture, ground: tuple[int, ...], size: tuple[int, int], lowest: float
) -> Plane:
    """A rounded piece of a picture, somewhere over the ground, at up to two fifths of the lowest flight."""
    side = int(rng.uniform(0.3, 0.6) * min(*size, *picture.shape[:2]))
    top, left = rng.integers(picture.shape[0] - side + 1), rng.integers(picture.shape[1] - side + 1)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    opacity = (255 * (np.abs(x) ** 4 + np.abs(y) ** 4 < 0.9)).astype(np.uint8)
    corner = rng.uniform(0.15, 0.75, 2) * np.array(ground[1::-1])
    piece = np.ascontiguousarray(picture[top : top + side, left : left + side])
    return Plane(piece, opacity, float(rng.uniform(0.1, 0.4)) * lowest, (float(corner[0]), float(corner[1])))


def _smooth(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """A smooth walk through [-1, 1] that comes near both ends: half a wave or more, with a smaller one on it."""
    t = np.linspace(0, 1, n)
    wave = np.sin(np.pi * (rng.uniform(0.9, 1.6) * t + rng.uniform(-1, 1))) + 0.3 * np.sin(
        2 * np.pi * (rng.uniform(0.8, 1.5) * t + rng.uniform(0, 1))
    )
    low, high = wave.min(), wave.max()
    return 2 * (wave - low) / max(high - low, 1e-9) - 1


def _between(walk: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    return low + (walk + 1) / 2 * (high - low)


def _rotations(roll: NDArray[np.float64], lean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cameras that look down, (n, 3, 3): leaned about x and y, then turned about the line of sight."""
    rotations = []
    for turn, (a, b) in zip(roll, lean):
        about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        rotations.append(about_z @ about_y @ about_x)
    return np.array(rotations)


def _light(rng: np.random.Generator, n: int, way: Way) -> NDArray[np.float64]:
    gain = 1 - way.dusk * (_smooth(rng, n) + 1) / 2
    slopes = 0.4 * np.column_stack([_smooth(rng, n), _smooth(rng, n)]) * (way.dusk > 0)
    tints = 1 + 0.15 * np.column_stack([_smooth(rng, n) for _ in range(3)]) * (way.dusk > 0)
    haze = way.haze * (_smooth(rng, n) + 1) / 2
    return np.column_stack([gain, slopes, tints, haze, rng.integers(2**31, size=n)])
