"""Edge views: thin black lines on white, with thresholds that the picture itself gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import ndimage

EdgeMode = Literal["per-image", "reference"]

LUMA = np.array([0.2989, 0.5870, 0.1140], dtype=np.float32)
"""Weights of red, green and blue in the grey picture."""
SIGMAS = (0.0, 1.0, 2.0)
"""Blurs of training views; test views have the middle one."""
SMALLEST = 16
"""Pictures with a shorter side are enlarged first."""
FULL = 32
"""Below this shorter side blurs are halved: a sigma of 2 leaves nothing of a picture of 16 pixels."""
THRESHOLD_NOISE = 20.0
"""thresh_rand of the authors: the threshold moves by N(0, thresh_rand / 2), in levels of 255."""
RATIO_NOISE = 0.2
"""Deviation of p, by which the pair of hysteresis thresholds is widened."""
DEFAULTS = (0.1, 0.2)
"""Hysteresis thresholds where those of a training view leave no line."""
_BINS = 256

Grey = NDArray[np.floating[Any]]


# -- the view ----------------------------------------------------------------------------------------------


def grey(x: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n h w"]:
    """The grey pictures, (n, h, w), of pictures with three channels or one."""
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ValueError(f"pictures must be of shape (n, 3, h, w) or (n, 1, h, w); got {x.shape}")
    return x[:, 0] if x.shape[1] == 1 else np.tensordot(x, LUMA.astype(x.dtype), axes=(1, 0))


def edge_map(
    pictures: Float[np.ndarray, "n h w"],
    generator: np.random.Generator | None = None,
    *,
    mode: EdgeMode = "per-image",
    sigma: float | None = None,
) -> Float[np.ndarray, "n h w"]:
    """Edge maps: 0 on a line, 1 elsewhere; float32 (n, h, w).

    Blur, Sobel magnitude |g|, a threshold t from the histogram of |g|, then Canny with hysteresis at 0.5 t and 1.5 t.

    Parameters
    ----------
    pictures : array of shape (n, h, w)
        Grey pictures, [0, 1] from black to white.
    generator : Generator, optional
        Makes training views: the blur is drawn of `SIGMAS`, the method of `THRESHOLDS`, the threshold moves and the
        hysteresis pair is widened, for every picture. Without one it is the test view: sigma 1, Otsu, nothing random.
    mode : {"per-image", "reference"}
        "reference" does what the authors' code does: one draw of a blur stays for all pictures, and the threshold
        moves by N(0, 10) on |g| in [0, 4], which nearly always falls outside and is undone. "per-image" draws a blur
        for every picture and takes the noise as levels of 255 of the range of |g|.
    sigma : float, optional
        The blur of all training views, such as the one that an earlier call drew; drawn if absent.

    Source: Efthymiadis, Tolias, Chum, WACV 2025, "enhanced edge maps", and the authors' code.
    """
    if pictures.ndim != 3:
        raise ValueError(f"pictures must be of shape (n, h, w); got {pictures.shape}")
    if mode not in ("per-image", "reference"):
        raise ValueError(f"mode must be 'per-image' or 'reference'; got {mode!r}")
    factor = -(-SMALLEST // min(pictures.shape[1:]))
    if factor > 1:
        return _reduced(edge_map(_enlarged(pictures, factor), generator, mode=mode, sigma=sigma), factor)
    pictures = np.asarray(pictures, dtype=np.float32)
    n, scale = len(pictures), 1.0 if min(pictures.shape[1:]) >= FULL else 0.5
    if generator is None:
        gradient = sobel(blurred(pictures, np.full(n, SIGMAS[1] * scale)))
        t = np.array([threshold(g, "otsu") for g in gradient.magnitude])
        return 1 - canny(gradient, 0.5 * t, 1.5 * t)
    drawn = generator.choice(SIGMAS, n if mode == "per-image" else 1) if sigma is None else np.array([sigma])
    sigmas = np.broadcast_to(drawn * scale, n)
    gradient = sobel(blurred(pictures, sigmas))
    names = generator.choice(list(THRESHOLDS), n)
    noise = generator.normal(0, THRESHOLD_NOISE / 2, n)
    p = generator.normal(0, RATIO_NOISE, n)
    t = np.array([threshold(g, name) for g, name in zip(gradient.magnitude, names)])
    low, high = gradient.magnitude.min(axis=(1, 2)), gradient.magnitude.max(axis=(1, 2))
    moved = t + (noise if mode == "reference" else noise / 255 * (high - low))
    t = np.where((moved > low) & (moved < high), moved, t)
    weak, strong = np.maximum(0.1, 0.5 - p), np.minimum(2.0, 1.5 + p)
    lines = canny(gradient, t * np.minimum(weak, strong), t * np.maximum(weak, strong))
    empty = np.asarray(~lines.any(axis=(1, 2)))
    if empty.any():
        lines[empty] = canny(gradient.take(empty), *(np.full(empty.sum(), value) for value in DEFAULTS))
    return 1 - lines


def _enlarged(pictures: Grey, factor: int) -> Grey:
    return ndimage.zoom(pictures, (1, factor, factor), order=1, mode="nearest", grid_mode=True)


def _reduced(edges: Grey, factor: int) -> Grey:
    """A pixel is on a line if any of the pixels that it was enlarged to is."""
    n, h, w = edges.shape
    return edges.reshape(n, h // factor, factor, w // factor, factor).min(axis=(2, 4))


# -- its steps ---------------------------------------------------------------------------------------------


class Gradient:
    """Sobel derivatives down and across, and their magnitude; each (n, h, w)."""

    def __init__(self, down: Grey, across: Grey) -> None:
        self.down, self.across = down, across
        self.magnitude = np.hypot(down, across)

    def take(self, index: NDArray[np.bool_]) -> Gradient:
        """Those of some pictures."""
        return Gradient(self.down[index], self.across[index])


def blurred(pictures: Grey, sigmas: NDArray[np.floating]) -> Grey:
    """Gaussian blur of every picture with a sigma of its own, (n,); 0 leaves it as it is."""
    out = pictures.astype(np.float32, copy=True)
    for sigma in np.unique(sigmas[sigmas > 0]):
        mine = sigmas == sigma
        out[mine] = ndimage.gaussian_filter(pictures[mine], (0, sigma, sigma), mode="nearest")
    return out


def sobel(pictures: Grey) -> Gradient:
    """Sobel derivatives; a step from 0 to 1 has a magnitude of 4."""
    smooth, difference = (1.0, 2.0, 1.0), (-1.0, 0.0, 1.0)
    down, across = (
        ndimage.correlate1d(
            ndimage.correlate1d(pictures, difference, axis=axis, mode="nearest"), smooth, axis=3 - axis, mode="nearest"
        )
        for axis in (1, 2)
    )
    flat = 1e-5  # rounding of a constant picture is no edge
    return Gradient(np.where(np.abs(down) < flat, 0, down), np.where(np.abs(across) < flat, 0, across))


def canny(gradient: Gradient, low: NDArray[np.floating], high: NDArray[np.floating]) -> Grey:
    """Lines one pixel wide, 1 on a line: ridges of the magnitude above `low` that touch one above `high`, (n,) each."""
    ridge = ridges(gradient)
    weak = ridge & (gradient.magnitude >= low[:, None, None])
    strong = weak & (gradient.magnitude >= high[:, None, None])
    within = np.zeros((3, 3, 3), dtype=bool)
    within[1] = True  # pixels touch inside their own picture only
    labels, count = ndimage.label(weak, structure=within)
    kept = np.zeros(count + 1, dtype=bool)
    kept[labels[strong]] = True
    kept[0] = False
    return kept[labels].astype(np.float32)


def ridges(gradient: Gradient) -> NDArray[np.bool_]:
    """Where the magnitude is largest along the gradient, by interpolation between neighbours; borders are none.

    Of two equal neighbours the one against the direction is kept, so that a line across a symmetric step is one wide.
    """
    m, down, across = gradient.magnitude, gradient.down, gradient.across
    steep = np.abs(down) > np.abs(across)
    large = np.maximum(np.abs(down), np.abs(across))
    share = np.minimum(np.abs(down), np.abs(across)) / np.where(large > 0, large, 1)
    sign_down, sign_across = np.where(down >= 0, 1, -1), np.where(across >= 0, 1, -1)
    padded = np.pad(m, ((0, 0), (1, 1), (1, 1)))
    picture, row, column = np.ogrid[: m.shape[0], 1 : m.shape[1] + 1, 1 : m.shape[2] + 1]

    def along(side: int) -> Grey:
        diagonal = padded[picture, row + side * sign_down, column + side * sign_across]
        straight = np.where(
            steep, padded[picture, row + side * sign_down, column], padded[picture, row, column + side * sign_across]
        )
        return share * diagonal + (1 - share) * straight

    tie = 1e-4 * m  # what rounding makes of equal values
    out = (m > 0) & (m >= along(1) - tie) & (m > along(-1) + tie)
    out[:, [0, -1]] = out[:, :, [0, -1]] = False
    return out


# -- thresholds by a histogram -----------------------------------------------------------------------------


def threshold(values: NDArray[np.floating], method: str) -> float:
    """A threshold of |g| by one of `THRESHOLDS`; 0.5 where all values are equal."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-6:
        return 0.5
    value = THRESHOLDS[method](values.ravel())
    return value if np.isfinite(value) else 0.5


