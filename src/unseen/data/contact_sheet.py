"""A clip as one picture: some of its frames, in rows, as a person reads them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.data.segments import as_clip, segment_index

if TYPE_CHECKING:
    from PIL.Image import Image


def contact_sheet(clip: Any, *, frames: int = 9, side: int = 56) -> Image:
    """Frames of a clip in a square, from the first at the top left to the last at the bottom right.

    Parameters
    ----------
    clip : array or tensor (t, 3, h, w)
        Bytes, or floats in [0, 1]; others are stretched to it.
    frames : int, >= 1
        How many are shown, of equal parts of the clip; no more than there are.
    side : int, >= 8
        Pixels of the larger side of each frame with its white border: small ones are enlarged; proportions stay.
    """
    from PIL import Image

    values = as_clip(clip)
    if values.min() < 0 or values.max() > 1:
        low, high = float(values.min()), float(values.max())
        values = (values - low) / max(high - low, 1e-6)
    shown = values[segment_index(len(values), min(frames, len(values)))]
    across = math.ceil(math.sqrt(len(shown)))
    height, width = shown.shape[-2:]
    scale = (side - 2) / max(height, width)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    cell = size[0] + 2, size[1] + 2
    sheet = Image.new("RGB", (across * cell[0], math.ceil(len(shown) / across) * cell[1]), "white")
    for i, frame in enumerate(np.rint(255 * shown.numpy()).astype(np.uint8)):
        picture = Image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0)))
        picture = picture.resize(size, Image.Resampling.BILINEAR)
        sheet.paste(picture, ((i % across) * cell[0] + 1, (i // across) * cell[1] + 1))
    return sheet
