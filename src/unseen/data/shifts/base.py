"""What all members of the bank share: a picture (h, w, 3) in [0, 1], random numbers, and how strong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Picture = NDArray[np.floating[Any]]
Rng = np.random.Generator
Member = Callable[[Picture, Rng, float], Picture]
"""(picture, generator, strength) -> picture; a strength of 1 is that of the paper, 0 changes nothing or little."""

SIDE = 227
"""The shorter side at which lengths in pixels are meant; at another size they are scaled."""

LUMA = np.array([0.2989, 0.5870, 0.1140], dtype=np.float32)


def pixels(x: Picture, length: float) -> float:
    """A length in pixels of the paper's pictures as one in this picture."""
    return length * min(x.shape[:2]) / SIDE


def window(x: Picture, length: float, least: int = 3) -> int:
    """An odd number of pixels, `least` at the smallest."""
    return max(least, 2 * round((pixels(x, length) - 1) / 2) + 1)


def grey(x: Picture) -> Picture:
    """Luminance, (h, w, 1)."""
    return (x @ LUMA)[..., None]


def blend(a: Picture, b: Picture, share: float) -> Picture:
    """`share` of b, the rest of a."""
    return a + np.float32(share) * (b - a)


def away(low: float, high: float, rng: np.random.Generator, strength: float) -> float:
    """A number from +-(low..high), times the strength."""
    return float(rng.choice((-1, 1)) * rng.uniform(low, high) * strength)


def factor(below: tuple[float, float], above: tuple[float, float], rng: np.random.Generator, strength: float) -> float:
    """A factor of one of two ranges, as far from 1 as the strength says."""
    value = rng.uniform(*(below if rng.random() < 0.5 else above))
    return float(value**strength)


def channels(rng: np.random.Generator) -> int:
    """Whether a member treats channels alike (1) or each by itself (3), with equal chances."""
    return 3 if rng.random() < 0.5 else 1


def gaussian(x: Picture, sigma: float) -> Picture:
    """Blur in space."""
    return ndimage.gaussian_filter(x, (sigma, sigma, 0), mode="nearest")


def coarse(x: Picture, rng: np.random.Generator, share: float, depth: int) -> NDArray[np.bool_]:
    """A mask (h, w, depth) of blocks, each on with the chance `share`; a side has 5 to 25 blocks."""
    h, w = x.shape[:2]
    rows, columns = (max(2, round(side * rng.uniform(0.05, 0.25))) for side in (h, w))
    small = rng.random((min(rows, h), min(columns, w), depth)) < share
    return small[np.arange(h) * small.shape[0] // h][:, np.arange(w) * small.shape[1] // w]


def convolved(x: Picture, kernel: NDArray[np.floating]) -> Picture:
    """The picture convolved with one kernel in every channel."""
    return ndimage.convolve(x, np.asarray(kernel, dtype=np.float32)[..., None], mode="mirror")
