"""Families `blur`, `convolutional`, `edges` and `artistic`: what a pixel takes from its neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unseen.data.shifts.base import Member, Picture, Rng, blend, convolved, gaussian, grey, pixels, window
from unseen.data.shifts.colors import saturated
from unseen.data.shifts.edges import canny, sobel, threshold

# -- blur --------------------------------------------------------------------------------------------------


def gaussian_blur(x: Picture, rng: Rng, s: float) -> Picture:
    """Sigma of 5 to 7 pixels."""
    return gaussian(x, pixels(x, rng.uniform(5, 7)) * s)


def average_blur(x: Picture, rng: Rng, s: float) -> Picture:
    """Mean of 9 to 15 pixels square."""
    k = window(x, rng.uniform(9, 15) * s)
    return ndimage.uniform_filter(x, (k, k, 1), mode="nearest")


def median_blur(x: Picture, rng: Rng, s: float) -> Picture:
    """Median of 9 to 15 pixels square."""
    k = window(x, rng.uniform(9, 15) * s)
    return ndimage.median_filter(x, (k, k, 1), mode="nearest")


def _shifted(x: Picture, reach: int) -> list[tuple[int, int, Picture]]:
    """The picture moved to all places of a square window, with the moves."""
    padded = np.pad(x, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    h, w = x.shape[:2]
    places = [(r, c) for r in range(-reach, reach + 1) for c in range(-reach, reach + 1)]
    return [(r, c, padded[reach + r : reach + r + h, reach + c : reach + c + w]) for r, c in places]


def bilateral_blur(x: Picture, rng: Rng, s: float) -> Picture:
    """Mean of near pixels of near colours, up to 9 pixels square, 100 to 250 levels wide."""
    reach = min(window(x, rng.uniform(9, 15) * s) // 2, 4)
    width = rng.uniform(100, 250) / 255
    total, weights = np.zeros_like(x), np.zeros((*x.shape[:2], 1), dtype=np.float32)
    for r, c, other in _shifted(x, reach):
        apart = ((other - x) ** 2).sum(axis=2, keepdims=True) / width**2 + (r * r + c * c) / max(reach, 1) ** 2
        weight = np.exp(-apart / 2)
        total, weights = total + weight * other, weights + weight
    return total / weights


def motion_blur(x: Picture, rng: Rng, s: float) -> Picture:
    """Mean along a line of 15 pixels in a random direction."""
    k = window(x, 15 * s)
    angle = rng.uniform(0, np.pi)
    kernel, middle = np.zeros((k, k)), k // 2
    for step in np.linspace(-middle, middle, 4 * k):
        kernel[round(middle + step * np.sin(angle)), round(middle + step * np.cos(angle))] += 1
    return convolved(x, kernel / kernel.sum())


def mean_shift(x: Picture, rng: Rng, s: float) -> Picture:
    """Colours move to the mean of the near (up to 4 pixels) and similar (5 to 40 levels); three times."""
    reach = max(1, min(round(pixels(x, rng.uniform(5, 40)) * s), 4))
    width = rng.uniform(5, 40) * s / 255
    current = x
    for _ in range(3):
        total, count = current.copy(), np.ones((*x.shape[:2], 1), dtype=np.float32)
        for _, _, other in _shifted(x, reach):
            near = (np.abs(other - current).max(axis=2, keepdims=True) <= width).astype(np.float32)
            total, count = total + near * other, count + near
        current = total / count
    return current


BLUR: tuple[Member, ...] = (gaussian_blur, average_blur, median_blur, bilateral_blur, motion_blur, mean_shift)


# -- convolutional -----------------------------------------------------------------------------------------


def laplacian(x: Picture, rng: Rng, s: float) -> Picture:
    """The Laplacian in the place of the picture."""
    return blend(x, np.abs(convolved(x, np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]))), min(s, 1.0))


def sharpen(x: Picture, rng: Rng, s: float) -> Picture:
    """0.8 to 1 of a sharpened picture that is up to twice as light."""
    light = rng.uniform(0.75, 2)
    sharp = convolved(x, np.array([[-1, -1, -1], [-1, 8 + light, -1], [-1, -1, -1]]))
    return blend(x, sharp, rng.uniform(0.8, 1) * min(s, 1.0))


def emboss(x: Picture, rng: Rng, s: float) -> Picture:
    """0.8 to 1 of a picture in relief."""
    k = rng.uniform(0.8, 1.2) * s
    relief = convolved(x, np.array([[-1 - k, -k, 0], [-k, 1, k], [0, k, 1 + k]]))
    return blend(x, relief, rng.uniform(0.8, 1) * min(s, 1.0))


def edge_detect(x: Picture, rng: Rng, s: float) -> Picture:
    """0.8 to 1 of differences with all neighbours."""
    return blend(x, convolved(x, np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])), rng.uniform(0.8, 1) * min(s, 1.0))


def directed_edge_detect(x: Picture, rng: Rng, s: float) -> Picture:
    """0.8 to 1 of differences in one direction."""
    angle = rng.uniform(0, 2 * np.pi)
    around = [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)]
    toward = np.array([max(0.0, (r * np.sin(angle) + c * np.cos(angle)) / np.hypot(r, c)) for r, c in around]) ** 4
    kernel: NDArray[np.float64] = np.zeros((3, 3))
    for (r, c), weight in zip(around, toward / toward.sum()):
        kernel[r + 1, c + 1] = weight
    kernel[1, 1] = -1
    return blend(x, convolved(x, kernel), rng.uniform(0.8, 1) * min(s, 1.0))


CONVOLUTIONAL: tuple[Member, ...] = (laplacian, sharpen, emboss, edge_detect, directed_edge_detect)


# -- edges and artistic ------------------------------------------------------------------------------------


def colored_edges(x: Picture, rng: Rng, s: float) -> Picture:
    """0.8 to 1 of Canny's lines after a blur of sigma 2, lines and ground in random colours."""
    gradient = sobel(gaussian(x, pixels(x, 2))[None] @ np.array([0.2989, 0.5870, 0.1140], dtype=np.float32))
    t = np.array([threshold(gradient.magnitude[0], "otsu")])
    lines = canny(gradient, t * rng.uniform(0.3, 0.7), t * rng.uniform(1.2, 1.8))[0][..., None]
    ground, ink = rng.random(3), rng.random(3)
    while np.abs(ground - ink).max() < 0.3:
        ink = rng.random(3)
    return blend(x, ground + lines * (ink - ground), rng.uniform(0.8, 1) * min(s, 1.0))


def cartoon(x: Picture, rng: Rng, s: float) -> Picture:
    """Flat colours (median of 9 pixels, four levels), saturation doubled, dark lines at edges."""
    k = window(x, 9)
    flat = ndimage.median_filter(x, (k, k, 1), mode="nearest")
    flat = saturated(np.rint(flat * 4) / 4, 2.0)
    gradient = sobel(grey(flat)[None, ..., 0]).magnitude[0][..., None]
    lines = np.clip((gradient - 0.5) * 2, 0, 1)
    return blend(x, flat * (1 - lines), min(s, 1.0))


EDGES: tuple[Member, ...] = (colored_edges,)
ARTISTIC: tuple[Member, ...] = (cartoon,)
