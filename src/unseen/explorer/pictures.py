"""Pictures that are looked for: few pixels together, and small as soon as they are decoded."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Sequence
from typing import Any

from unseen.data.images import open_header
from unseen.serving.pictures import open_picture

logger = logging.getLogger(__name__)

SIDE = 768
"""Pixels that a picture keeps: encoders see fewer."""


def pictures_of(texts: Sequence[str], max_pixels: int) -> list[Any]:
    """Pictures from base64, perhaps as data URLs, at most `SIDE` pixels wide and high.

    Raises
    ------
    ValueError
        If one is none, or they have more than `max_pixels` pixels together; nothing is decoded before that is known.
    """
    files = [_bytes(text) for text in texts]
    pixels = sum(_pixels(file) for file in files)
    if pixels > max_pixels:
        raise ValueError(f"the images have {pixels:,} pixels together; at most {max_pixels:,} are taken")
    return [_opened(file, max_pixels) for file in files]


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("an image must be a file in base64") from error


def _pixels(file: bytes) -> int:
    """Width times height by the header; 0 if it cannot be read, which decoding then tells."""
    import PIL.Image

    try:
        with open_header(file) as image:
            return image.width * image.height
    except PIL.Image.DecompressionBombError:
        return 2**62
    except (OSError, SyntaxError, ValueError) as error:
        logger.debug("no header of a picture: %s", error)
        return 0


def _opened(file: bytes, max_pixels: int) -> Any:
    try:
        image = _drafted(file) or open_picture(file, max_pixels)
    except ValueError as error:
        raise ValueError(f"the image {error}") from error
    image.thumbnail((SIDE, SIDE))
    return image


def _drafted(file: bytes) -> Any:
    """A large JPEG decoded at a half, a quarter or an eighth of its size; None if it is none or is small."""
    import PIL.ImageOps

    if not file.startswith(b"\xff\xd8\xff"):
        return None
    try:
        image = open_header(file, ("JPEG",))
        if image.mode not in ("RGB", "L") or min(image.size) < 2 * SIDE:
            return None
        image.draft("RGB", (SIDE, SIDE))
        return PIL.ImageOps.exif_transpose(image).convert("RGB")
    except Exception as error:
        raise ValueError("is a damaged picture") from error
