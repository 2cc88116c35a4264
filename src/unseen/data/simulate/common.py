"""Pictures that are changed when they are read, each by its own random numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen.data.domain import Domain, Lazy
from unseen.data.typing import FloatArray

Change = Callable[[FloatArray, int], FloatArray]
"""From a picture (h, w, 3) in [0, 1] and its position to the changed picture."""


def lazy_pictures(name: str, domain: Domain) -> Lazy:
    """The pictures of a domain that is given as `name`; `ValueError` if it holds none that are read lazily."""
    if domain.kind != "image":
        from unseen.data.loaders.folder import WORDS

        raise ValueError(f"{name} must hold pictures; {domain.name!r} holds {WORDS.get(domain.kind, domain.kind)}")
    if not isinstance(domain.x, Lazy):
        raise ValueError(f"{name} must hold pictures as `Lazy`, which opens files one by one; {domain.name!r} holds an "
                         "array of them")  # fmt: skip
    return domain.x


def changed(domain: Domain, change: Change, describe: Callable[[int], str], name: str) -> Domain:
    """The pictures of a domain, each changed when it is read; `describe` says in words how one is changed.

    Raises
    ------
    ValueError
        If the domain holds no pictures that are read lazily.
    """
    before = lazy_pictures("domain", domain)

    def read(i: int) -> Image.Image:
        after = change(as_floats(before[i]), i)
        return Image.fromarray(np.rint(after.clip(0, 1) * 255).astype(np.uint8))

    def digest(i: int) -> str:
        return hashlib.sha256(f"{before.digest(i)} {describe(i)}".encode()).hexdigest()

    return domain.replace(x=Lazy(range(len(before)), read, digest), name=name)


def as_floats(picture: Image.Image) -> FloatArray:
    """A picture as an array (h, w, 3) in [0, 1]."""
    return np.asarray(picture.convert("RGB"), dtype=np.float32) / 255


def plasma(height: int, width: int, rng: np.random.Generator, *, fade: float = 0.5) -> NDArray[np.float32]:
    """Fractal noise in [0, 1], (h, w): grids of random numbers, ever finer and fainter, enlarged and added."""
    from scipy.ndimage import zoom

    total, amplitude, cells = np.zeros((height, width)), 1.0, 2
    while cells <= max(height, width):
        grid = rng.random((cells + 1, cells + 1))
        total += amplitude * zoom(
            grid, (height / (cells + 1), width / (cells + 1)), order=1, grid_mode=True, mode="nearest"
        )
        amplitude, cells = amplitude * fade, cells * 2
    low, high = total.min(), total.max()
    return ((total - low) / max(high - low, 1e-12)).astype(np.float32)
