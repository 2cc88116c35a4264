"""Steps 6-8 of LAION-5B: which pictures are taken, by their bytes, and how they are resized to be kept."""

from __future__ import annotations

import dataclasses
import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from unseen.data.images import decode, open_header, verify_ends

if TYPE_CHECKING:
    from PIL.Image import Image

Resize = Literal["no", "keep_ratio", "center_crop", "border", "keep_ratio_largest"]
FORMATS = ("JPEG", "PNG", "WEBP")

EMPTY, SMALL_FILE, MARKUP = "an empty file", "file smaller than the least bytes", "HTML in place of a picture"
FORMAT, DAMAGED, BOMB = "neither JPEG, PNG nor WEBP", "damaged picture", "more pixels than are decoded"
SMALL, LARGE, NARROW = "picture smaller than wanted", "picture larger than wanted", "picture longer than wanted"
RESIZE = "could not be resized"
LEAST_BYTES = 5000
"""Below this a picture of the web is an icon or a spacer, and is not taken."""
MOST_PIXELS = 89_478_484
"""Above this nothing is decoded, as in LAION's crawl: beyond it Pillow warns of a decompression bomb."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Acceptance:
    """What a picture must be.

    Parameters
    ----------
    min_bytes : int, >= 0, optional
        Of the file as it was fetched; `LEAST_BYTES` if absent, a limit for what comes from the web.
    max_pixels : int, >= 1
        Width times height above which a picture is not decoded (a decompression bomb).
    min_size : int, >= 0
        Of the shorter side, in pixels.
    max_area : float, > 0
        Width times height that is wanted.
    max_aspect_ratio : float, >= 1
        Of the longer to the shorter side.
    resize : {"no", "keep_ratio", "center_crop", "border", "keep_ratio_largest"}
        How a picture is kept: as its bytes are; shorter side to `size`; then cut to a square; longer side to `size`
        and padded with white to a square; longer side to `size`.
    size : int, >= 1
        Pixels of the side that `resize` names.
    only_if_bigger : bool
        Leave pictures alone in which that side is not longer than `size`.
    quality : int, in [1, 100]
        Of the JPEG that a resized picture is kept as.
    """

    min_bytes: int | None = None
    max_pixels: int = MOST_PIXELS
    min_size: int = 0
    max_area: float = float("inf")
    max_aspect_ratio: float = float("inf")
    resize: Resize = "no"
    size: int = 256
    only_if_bigger: bool = True
    quality: int = 95

    def __post_init__(self) -> None:
        if self.resize not in get_args(Resize):
            raise ValueError(f"resize must be one of {', '.join(get_args(Resize))}; got {self.resize!r}")
        for name, least in (("min_bytes", 0), ("max_pixels", 1), ("min_size", 0), ("size", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}; got {value}")
        if not self.max_area > 0:
            raise ValueError(f"max_area must be above 0; got {self.max_area}")
        if not self.max_aspect_ratio >= 1:
            raise ValueError(f"max_aspect_ratio must be at least 1; got {self.max_aspect_ratio}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality must lie in [1, 100]; got {self.quality}")


class Looked(NamedTuple):
    """What the checks say of a payload: why it is dropped ("" if it is taken), and its size in pixels."""

    reason: str
    width: int = 0
    height: int = 0
    detail: str = ""


def look(content: bytes, rule: Acceptance) -> Looked:
    """Check a payload by its bytes, its header and its end; JPEG, PNG and WEBP that end well are not decoded here."""
    from PIL import Image

    if not content:
        return Looked(EMPTY)
    if _is_markup(content):
        return Looked(MARKUP)
    if len(content) < (LEAST_BYTES if rule.min_bytes is None else rule.min_bytes):
        return Looked(SMALL_FILE, detail=f"{len(content)} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the rule decides
            with open_header(content, FORMATS) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        return Looked(BOMB, detail=str(error))
    except (OSError, SyntaxError, ValueError) as error:
        begins_right = content.startswith((b"\xff\xd8\xff", b"\x89PNG", b"RIFF"))
        return Looked(DAMAGED if begins_right else FORMAT, detail=str(error).partition("<")[0].strip())
    if width * height > rule.max_pixels:
        return Looked(BOMB, width, height, f"{width} x {height}")
    try:
        verify_ends(content, max_pixels=rule.max_pixels)
    except ValueError as error:
        return Looked(DAMAGED, width, height, str(error))
    if min(width, height) < rule.min_size:
        return Looked(SMALL, width, height, f"{width} x {height}")
    if width * height > rule.max_area:
        return Looked(LARGE, width, height, f"{width} x {height}")
    if max(width, height) > rule.max_aspect_ratio * min(width, height):
        return Looked(NARROW, width, height, f"{width} x {height}")
    return Looked("", width, height)


def kept(content: bytes, rule: Acceptance) -> bytes:
    """The bytes to keep of a picture that `look` took; `ValueError` if it cannot be decoded."""
    if rule.resize == "no":
        return content
    image = decode(content, max_pixels=rule.max_pixels)
    picture = resized(image, rule.resize, rule.size, only_if_bigger=rule.only_if_bigger)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=rule.quality)
    return stream.getvalue()


def resized(image: Image, mode: Resize, size: int, *, only_if_bigger: bool = True) -> Image:
    """An RGB picture in one of img2dataset's ways: by area downward, by Lanczos upward."""
    from PIL import Image as Pillow

    longest = mode in ("border", "keep_ratio_largest")
    side = max(image.size) if longest else min(image.size)
    if mode != "no" and not (only_if_bigger and side <= size):
        wide, tall = (max(1, round(length * size / side)) for length in image.size)
        image = image.resize((wide, tall), Pillow.Resampling.BOX if side > size else Pillow.Resampling.LANCZOS)
    if mode == "center_crop":
        wide, tall = (min(size, length) for length in image.size)
        left, top = (image.width - wide) // 2, (image.height - tall) // 2
        return image.crop((left, top, left + wide, top + tall))
    if mode == "border":
        square = Pillow.new("RGB", (size, size), "white")
        square.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
        return square
    return image


def for_scoring(image: Image, side: int = 224) -> Image:
    """What CLIP scores: the shorter side brought down to `side` (never up), then the square in the middle."""
    return resized(resized(image, "keep_ratio", side), "center_crop", min(side, *image.size))


def _is_markup(content: bytes) -> bool:
    head = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return head.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<svg", b"<body", b"<script", b"<!--"))


def reasons() -> Sequence[str]:
    """Every reason of this stage."""
    return (EMPTY, SMALL_FILE, MARKUP, FORMAT, DAMAGED, BOMB, SMALL, LARGE, NARROW, RESIZE)
