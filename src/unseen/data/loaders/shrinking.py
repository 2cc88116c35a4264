"""Pictures and their masks made smaller together, and the size of a picture from its header."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.images import decode, open_header


def smaller(mask: NDArray[Any], size: int | None) -> NDArray[Any]:
    """The mask with its longest side at most `size`, by the nearest value."""
    return at_size(mask, shrunk(mask.shape, size))


def at_size(mask: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """The mask with this height and width, by the nearest value: no value comes about between two classes."""
    if tuple(shape) == mask.shape:
        return mask
    rows, columns = (((np.arange(n) + 0.5) * old / n).astype(int) for n, old in zip(shape, mask.shape))
    return mask[rows[:, None], columns]


def shrunk(shape: Sequence[int], size: int | None) -> tuple[int, int]:
    """Height and width with the longest side at most `size`."""
    share = 1.0 if size is None else min(1.0, size / max(shape))
    height, width = (max(1, round(side * share)) for side in shape)
    return height, width


@dataclasses.dataclass(frozen=True)
class Shrink:
    """Makes a picture smaller when it is read."""

    size: int

    def __call__(self, image: Any) -> Any:
        from PIL import Image

        height, width = shrunk((image.height, image.width), self.size)
        return (
            image
            if (width, height) == image.size
            else image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3)
        )


def upright_size(file: Any) -> tuple[int, int]:
    """Height and width of a picture as `decode` gives it, from its header."""
    import PIL

    try:
        image = open_header(file)
    except PIL.UnidentifiedImageError:
        file.seek(0)
        image = decode(file)
    turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    width, height = image.size[::-1] if turned else image.size
    return height, width
