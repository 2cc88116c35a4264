"""Cut-outs pasted on photographs: pictures with an exact class for every pixel, in a declared light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.tasks.base import objects

LIGHTS: Mapping[str, tuple[float, tuple[float, float, float], float, float, float]] = {
    "plain": (1.0, (1.0, 1.0, 1.0), 0.0, 0.0, 0.0),
    "dusk": (1.7, (0.75, 0.85, 1.15), 0.0, 0.3, 0.03),
    "haze": (1.0, (1.0, 0.97, 0.9), 0.5, 0.0, 0.01),
    "sunset": (1.1, (1.25, 0.95, 0.6), 0.1, 0.2, 0.01),
    "lamp": (1.3, (1.2, 1.0, 0.55), 0.0, 0.6, 0.04),
    "overcast": (0.8, (0.9, 0.97, 1.05), 0.4, 0.0, 0.02),
    "under water": (1.2, (0.45, 0.95, 1.1), 0.25, 0.2, 0.02),
}
"""Gamma, gains of red, green and blue, share of haze, strength of the vignette, and deviation of noise."""


def lit(x: NDArray[np.float32], light: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """A picture, (3, h, w) in [0, 1], in one of `LIGHTS`, a little other each time."""
    gamma, gains, haze, vignette, noise = LIGHTS[light]
    if light == "plain":
        return x
    gamma, haze, vignette = (value * rng.uniform(0.85, 1.15) for value in (gamma, haze, vignette))
    colour = np.array(gains, dtype=np.float32) * rng.uniform(0.95, 1.05, 3).astype(np.float32)
    x = (np.clip(x, 0, 1) ** gamma * colour[:, None, None]).astype(np.float32)
    x = ((1 - haze) * x + haze * (0.8 * colour / colour.max())[:, None, None]).astype(np.float32)
    rows, columns = (np.linspace(-1, 1, side) for side in x.shape[1:])
    x = (x * (1 - vignette * (rows[:, None] ** 2 + columns**2) / 2)).astype(np.float32)
    return np.clip(x + rng.normal(0, noise, x.shape), 0, 1).astype(np.float32)


def collages(
    cutouts: Domain,
    photographs: Sequence[NDArray[np.uint8]],
    n: int,
    *,
    side: int = 64,
    things: tuple[int, int] = (1, 3),
    sizes: tuple[float, float] = (0.4, 0.8),
    light: str = "plain",
    random_state: int = 0,
    name: str = "collages",
) -> Domain:
    """Draw pictures of cut-outs on crops of photographs, with a mask each.

    Parameters
    ----------
    cutouts : Domain
        As `unseen.data.sources.cutouts.emoji_cutouts` gives them.
    photographs : sequence of arrays (h, w, 3) of bytes
        Backgrounds; a crop of at least `side` pixels is taken of each.
    n : int
        Pictures.
    side : int
        Width and height in pixels.
    things : (int, int)
        Least and most cut-outs in a picture; later ones may hide earlier ones.
    sizes : (float, float)
        Least and most size of a cut-out, as a share of `side`.
    light : str
        One of `LIGHTS`.

    Returns
    -------
    Domain
        ``x`` (n, 3, side, side) in [0, 1]; masks with the class ``background`` and those of the cut-outs.
    """
    if light not in LIGHTS:
        raise ValueError(f"light must be one of {', '.join(LIGHTS)}; got {light!r}")
    if cutouts.classes is None or not photographs:
        raise ValueError("cutouts must have classes, and there must be a photograph")
    rng = np.random.default_rng(random_state)
    x, y = np.empty((n, 3, side, side), dtype=np.float32), []
    for i in range(n):
        picture, mask = _background(photographs, side, rng), np.zeros((side, side), dtype=np.int16)
        for _ in range(int(rng.integers(things[0], things[1] + 1))):
            label = int(rng.integers(len(cutouts.classes)))
            which = int(rng.choice(np.flatnonzero(cutouts.labels == label)))
            _paste(picture, mask, cutouts.x[which], label + 1, rng, sizes)
        x[i] = lit(picture, light, rng)
        y.append(mask)
    return Domain(
        x=x,
        y=objects(y),
        kind="image",
        task="mask",
        classes=ClassSpace(names=("background", *cutouts.classes.names)),
        name=name,
        credits=cutouts.credits,
    )


def ink_cutouts(drawings: Domain, colours: Sequence[tuple[int, int, int]] = ((200, 60, 40), (40, 90, 200))) -> Domain:
    """Drawings on white paper as cut-outs: what is not paper, in one of some colours by turns.

    Parameters
    ----------
    drawings : Domain
        Pictures with classes, such as `unseen.data.sources.digits` gives.
    colours : sequence of (red, green, blue)
    """
    cut = []
    for i, sample in enumerate(drawings.x):
        ink = 255 - np.asarray(sample.convert("L"))
        colour = np.array(colours[i % len(colours)], dtype=np.uint8)
        cut.append(np.concatenate([np.broadcast_to(colour[:, None, None], (3, *ink.shape)), ink[None]]))
    return drawings.replace(x=np.stack(cut))


def _background(photographs: Sequence[NDArray[np.uint8]], side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    from PIL import Image

    photograph = photographs[int(rng.integers(len(photographs)))]
    shortest = min(photograph.shape[:2])
    cut = int(rng.integers(min(2 * side, shortest), shortest + 1))
    top, left = (int(rng.integers(long - cut + 1)) for long in photograph.shape[:2])
    crop = Image.fromarray(photograph[top : top + cut, left : left + cut]).resize((side, side), Image.Resampling.BOX)
    array: NDArray[np.float32] = np.asarray(crop, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)
    return array[..., ::-1].copy() if rng.random() < 0.5 else array.copy()


def _paste(
    picture: NDArray[np.float32],
    mask: NDArray[np.int16],
    cutout: NDArray[np.uint8],
    label: int,
    rng: np.random.Generator,
    sizes: tuple[float, float],
) -> None:
    """Put a cut-out, (4, h, w), somewhere into a picture and its mask, in place."""
    from PIL import Image

    side = picture.shape[1]
    size = max(4, round(side * rng.uniform(*sizes)))
    image = Image.fromarray(cutout.transpose(1, 2, 0), "RGBA").resize((size, size), Image.Resampling.BILINEAR)
    array = np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255
    array = array[..., ::-1] if rng.random() < 0.5 else array
    top, left = (int(value) for value in rng.integers(-size // 6, side - size + size // 6 + 1, 2))
    high, wide = slice(max(top, 0), min(top + size, side)), slice(max(left, 0), min(left + size, side))
    part = array[:, high.start - top : high.stop - top, wide.start - left : wide.stop - left]
    alpha = part[3]
    picture[:, high, wide] = (1 - alpha) * picture[:, high, wide] + alpha * part[:3]
    mask[high, wide][alpha > 0.5] = label
