"""Corruptions of pictures in five degrees: fog, snow, blur and lack of contrast."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from unseen.data.domain import Domain
from unseen.data.simulate.common import changed, plasma
from unseen.data.typing import FloatArray

SEVERITIES = 5


def fog(x: FloatArray, severity: int, rng: np.random.Generator) -> FloatArray:
    """Bright clouds over all of it."""
    thick = (0.3, 0.45, 0.6, 0.7, 0.8)[severity - 1]
    cloud = 0.6 + 0.4 * plasma(x.shape[0], x.shape[1], rng)[:, :, None]
    return (1 - thick) * x + thick * cloud


def snow(x: FloatArray, severity: int, rng: np.random.Generator) -> FloatArray:
    """Flakes that fall aslant, and less colour."""
    from scipy.ndimage import gaussian_filter, rotate

    many, pale = (0.01, 0.02, 0.03, 0.04, 0.06)[severity - 1], (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1]
    height, width = x.shape[:2]
    side = int(1.5 * max(height, width))
    flakes = (rng.random((side, side)) < many).astype(np.float32)
    flakes = rotate(gaussian_filter(flakes, (0.01 * side, 0.7)), rng.uniform(15, 45), reshape=False, order=1)
    top, left = (side - height) // 2, (side - width) // 2
    flakes = flakes[top : top + height, left : left + width, None]
    flakes = (flakes / max(float(np.quantile(flakes, 0.99)), 1e-12)).clip(0, 1)
    grey = (1 - pale) * x + pale * x.mean(axis=2, keepdims=True)
    return grey + (0.9 - grey) * flakes * (0.5 + 0.1 * severity)


def blur(x: FloatArray, severity: int, rng: np.random.Generator) -> FloatArray:
    """A Gaussian, as wide as a hundredth of the picture at first."""
    from scipy.ndimage import gaussian_filter

    sigma = (0.008, 0.014, 0.02, 0.028, 0.036)[severity - 1] * max(x.shape[:2])
    return gaussian_filter(x, (sigma, sigma, 0))


def contrast(x: FloatArray, severity: int, rng: np.random.Generator) -> FloatArray:
    """Every pixel nearer to the mean of all."""
    left = (0.5, 0.35, 0.25, 0.15, 0.08)[severity - 1]
    mean = x.mean(axis=(0, 1), keepdims=True)
    return mean + left * (x - mean)


CORRUPTIONS: dict[str, Callable[[FloatArray, int, np.random.Generator], FloatArray]] = {
    "fog": fog,
    "snow": snow,
    "blur": blur,
    "contrast": contrast,
}
"""By name: a function of a picture in [0, 1], the degree and random numbers."""


def corrupted(domain: Domain, name: str, severity: int, *, random_state: int = 0) -> Domain:
    """The pictures of a domain, corrupted when they are read; a simulation after ImageNet-C [1], not its code.

    Parameters
    ----------
    domain : Domain
        Pictures that are read lazily.
    name : {"fog", "snow", "blur", "contrast"}
    severity : int
        From 1 to 5.
    random_state : int
        Of clouds and flakes, which differ from picture to picture.

    Raises
    ------
    ValueError
        If there is no such corruption or severity, or the domain holds no pictures.

    References
    ----------
    [1] Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
        ICLR 2019.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"name must be one of {', '.join(CORRUPTIONS)}; got {name!r}")
    if not 1 <= severity <= SEVERITIES:
        raise ValueError(f"severity must be in [1, {SEVERITIES}]; got {severity}")
    work = CORRUPTIONS[name]

    def change(x: FloatArray, i: int) -> FloatArray:
        return work(x, severity, np.random.default_rng((random_state, zlib.crc32(name.encode()), i)))

    key = f"{name} {severity} {random_state}"
    return changed(domain, change, lambda i: f"{key} {i}", f"{domain.name}, {name} {severity}")
