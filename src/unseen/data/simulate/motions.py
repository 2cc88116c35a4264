"""Pictures in motion: ten motions that are five pairs, of which each is the other one backwards.

A clip and its reverse hold the same frames, so whatever looks at the set of frames alone cannot tell the two motions of
a pair apart. Where a motion starts, how fast it is, how large and how bright the thing is, are drawn anew each time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.typing import IntArray

MOTIONS = (
    "moving right", "moving left", "moving down", "moving up", "growing", "shrinking",
    "turning clockwise", "turning counterclockwise", "appearing", "fading",
)  # fmt: skip
"""What clips show; neighbours at even and odd places are each other's reverse."""


def reverse_of(motion: int) -> int:
    """The number of the motion that is this one backwards."""
    return motion ^ 1


def moving(
    picture: Any, motion: str | int, rng: np.random.Generator, *, frames: int = 8, side: int = 32
) -> NDArray[np.uint8]:
    """A clip of a picture in motion on white, (frames, 3, side, side) bytes.

    Parameters
    ----------
    picture : PIL image, or array (h, w, 3) of bytes
        A thing on white.
    motion : str or int
        One of `MOTIONS`, or its number.
    rng : Generator
        Place, size, start and speed are drawn from it; the same numbers give a motion and its reverse the same frames.
    frames, side : int
        Frames, and pixels of a side.
    """
    number = [*MOTIONS, motion].index(motion) if isinstance(motion, str) else motion
    if not 0 <= number < len(MOTIONS) or frames < 2 or side < 8:
        raise ValueError(f"motion must be one of {', '.join(MOTIONS)}; frames >= 2, side >= 8; got {motion!r}")
    values = np.asarray(picture.convert("RGB") if hasattr(picture, "convert") else picture)
    ink = 1 - torch.as_tensor(np.ascontiguousarray(values.transpose(2, 0, 1))).float()[None] / 255
    ink = F.interpolate(ink, (side, side), mode="bilinear", antialias=True, align_corners=False)
    shown = 1 - drawn(ink, _path(number // 2, rng, frames))
    clip = np.rint(255 * shown.clamp(0, 1).numpy()).astype(np.uint8)
    return np.ascontiguousarray(clip[::-1] if number % 2 else clip)


def _path(pair: int, rng: np.random.Generator, frames: int) -> Tensor:
    """Place x and y in [-1, 1], size, angle and strength of each frame, (frames, 5), of the first motion of a pair."""
    u = torch.as_tensor(rng.random(8), dtype=torch.float32)
    t = torch.linspace(0, 1, frames)
    size = float(0.4 + 0.2 * u[0])
    room = 1 - size
    path = torch.zeros(frames, 5)
    path[:, 0], path[:, 1] = (room * (2 * u[1:3] - 1))[:, None]
    path[:, 2], path[:, 4] = size, 0.7 + 0.3 * u[3]
    share = 0.4 + 0.6 * u[4]
    if pair < 2:
        way = 2 * room * share
        path[:, pair] = -room + (2 * room - way) * u[5] + way * t
    elif pair == 2:
        first = 0.3 + 0.15 * u[5]
        path[:, 2] = first * (1 + (0.5 + 0.7 * share) * t)
        path[:, :2] = (1 - path[-1, 2]) * (2 * u[1:3] - 1)
    elif pair == 3:
        path[:, 3] = 2 * math.pi * u[5] + (math.pi / 3 + math.pi * share) * t
    else:
        path[:, 4] = 0.15 + 0.2 * u[5] + 0.6 * share * t
    return path


def drawn(ink: Tensor, path: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """What is at its place, size, angle and strength (`path`, (frames, 5)) in each frame, (frames, c, height, width).

    Parameters
    ----------
    ink : Tensor (1, c, h, w)
        A thing, 0 where there is nothing.
    size : (int, int), optional
        Height and width of frames; those of `ink` if absent.
    """
    height, width = ink.shape[2:] if size is None else size
    x, y, scale, angle, strength = path.unbind(dim=1)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    theta = torch.stack(
        [cos, sin, -(cos * x + sin * y), -sin, cos, sin * x - cos * y],
        dim=1,
    ).view(-1, 2, 3)
    n = len(path)
    grid = F.affine_grid(theta, [n, ink.shape[1], height, width], align_corners=False)
    moved = F.grid_sample(ink.expand(n, -1, -1, -1), grid, padding_mode="zeros", align_corners=False)
    return moved * strength[:, None, None, None]


def clips_of(
    pictures: Sequence[Any],
    things: IntArray,
    motions: IntArray,
    seed: int,
    *,
    frames: int = 8,
    side: int = 32,
) -> NDArray[np.uint8]:
    """Clips (n, frames, 3, side, side) of the pictures at `things` in the motions at `motions`, both (n,)."""
    rng = np.random.default_rng(seed)
    clips = [moving(pictures[i], int(m), rng, frames=frames, side=side) for i, m in zip(things.tolist(), motions)]
    return np.stack(clips) if clips else np.zeros((0, frames, 3, side, side), np.uint8)