def _histogram(values: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Counts in 256 bins from the smallest value to the largest, and their centres."""
    values = values.ravel()
    low, high = float(values.min()), float(values.max())
    place = np.minimum(((values - low) * (_BINS / (high - low))).astype(np.int64), _BINS - 1)
    counts = np.bincount(place, minlength=_BINS).astype(np.float64)
    return counts, low + (np.arange(_BINS) + 0.5) * (high - low) / _BINS


def otsu(values: NDArray[np.floating]) -> float:
    """Largest variance between the two sides (Otsu, 1979)."""
    counts, centres = _histogram(values)
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * centres) / below
    mean_above = (np.cumsum((counts * centres)[::-1]) / above[::-1])[::-1]
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(centres[int(between.argmax())])


def yen(values: NDArray[np.floating]) -> float:
    """Largest correlation of the two sides (Yen, Chang, Chang, 1995)."""
    counts, centres = _histogram(values)
    p = counts / counts.sum()
    below, squared = np.cumsum(p), np.cumsum(p**2)
    above = np.cumsum(p[::-1] ** 2)[::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        criterion = np.log(((squared[:-1] * above[1:]) ** -1) * (below[:-1] * (1 - below[:-1])) ** 2)
    criterion = np.where(np.isfinite(criterion), criterion, -np.inf)
    return float(centres[int(criterion.argmax())])


def mean(values: NDArray[np.floating]) -> float:
    """The mean."""
    return float(values.mean(dtype=np.float64))


def isodata(values: NDArray[np.floating]) -> float:
    """The first t halfway between the means of its two sides, up to a bin (Ridler and Calvard, 1978)."""
    counts, centres = _histogram(values)
    below, above = np.cumsum(counts)[:-1], np.cumsum(counts[::-1])[::-1][1:]
    mass = counts * centres
    halfway = (np.cumsum(mass)[:-1] / below + np.cumsum(mass[::-1])[::-1][1:] / above) / 2
    distance = halfway - centres[:-1]
    fitting = np.flatnonzero((distance >= 0) & (distance < centres[1] - centres[0]))
    return float(centres[fitting[0]]) if len(fitting) else float(values.mean())


def li(values: NDArray[np.floating]) -> float:
    """Smallest cross entropy between the picture and its two means (Li and Tam, 1998)."""
    shifted = values.astype(np.float64) - float(values.min())
    tolerance = float(np.diff(np.unique(shifted)).min()) / 2
    t = float(shifted.mean())
    for _ in range(200):
        above = shifted > t
        if above.all() or not above.any():
            break
        back, front = float(shifted[~above].mean()), float(shifted[above].mean())
        if back == 0:
            break
        new = (back - front) / (np.log(back) - np.log(front))
        if abs(new - t) <= tolerance:
            t = new
            break
        t = new
    return t + float(values.min())


THRESHOLDS: Mapping[str, Callable[[NDArray[np.floating]], float]] = {
    "otsu": otsu,
    "yen": yen,
    "mean": mean,
    "isodata": isodata,
    "li": li,
}
"""Ways to choose a threshold of |g|."""
