"""Changes of pictures when they are read: corruptions, edges, pencil."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from unseen.data.domain import Domain
from unseen.data.shifts.edges import LUMA, edge_map
from unseen.data.simulate import corrupted
from unseen.data.simulate.common import Change, changed
from unseen.data.typing import FloatArray


def noise(x: FloatArray, i: int) -> FloatArray:
    """A quarter of the range of grey, other noise in every picture."""
    return x + 0.25 * np.random.default_rng((7, i)).standard_normal(x.shape, dtype=np.float32)


def jpeg(x: FloatArray, i: int) -> FloatArray:
    """Through a JPEG file of quality 6, at half the size."""
    small = Image.fromarray(np.rint(255 * x).astype(np.uint8)).reduce(2)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=6)
    again = Image.open(file).resize((x.shape[1], x.shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(again, dtype=np.float32) / 255


def edges(x: FloatArray, i: int) -> FloatArray:
    """Black lines on white where brightness changes."""
    return np.repeat(edge_map((x @ LUMA)[None])[0][..., None], 3, axis=2)


def pencil(x: FloatArray, i: int) -> FloatArray:
    """Grey divided by its surroundings: strokes on white paper."""
    grey = x @ LUMA
    around = ndimage.gaussian_filter(grey, 0.02 * max(grey.shape), mode="nearest")
    strokes = (grey / np.maximum(around, 1e-3)).clip(0, 1) ** 2
    return np.repeat(strokes[..., None], 3, axis=2)


CHANGES: dict[str, Change] = {"noise": noise, "jpeg": jpeg, "edges": edges, "pencil": pencil}
SEVERITIES = {"blur": 3, "contrast": 4, "snow": 3}
"""Of the corruptions that the library has."""


def change(domain: Domain, name: str) -> Domain:
    """The pictures of a domain with one of `CHANGES` or of the corruptions with `SEVERITIES`."""
    told = f"{domain.name}, {name}"
    if name in SEVERITIES:
        return corrupted(domain, name, SEVERITIES[name]).replace(name=told)
    return changed(domain, CHANGES[name], lambda i: f"{name} {i if name == 'noise' else ''}", told)
