"""Families `color` and `contrast`: what becomes of the values of a pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unseen.data.shifts.base import Member, Picture, Rng, away, blend, factor, grey

DEGREES = 180
"""A turn of the hue, as in pictures of bytes."""


# -- hue, saturation, value --------------------------------------------------------------------------------


def to_hsv(x: Picture) -> NDArray[np.float32]:
    """Hue in turns, saturation and value, each in [0, 1]; (h, w, 3)."""
    value, low = x.max(axis=2), x.min(axis=2)
    chroma = value - low
    safe = np.where(chroma > 0, chroma, 1)
    r, g, b = np.moveaxis(x, 2, 0)
    sector = np.select([value == r, value == g], [((g - b) / safe) % 6, (b - r) / safe + 2], (r - g) / safe + 4)
    saturation = np.where(value > 0, chroma / np.where(value > 0, value, 1), 0)
    return np.stack([np.where(chroma > 0, sector / 6, 0), saturation, value], axis=2).astype(np.float32)


def from_hsv(hsv: NDArray[np.floating]) -> Picture:
    """Inverse of `to_hsv`; the hue wraps around."""
    hue, saturation, value = np.moveaxis(hsv, 2, 0)
    out = []
    for offset in (5, 3, 1):
        k = (offset + hue * 6) % 6
        out.append(value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1))
    return np.stack(out, axis=2).astype(np.float32)


def _changed(
    x: Picture, *, turn: float = 0, saturation: float = 1, more: float = 0, value: float = 1, light: float = 0
) -> Picture:
    """Hue plus `turn`, saturation times and plus, value times and plus."""
    hsv = to_hsv(x)
    hsv[..., 0] += turn
    hsv[..., 1] = np.clip(hsv[..., 1] * saturation + more, 0, 1)
    hsv[..., 2] = np.clip(hsv[..., 2] * value + light, 0, 1)
    return from_hsv(hsv)


def saturated(x: Picture, by: float) -> Picture:
    """The picture with its saturation times `by`."""
    return _changed(np.clip(x, 0, 1), saturation=by)


def _hue(rng: Rng, s: float) -> float:
    return rng.uniform(50, 179) / DEGREES * s


def _little_or_much(rng: Rng, s: float) -> float:
    return factor((0.1, 0.3), (1.8, 2.0), rng, s)


def hue(x: Picture, rng: Rng, s: float) -> Picture:
    """Hue plus 50 to 179 of 180."""
    return _changed(x, turn=_hue(rng, s))


def multiply_hue(x: Picture, rng: Rng, s: float) -> Picture:
    """Hue times a factor."""
    hsv = to_hsv(x)
    hsv[..., 0] *= _little_or_much(rng, s)
    return from_hsv(hsv)


def less_saturation(x: Picture, rng: Rng, s: float) -> Picture:
    """Saturation times 0.1 to 0.3."""
    return _changed(x, saturation=rng.uniform(0.1, 0.3) ** s)


def more_saturation(x: Picture, rng: Rng, s: float) -> Picture:
    """Saturation times 1.8 to 2."""
    return _changed(x, saturation=rng.uniform(1.8, 2) ** s)


def add_saturation(x: Picture, rng: Rng, s: float) -> Picture:
    """Saturation plus or minus 50 to 200 levels."""
    return _changed(x, more=away(50, 200, rng, s) / 255)


def add_hue_and_saturation(x: Picture, rng: Rng, s: float) -> Picture:
    """Both sums."""
    return _changed(x, turn=_hue(rng, s), more=away(50, 200, rng, s) / 255)


def hue_and_saturation(x: Picture, rng: Rng, s: float) -> Picture:
    """A turn of the hue, and a factor for the saturation."""
    return _changed(x, turn=_hue(rng, s), saturation=_little_or_much(rng, s))


def add_brightness(x: Picture, rng: Rng, s: float) -> Picture:
    """Value plus or minus 50 to 200 levels."""
    return _changed(x, light=away(50, 200, rng, s) / 255)


def multiply_brightness(x: Picture, rng: Rng, s: float) -> Picture:
    """Value times a factor."""
    return _changed(x, value=_little_or_much(rng, s))


def brightness(x: Picture, rng: Rng, s: float) -> Picture:
    """Value times a factor, plus or minus 50 to 100 levels."""
    return _changed(x, value=_little_or_much(rng, s), light=away(50, 100, rng, s) / 255)


def remove_saturation(x: Picture, rng: Rng, s: float) -> Picture:
    """0.8 to 1 of the saturation goes."""
    return _changed(x, saturation=1 - rng.uniform(0.8, 1) * min(s, 1.0))


def grayscale(x: Picture, rng: Rng, s: float) -> Picture:
    """0.8 to 1 of the grey picture."""
    return blend(x, grey(x), rng.uniform(0.8, 1) * min(s, 1.0))


def temperature(x: Picture, rng: Rng, s: float) -> Picture:
    """The light of a body of 8,000 to 10,000 kelvin: red and green lose, blue stays (after Tanner Helland's fit)."""
    kelvin = 6600 + (rng.uniform(8000, 10000) - 6600) * s
    hot = max(kelvin / 100 - 60, 1.0)
    light = np.array([329.698727446 * hot**-0.1332047592, 288.1221695283 * hot**-0.0755148492, 255]) / 255
    return x * np.clip(light, 0, 1)


def swap_channels(x: Picture, rng: Rng, s: float) -> Picture:
    """The channels in another order."""
    orders = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    return blend(x, x[..., list(orders[rng.integers(len(orders))])], min(s, 1.0))


def _near(x: Picture, colors: NDArray[np.floating]) -> NDArray[np.intp]:
    flat = x.reshape(-1, 3)
    return ((colors**2).sum(axis=1) - 2 * flat @ colors.T).argmin(axis=1)


def kmeans_colors(x: Picture, rng: Rng, s: float) -> Picture:
    """Four colours, by k-means."""
    flat = x.reshape(-1, 3)
    colors = flat[rng.choice(len(flat), 4, replace=False)].astype(np.float64)
    for _ in range(8):
        mine = _near(x, colors)
        colors = np.stack([flat[mine == k].mean(axis=0) if (mine == k).any() else colors[k] for k in range(4)])
    return blend(x, colors[_near(x, colors)].reshape(x.shape), min(s, 1.0))


def uniform_colors(x: Picture, rng: Rng, s: float) -> Picture:
    """Four levels a channel."""
    return blend(x, np.minimum(np.floor(x * 4), 3) / 4 + 0.125, min(s, 1.0))


def fewer_bits(x: Picture, rng: Rng, s: float) -> Picture:
    """2 to 4 bits a channel, the middle of each bin."""
    n = 2 ** int(rng.integers(2, 5))
    return blend(x, (np.minimum(np.floor(x * n), n - 1) + 0.5) / n, min(s, 1.0))


def posterize(x: Picture, rng: Rng, s: float) -> Picture:
    """2 to 4 bits a channel, the lower end of each bin."""
    n = 2 ** int(rng.integers(2, 5))
    return blend(x, np.minimum(np.floor(x * n), n - 1) / n, min(s, 1.0))


COLOR: tuple[Member, ...] = (
    hue, multiply_hue, less_saturation, more_saturation, add_saturation, add_hue_and_saturation, hue_and_saturation,
    add_brightness, multiply_brightness, brightness, remove_saturation, grayscale, temperature, swap_channels,
    kmeans_colors, uniform_colors, fewer_bits, posterize,
)  # fmt: skip


# -- contrast ----------------------------------------------------------------------------------------------


def gamma(x: Picture, rng: Rng, s: float) -> Picture:
    """v to the power of 0.1 to 0.3 or 1.8 to 2."""
    return x ** np.float32(_little_or_much(rng, s))


def logarithm(x: Picture, rng: Rng, s: float) -> Picture:
    """g log2(1 + v)."""
    return np.float32(_little_or_much(rng, s)) * np.log2(1 + x)


def linear(x: Picture, rng: Rng, s: float) -> Picture:
    """Distance from the middle grey times a factor."""
    return 0.5 + np.float32(_little_or_much(rng, s)) * (x - 0.5)


def sigmoid(x: Picture, rng: Rng, s: float) -> Picture:
    """1 / (1 + exp(g (c - v))) with a gain g of 10 to 25 and a cutoff c of 0.25 to 0.75."""
    gain, cutoff = rng.uniform(10, 25), rng.uniform(0.25, 0.75)
    return blend(x, 1 / (1 + np.exp(gain * (cutoff - x))), min(s, 1.0))


def _equalized(values: NDArray[np.floating], clip: float = 0.0) -> NDArray[np.float64]:
    """The distribution function of values in [0, 1], at 256 levels; a bin holds at most `clip` times the mean."""
    counts = np.bincount(np.rint(values.ravel() * 255).astype(np.int64), minlength=256).astype(np.float64)
    if clip:
        limit = clip * counts.mean()
        over = np.maximum(counts - limit, 0).sum()
        counts = np.minimum(counts, limit) + over / 256
    return np.cumsum(counts) / counts.sum()


def equalize(x: Picture, rng: Rng, s: float) -> Picture:
    """All values equally frequent."""
    hsv = to_hsv(x)
    table = _equalized(hsv[..., 2])
    hsv[..., 2] = blend(hsv[..., 2], table[np.rint(hsv[..., 2] * 255).astype(np.int64)], min(s, 1.0))
    return from_hsv(hsv)


def clahe(x: Picture, rng: Rng, s: float) -> Picture:
    """Equalized in 4 x 4 tiles with a limit of 2 to 10; between their middles tables are interpolated."""
    hsv = to_hsv(x)
    value, limit, n = hsv[..., 2], rng.uniform(2, 10), 4
    h, w = value.shape
    rows, columns = (np.linspace(0, side, n + 1).round().astype(int) for side in (h, w))
    tables = np.array(
        [
            [_equalized(value[a:b, c:d], limit) for c, d in zip(columns[:-1], columns[1:])]
            for a, b in zip(rows[:-1], rows[1:])
        ]
    )
    level = np.rint(value * 255).astype(np.int64)
    r, c = (np.clip((np.arange(side) + 0.5) * n / side - 0.5, 0, n - 1) for side in (h, w))
    r0, c0 = np.floor(r).astype(int)[:, None], np.floor(c).astype(int)[None]
    r1, c1 = np.minimum(r0 + 1, n - 1), np.minimum(c0 + 1, n - 1)
    u, v = (r[:, None] - r0), (c[None] - c0)
    top = (1 - v) * tables[r0, c0, level] + v * tables[r0, c1, level]
    low = (1 - v) * tables[r1, c0, level] + v * tables[r1, c1, level]
    hsv[..., 2] = blend(value, (1 - u) * top + u * low, min(s, 1.0))
    return from_hsv(hsv)


CONTRAST: tuple[Member, ...] = (gamma, logarithm, linear, sigmoid, equalize, clahe)
