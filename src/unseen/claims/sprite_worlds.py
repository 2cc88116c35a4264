"""Sprites in motion for claims: digits on black in eight motions, emoji on photographs in ten others.

The two domains share no motion, no thing and no background, and differ in speed and noise. The motions of
`unseen.data.simulate.motions` are reversed pairs, for claims about order; here those of one domain are to help with
those of another.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims.motion_worlds import things
from unseen.claims.worlds import digits, photos
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.simulate.motions import drawn

FRAMES, SIDE, TURN = 8, 24, 2 * math.pi
SOURCE = (
    "moving right", "moving left", "moving down", "moving up",
    "circling clockwise", "circling counterclockwise", "growing", "bouncing",
)  # fmt: skip
TARGET = (
    "to the lower right", "to the upper left", "spiralling in", "spiralling out", "shaking",
    "rotating", "stopping and going", "two approaching", "two leaving", "swinging",
)  # fmt: skip
CLASSES = ClassSpace(names=SOURCE + TARGET)
"""Of both domains: the source has the first eight, the target the others."""


class Look(NamedTuple):
    """How a domain looks: speeds are shares of the room that there is, noise is of values in [0, 1]."""

    slowest: float
    fastest: float
    noise: float


LOOKS = {"source": Look(0.6, 1.0, 0.0), "target": Look(0.45, 0.8, 0.02)}

CONTRAST = 0.3
"""Of the photographs behind. Before whole ones nothing tells motions, differences of frames neither: a world in which
all are near chance compares nothing."""


def paths(motion: str, rng: np.random.Generator, look: Look, frames: int = FRAMES) -> list[Tensor]:
    """Place x and y in [-1, 1], size, angle and strength of each thing in each frame, (frames, 5) a thing."""
    u = torch.as_tensor(rng.random(8), dtype=torch.float32)
    t = torch.linspace(0, 1, frames)
    size = 0.3 + 0.15 * u[0]
    room = 1 - size
    speed = look.slowest + (look.fastest - look.slowest) * u[1]
    x, y = (room * (2 * u[i] - 1) * torch.ones(frames) for i in (2, 3))
    sizes, angle = size * torch.ones(frames), torch.zeros(frames)
    along = room * (2 * speed * t - 1 + 2 * (1 - speed) * u[4])  # from one side towards the other
    phase, way = TURN * u[5], 1.0 if u[6] < 0.5 else -1.0
    if motion in SOURCE[:4]:
        place = along if motion in ("moving right", "moving down") else -along
        x, y = (place, y) if motion in ("moving right", "moving left") else (x, place)
    elif motion.startswith("circling"):
        turn = phase + TURN * speed * t * (1 if motion == "circling clockwise" else -1)
        x, y = (0.7 * room * part + 0.3 * centre for part, centre in ((turn.cos(), x), (turn.sin(), y)))
    elif motion == "growing":
        sizes = size * (0.6 + 1.2 * speed * t)
        x, y = x * 0.5, y * 0.5
    elif motion == "bouncing":
        x, y = 0.5 * x + 0.4 * along, room * (1 - 2 * (math.pi * (1.5 * speed * t + u[5])).sin().abs())
    elif motion in ("to the lower right", "to the upper left"):
        place = along if motion == "to the lower right" else -along
        x, y = place, place + 0.2 * y
    elif motion.startswith("spiralling"):
        radius = room * (1 - 0.85 * (t if motion == "spiralling in" else 1 - t))
        turn = phase + way * 1.5 * TURN * speed * t
        x, y = radius * turn.cos(), radius * turn.sin()
    elif motion == "shaking":
        jerk = torch.as_tensor(rng.choice([-1.0, 1.0]) * np.resize([1, -1], frames), dtype=torch.float32)
        x, y = 0.8 * x + 0.25 * speed * jerk, 0.8 * y
    elif motion == "rotating":
        angle = phase + way * 1.2 * TURN * speed * t
    elif motion == "stopping and going":
        share = torch.where(t < 0.35, t, torch.where(t < 0.7, torch.full_like(t, 0.35), t - 0.35)) / 0.65
        reach = room * (2 * speed * share - 1 + 2 * (1 - speed) * u[4])
        x, y = reach * phase.cos(), reach * phase.sin()
    elif motion == "swinging":
        swing = (TURN * (1.2 * speed * t + u[5])).sin()
        x, y, angle = 0.8 * room * swing, 0.5 * y - 0.4 * swing.square(), 0.6 * swing
    elif motion.startswith("two"):
        apart = 0.25 + 0.7 * speed * (1 - t if motion == "two approaching" else t)
        x, y = apart * phase.cos(), apart * phase.sin()
        sizes = 0.7 * sizes
        return [torch.stack([side * x, side * y, sizes, angle, torch.ones(frames)], dim=1) for side in (1, -1)]
    else:
        raise ValueError(f"motion must be one of {', '.join(CLASSES.names)}; got {motion!r}")
    return [torch.stack([x, y, sizes, angle, torch.ones(frames)], dim=1)]


def clip_of(sprites: Tensor, ground: Tensor, motion: str, rng: np.random.Generator, look: Look) -> NDArray[np.uint8]:
    """Bytes (FRAMES, 3, SIDE, SIDE) of one thing, or of two, in motion before a ground (3, SIDE, SIDE).

    `sprites` are (2, 4, h, w): red, green, blue and alpha in [0, 1], colours times alpha; motions of two show both.
    """
    shown = ground.expand(FRAMES, -1, -1, -1)
    for sprite, path in zip(sprites, paths(motion, rng, look)):
        moved = drawn(sprite[None], path, (SIDE, SIDE))
        shown = shown * (1 - moved[:, 3:]) + moved[:, :3]
    shown = shown + look.noise * torch.as_tensor(rng.normal(size=shown.shape), dtype=torch.float32)
    return np.rint(255 * shown.clamp(0, 1).numpy()).astype(np.uint8)


# -- what moves, and before what -----------------------------------------------------------------------------


@functools.cache
def digit_sprites(split: str) -> Tensor:
    """Handwritten digits, white, of every second writer's picture: (n, 4, SIDE, SIDE)."""
    ink = torch.as_tensor(digits("handwritten").x[int(split == "confirmation") :: 2]).float().view(-1, 1, 8, 8)
    ink = ink / ink.amax(dim=(1, 2, 3), keepdim=True)
    return F.interpolate(ink, (SIDE, SIDE), mode="bilinear", align_corners=False).expand(-1, 4, -1, -1)


