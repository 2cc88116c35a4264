"""Strong augmentation of what is seen, not of where: night, and a telephone in the hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unseen.data.opencv import opencv

Picture = NDArray[np.uint8]
Floats = NDArray[Any]
Photometric = Literal["dark", "mobile", "none"]
PUBLISHED = 840
"""Pixels of a side of the pictures for which the widths of blurs were published; ours are as wide for our sides."""


def dark(picture: Picture, rng: np.random.Generator) -> Picture:
    """Night, as for three of four pictures: less light and contrast, blur, motion blur, gamma, less value."""
    if rng.random() >= 0.75:
        return picture
    pixels: Floats = picture.astype(np.float32)
    if rng.random() < 0.75:
        pixels = pixels * (1 + rng.uniform(-0.5, 0.3)) + 255 * rng.uniform(-0.6, 0.0)
    if rng.random() < 0.1:
        pixels = _box(pixels, rng.uniform(3, 9))
    if rng.random() < 0.2:
        pixels = _motion(pixels, rng.uniform(3, 25), rng)
    if rng.random() < 0.1:
        pixels = 255 * (np.clip(pixels, 0, 255) / 255) ** rng.uniform(0.15, 0.65)
    if rng.random() < 0.1:
        pixels = pixels - rng.uniform(40, 100)
    return _bytes(pixels)


def mobile(picture: Picture, rng: np.random.Generator) -> Picture:
    """A telephone: motion blur, other colours, rain, a flare, JPEG, noise of the sensor."""
    pixels: Floats = picture.astype(np.float32)
    if rng.random() < 0.25:
        pixels = _motion(pixels, rng.uniform(3, 7), rng)
    if rng.random() < 0.5:
        mean = pixels.mean(axis=(0, 1), keepdims=True)
        pixels = (pixels - mean) * rng.uniform(0.8, 1.2) + mean * rng.uniform(0.8, 1.2, 3)
    if rng.random() < 0.1:
        pixels = _rain(pixels, rng)
    if rng.random() < 0.1:
        pixels = _flare(pixels, rng)
    if rng.random() < 0.25:
        pixels = _jpeg(pixels, int(rng.integers(50, 100)))
    if rng.random() < 0.25:
        pixels = pixels + rng.normal(0, rng.uniform(3, 12), (*pixels.shape[:2], 1))
    return _bytes(pixels)


WAYS: Mapping[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "dark": dark,
    "mobile": mobile,
    "none": lambda picture, rng: picture,
}


def _bytes(made: Floats) -> Picture:
    return np.clip(np.rint(made), 0, 255).astype(np.uint8)


def _width(published: float, shape: tuple[int, ...]) -> int:
    """An odd width of at least 3 that is to this picture what the published one is to a published picture."""
    return max(3, round(published * max(shape[:2]) / PUBLISHED) | 1)


def _box(made: Floats, width: float) -> Floats:
    n = _width(width, made.shape)
    return np.asarray(opencv().blur(made, (n, n)))


def _motion(made: Floats, width: float, rng: np.random.Generator) -> Floats:
    n = _width(width, made.shape)
    kernel = np.zeros((n, n), dtype=np.float32)
    angle = rng.uniform(0, np.pi)
    for way in np.linspace(-1, 1, 2 * n) * (n // 2):
        kernel[round(n // 2 + way * np.sin(angle)), round(n // 2 + way * np.cos(angle))] = 1
    return np.asarray(opencv().filter2D(made, -1, kernel / kernel.sum()))


def _rain(made: Floats, rng: np.random.Generator) -> Floats:
    cv2, drops = opencv(), np.zeros(made.shape[:2], dtype=np.float32)
    height, width = made.shape[:2]
    slant, length = int(rng.integers(-4, 5)), max(height // 20, 2)
    for x, y in rng.integers([0, 0], [width, height], (max(width // 4, 1), 2)).tolist():
        cv2.line(drops, (x, y), (x + slant, y + length), 1.0, 1)
    return (0.9 * made) * (1 - 0.6 * drops[..., None]) + 120 * drops[..., None]


def _flare(made: Floats, rng: np.random.Generator) -> Floats:
    height, width = made.shape[:2]
    y, x = np.mgrid[:height, :width]
    cy, cx = rng.uniform(0, 0.5) * height, rng.uniform(0, 1) * width
    glow = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * (rng.uniform(0.05, 0.2) * max(height, width)) ** 2))
    return (made + 220 * glow[..., None]).astype(np.float32)


def _jpeg(made: Floats, quality: int) -> Floats:
    cv2 = opencv()
    content = cv2.imencode(".jpg", _bytes(made), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_UNCHANGED), dtype=np.float32)
