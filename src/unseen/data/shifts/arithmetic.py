"""Family `arithmetic`: noise, sums, products, and pixels that are lost."""

from __future__ import annotations

import io

import numpy as np

from unseen.data.images import open_header
from unseen.data.shifts.base import Member, Picture, Rng, away, channels, coarse


def add(x: Picture, rng: Rng, s: float) -> Picture:
    """+-(50..200) levels."""
    return x + np.float32(away(50, 200, rng, s) / 255)


def add_per_pixel(x: Picture, rng: Rng, s: float) -> Picture:
    """A number of +-(50..200) levels for every pixel."""
    shape = (*x.shape[:2], channels(rng))
    return x + rng.choice((-1, 1), shape) * rng.uniform(50, 200, shape) * s / 255


def gaussian_noise(x: Picture, rng: Rng, s: float) -> Picture:
    """Deviation of 50 to 150 levels."""
    return x + rng.normal(0, rng.uniform(50, 150) * s / 255, (*x.shape[:2], channels(rng)))


def laplace_noise(x: Picture, rng: Rng, s: float) -> Picture:
    """Scale of 50 to 150 levels."""
    return x + rng.laplace(0, rng.uniform(50, 150) * s / 255, (*x.shape[:2], channels(rng)))


def poisson_noise(x: Picture, rng: Rng, s: float) -> Picture:
    """Counts with a mean of 40 to 60 levels are added."""
    return x + rng.poisson(rng.uniform(40, 60) * s, (*x.shape[:2], channels(rng))) / 255


def multiply(x: Picture, rng: Rng, s: float) -> Picture:
    """Times 2 to 4."""
    return x * np.float32(rng.uniform(2, 4) ** s)


def multiply_per_pixel(x: Picture, rng: Rng, s: float) -> Picture:
    """A factor of 2 to 4 for every pixel."""
    return x * rng.uniform(2, 4, (*x.shape[:2], channels(rng))) ** s


def cutout(x: Picture, rng: Rng, s: float) -> Picture:
    """5 to 10 grey squares with a fifth of the side."""
    out, (h, w) = x.copy(), x.shape[:2]
    tall, wide = (max(1, round(0.2 * side)) for side in (h, w))
    for _ in range(round(rng.integers(5, 11) * s)):
        top, left = rng.integers(0, h - tall + 1), rng.integers(0, w - wide + 1)
        out[top : top + tall, left : left + wide] = 0.5
    return out


def dropout(x: Picture, rng: Rng, s: float) -> Picture:
    """A share of 0.2 to 0.5 of the pixels is black."""
    return x * (rng.random((*x.shape[:2], channels(rng))) >= rng.uniform(0.2, 0.5) * s)


def coarse_dropout(x: Picture, rng: Rng, s: float) -> Picture:
    """The same in blocks."""
    return x * ~coarse(x, rng, rng.uniform(0.2, 0.5) * s, channels(rng))


def channel_dropout(x: Picture, rng: Rng, s: float) -> Picture:
    """A channel is black with a chance of 0.5; one stays."""
    lost = rng.random(3) < 0.5 * s
    lost[rng.integers(3)] = False
    return x * ~lost


def _replace(x: Picture, rng: Rng, s: float, values: tuple[float, ...], blocks: bool) -> Picture:
    """Half of the pixels, or of the blocks, become one of some values."""
    depth = channels(rng)
    mask = coarse(x, rng, 0.5 * s, depth) if blocks else rng.random((*x.shape[:2], depth)) < 0.5 * s
    return np.where(mask, rng.choice(values, mask.shape), x)


def impulse_noise(x: Picture, rng: Rng, s: float) -> Picture:
    """Half of the values of each channel become black or white."""
    return np.where(rng.random(x.shape) < 0.5 * s, rng.choice((0.0, 1.0), x.shape), x)


def salt_and_pepper(x: Picture, rng: Rng, s: float) -> Picture:
    """Half of the pixels become black or white."""
    return _replace(x, rng, s, (0.0, 1.0), False)


def salt(x: Picture, rng: Rng, s: float) -> Picture:
    """Half of the pixels become light."""
    return _replace(x, rng, s, (0.6, 0.8, 1.0), False)


def pepper(x: Picture, rng: Rng, s: float) -> Picture:
    """Half of the pixels become dark."""
    return _replace(x, rng, s, (0.0, 0.2, 0.4), False)


def coarse_salt_and_pepper(x: Picture, rng: Rng, s: float) -> Picture:
    """Half of the blocks become black or white."""
    return _replace(x, rng, s, (0.0, 1.0), True)


def coarse_salt(x: Picture, rng: Rng, s: float) -> Picture:
    """Half of the blocks become light."""
    return _replace(x, rng, s, (0.6, 0.8, 1.0), True)


def coarse_pepper(x: Picture, rng: Rng, s: float) -> Picture:
    """Half of the blocks become dark."""
    return _replace(x, rng, s, (0.0, 0.2, 0.4), True)


def invert(x: Picture, rng: Rng, s: float) -> Picture:
    """The negative, of all channels or of each with a chance of 0.5."""
    chosen = np.ones(3, dtype=bool) if channels(rng) == 1 else rng.random(3) < 0.5
    return np.where(chosen, x + np.float32(min(s, 1.0)) * (1 - 2 * x), x)


def solarize(x: Picture, rng: Rng, s: float) -> Picture:
    """Levels above 32 to 128 are inverted."""
    return np.where(x >= rng.uniform(32, 128) / 255, x + np.float32(min(s, 1.0)) * (1 - 2 * x), x)


def jpeg(x: Picture, rng: Rng, s: float) -> Picture:
    """JPEG at a compression of 90 to 99 of 100."""
    from PIL import Image

    quality = int(np.clip(round(100 - rng.integers(90, 100) * s), 1, 100))
    file = io.BytesIO()
    Image.fromarray(np.rint(x * 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return np.asarray(open_header(file, ("JPEG",)).convert("RGB"), dtype=np.float32) / 255


MEMBERS: tuple[Member, ...] = (
    add, add_per_pixel, gaussian_noise, laplace_noise, poisson_noise, multiply, multiply_per_pixel, cutout, dropout,
    coarse_dropout, channel_dropout, impulse_noise, salt_and_pepper, salt, pepper, coarse_salt_and_pepper, coarse_salt,
    coarse_pepper, invert, solarize, jpeg,
)  # fmt: skip
