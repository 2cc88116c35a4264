"""Pictures that strangers send: a few formats, few enough pixels, and messages that tell nothing of the machine."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from unseen.data.images import decode

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)

FORMATS = "JPEG, PNG, GIF, WebP, BMP, TIFF, AVIF or HEIC"
"""What `open_picture` reads; formats that run programs, such as EPS, are not among them."""

_HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*")


def open_picture(content: bytes, max_pixels: int) -> Image:
    """Decode a picture of one of `FORMATS` as RGB, as `unseen.data.images.decode` does.

    Raises
    ------
    ValueError
        If it is none of them, is damaged, or has more than `max_pixels` pixels; the message says no more than that.
    """
    if not _known(content):
        raise ValueError(f"is no picture in {FORMATS}")
    try:
        return decode(content, max_pixels=max_pixels)
    except (ValueError, ImportError, MemoryError) as error:
        logger.info("a picture was refused: %s", error)
    raise ValueError(f"is a damaged picture, or one of more than {max_pixels:,} pixels")


def _known(content: bytes) -> bool:
    head = content[:16]
    return head.startswith(_HEADS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or head[4:8] == b"ftyp"
