"""Labelled samples as the small square pictures that networks of a search space read, and their two halves."""

from __future__ import annotations

import math
import os
import string

import numpy as np

from unseen.data.domain import Domain, Lazy
from unseen.data.loaders import load
from unseen.data.samplers import hold_out
from unseen.data.sources import characters, digit_styles, digits


def read_data(data: str | os.PathLike[str], size: int, channels: int) -> Domain:
    """``digits:handwritten``, ``digits:printed``, ``letters``, or what `load` reads, as small pictures with labels."""
    name = os.fspath(data)
    if name == "letters":
        domain = characters(string.ascii_uppercase, size=size, copies=4)
    elif name in [f"digits:{style}" for style in digit_styles()]:
        domain = digits(name.partition(":")[2], size=size, flat=True)
    else:
        domain = load(data)
    if domain.kind == "features" and channels != 1:
        raise ValueError(f"channels must be 1 for {name}, whose pictures are grey; got {channels}")
    labels = domain.labels
    present, y = np.unique(labels, return_inverse=True)
    if len(present) < 2:
        raise ValueError(f"data must hold at least two classes; {name} holds {len(present)}")
    return pictures(domain.replace(y=y.astype(np.int64), classes=None), size, channels)


def pictures(domain: Domain, size: int = 8, channels: int = 1) -> Domain:
    """The samples as (n, channels, size, size) in [0, 1], read at once.

    Pictures are scaled to the square, and made grey for one channel. A table of features is read as grey pictures if
    its width is a square number.

    Raises
    ------
    ValueError
        If channels is neither 1 nor 3, or the domain holds neither pictures nor rows of a square number of values.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (RGB); got {channels}")
    if domain.kind == "image":
        x = np.stack([_picture(picture, size, channels) for picture in domain.x])
    else:
        if domain.kind != "features" or isinstance(domain.x, Lazy) or domain.x.ndim != 2:
            raise ValueError(f"data must be pictures; {domain.name} holds {domain.kind}")
        side = math.isqrt(domain.n_features)
        if side * side != domain.n_features or side != size or channels != 1:
            expected = f"rows of {size * size} values (size={size}, channels=1)"
            raise ValueError(f"data must be pictures or {expected}; {domain.name} has rows of {domain.n_features}")
        x = domain.x.reshape(-1, 1, side, side).astype(np.float32)
    return domain.replace(x=x, kind="image", columns={})


def _picture(image: object, size: int, channels: int) -> np.ndarray:
    from PIL import Image

    if not isinstance(image, Image.Image):
        raise ValueError(f"data must be pictures; got {type(image).__name__}")
    small = image.convert("L" if channels == 1 else "RGB").resize((size, size), Image.Resampling.BILINEAR)
    array = np.asarray(small, dtype=np.float32) / 255
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def halves(domain: Domain, *, share: float = 0.5, seed: int = 0) -> tuple[Domain, Domain]:
    """What to learn from, and what is held out, `share` of each class; standardized by the mean and deviation of the
    first.

    Raises
    ------
    ValueError
        If a sample has no label, or fewer than two classes are there.
    """
    y = domain.labels
    if len(np.unique(y)) < 2:
        raise ValueError(f"data must hold at least two classes; {domain.name} holds {len(np.unique(y))}")
    learn, out = hold_out(y, share, seed)
    mean, deviation = domain.x[learn].mean(), domain.x[learn].std()
    if not deviation > 0:
        raise ValueError(f"data must hold different pictures; all of {domain.name} are alike")
    x = ((domain.x - mean) / deviation).astype(np.float32)
    whole = domain.replace(x=x)
    return whole.take(learn), whole.take(out)