@functools.cache
def emoji_sprites(case: str, asked: bool) -> Tensor:
    """Emoji without their white ground, those to learn from or those to be asked about: (n, 4, SIDE, SIDE)."""
    split, vendor = case.split()
    emoji = things(vendor, split)
    kept = [emoji.pictures[i] for i in np.flatnonzero(emoji.asked == asked)]
    values = torch.stack([torch.tensor(picture).permute(2, 0, 1) for picture in kept]).float() / 255
    alpha = outside(values)
    cut = torch.cat([values * alpha, alpha], dim=1)
    return F.interpolate(cut, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)


def outside(values: Tensor) -> Tensor:
    """0 where a picture (n, 3, h, w) is white from its border on, else 1: (n, 1, h, w)."""
    from scipy.ndimage import binary_propagation

    white = (values > 0.97).all(dim=1).numpy()
    border = np.zeros(white.shape[1:], dtype=bool)
    border[[0, -1]] = border[:, [0, -1]] = True
    masks = [binary_propagation(border & part, mask=part) for part in white]
    return 1 - torch.as_tensor(np.stack(masks)).float()[:, None]


def grounds(case: str, n: int, rng: np.random.Generator) -> Tensor:
    """Squares of one photograph, another one in each split, at `CONTRAST` around their mean: (n, 3, SIDE, SIDE)."""
    photo = torch.as_tensor(photos().x[int(case.startswith("confirmation"))]).permute(2, 0, 1).float() / 255
    small = F.interpolate(photo[None], scale_factor=0.3, mode="bilinear", antialias=True)[0]
    tall, wide = small.shape[1:]
    corners = zip(rng.integers(tall - SIDE, size=n).tolist(), rng.integers(wide - SIDE, size=n).tolist())
    whole = torch.stack([small[:, i : i + SIDE, j : j + SIDE] for i, j in corners])
    mean = whole.mean(dim=(2, 3), keepdim=True)
    return mean + CONTRAST * (whole - mean)


def clips(case: str, which: str, each: int, seed: int, *, asked: bool = False) -> Domain:
    """`each` clips of every motion of a domain, ``source`` or ``target``, with values in [-1, 1].

    `asked` are of emoji that stand in no other clip.
    """
    motions = SOURCE if which == "source" else TARGET
    rng = np.random.default_rng([seed, int(which == "target"), int(asked)])
    y = np.repeat(np.arange(len(motions)), each)
    sprites = digit_sprites(case.split()[0]) if which == "source" else emoji_sprites(case, asked)
    behind = torch.zeros(len(y), 3, SIDE, SIDE) if which == "source" else grounds(case, len(y), rng)
    look = LOOKS[which]
    frames = [
        clip_of(sprites[rng.choice(len(sprites), 2, replace=False)], ground, motions[k], rng, look)
        for k, ground in zip(y.tolist(), behind)
    ]
    x = np.stack(frames).astype(np.float32) / 127.5 - 1
    labels: Any = y if which == "source" else y + len(SOURCE)
    return Domain(x=x, y=labels, kind="clip", classes=CLASSES, name=which)
