"""Pictures of every mode and orientation, which somebody has opened, become upright RGB images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unseen.files import sentence

if TYPE_CHECKING:
    from PIL.Image import Image


def upright(image: Image) -> Image:
    """A picture that somebody has opened as `unseen.data.images.decode` gives that of its file; it stays as it is.

    Raises
    ------
    ValueError
        If its file is truncated or damaged, or closed before it was read.
    """
    from PIL import ExifTags, ImageOps

    try:
        image.load()
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            image = ImageOps.exif_transpose(image)
        return to_rgb(image)
    except Exception as error:  # a decoder dies of whatever it was not written for
        raise ValueError(f"the picture is truncated or damaged: {sentence(error)}") from error


def to_rgb(image: Image) -> Image:
    """An image of any mode as RGB, transparency on white; the image itself if it is a single picture in RGB."""
    import PIL.Image

    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy() if getattr(image, "is_animated", False) else image
    if image.mode.startswith(("I", "F")):
        return _grey_to_eight_bits(image).convert("RGB")
    if image.has_transparency_data or image.mode == "PA":
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = PIL.Image.new("RGBA", image.size, "white")
        return PIL.Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _grey_to_eight_bits(image: Image) -> Image:
    """Greys of 16 bits, 32 bits or floating point, scaled to 0..255.

    Integers up to 65,535 are 16-bit greys; floats up to 1, then up to 255, are taken at their word. Any other
    range is stretched from its least to its greatest value.
    """
    import PIL.Image

    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    low, high = float(values.min()), float(values.max())
    top = 65535.0 if image.mode.startswith("I") else 1.0 if high <= 1 else 255.0
    if low < 0 or high > top:
        values, top = values - low, max(high - low, 1e-12)
    return PIL.Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8))
