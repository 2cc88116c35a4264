"""Masks as colours over the picture, with the names of the colours, and mistakes marked."""

from __future__ import annotations

import colorsys
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.pixels import as_picture
from unseen.data.tasks.mask import UNKNOWN
from unseen.report.pages import image_source
from unseen.report.tasks.base import Looks

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 224
"""Pixels of the longer side of each picture."""
OPACITY = 0.55
FIRST = ("#8a8f98", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5a3fa0", "#b8b000")
MISTAKE = (200, 0, 30)
NAMED = 12
"""Most classes that a legend names."""


class _Mask(Looks):
    task = "mask"

    def picture(self, sample: Any, label: Any, classes: ClassSpace | None = None, truth: Any = None) -> str | None:
        out = io.BytesIO()
        overlay(sample, label, classes, truth).save(out, "PNG")
        return image_source(out.getvalue())

    def words(self, label: Any, classes: ClassSpace | None = None) -> str:
        mask = np.asarray(label)
        known = mask[mask != UNKNOWN]
        if not known.size:
            return "nothing is known"
        labels, counts = np.unique(known, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return ", ".join(f"{name_of(int(labels[i]), classes)} {counts[i] / known.size:.0%}" for i in order[:NAMED])


def overlay(
    sample: Any, label: Any, classes: ClassSpace | None = None, truth: Any = None, *, side: int = SIDE
) -> Image:
    """A picture beside itself with its classes laid over in colours, their names below; with a truth, that too.

    Parameters
    ----------
    sample : PIL image, array (h, w, 3) of bytes, or floats (3, h, w) in [0, 1]
    label, truth : integers (h, w)
        Pixels where both are known and differ are striped in red on the truth.
    classes : ClassSpace, optional
        Whose names the legend shows.
    side : int
        Pixels of the longer side.

    Raises
    ------
    ValueError
        If a mask is not as large as the picture.
    """
    from PIL import Image, ImageDraw, ImageFont

    rgb = _bytes(sample)
    masks = [np.asarray(label)] + ([] if truth is None else [np.asarray(truth)])
    for mask in masks:
        if mask.shape != rgb.shape[:2]:
            raise ValueError(f"a mask must be as large as its picture, {rgb.shape[:2]}; got {mask.shape}")
    share = side / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * share)), max(1, round(rgb.shape[0] * share)))
    large = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))
    grown = [
        np.asarray(Image.fromarray(mask.astype(np.int32)).resize(size, Image.Resampling.NEAREST)) for mask in masks
    ]
    tiles = [large, *(_coloured(large, mask) for mask in grown)]
    if truth is not None:
        wrong = (grown[0] != grown[1]) & (grown[1] != UNKNOWN)
        rows, columns = np.indices(wrong.shape)
        tiles[2] = np.where(
            (wrong & ((rows + columns) % 8 < 3))[..., None], np.array(MISTAKE, dtype=np.uint8), tiles[2]
        )
    titles = ["picture", "answer", "truth, mistakes striped"][: len(tiles)]
    present = sorted({int(value) for mask in masks for value in np.unique(mask)} - {UNKNOWN})
    shown, per_row = present[:NAMED], max(1, (size[0] + 6) * len(tiles) // 112)
    rows_needed = -(-(len(shown) + (len(present) > NAMED)) // per_row)
    canvas = Image.new("RGB", ((size[0] + 6) * len(tiles), size[1] + 18 + 16 * rows_needed), "white")
    draw = ImageDraw.Draw(canvas)
    draw.font = ImageFont.load_default(11)
    for i, (tile, title) in enumerate(zip(tiles, titles)):
        canvas.paste(Image.fromarray(tile.astype(np.uint8)), (i * (size[0] + 6), 14))
        draw.text((i * (size[0] + 6) + 1, 1), title, fill="#444444")
    for i, value in enumerate(shown):
        left, top = (i % per_row) * 112, size[1] + 17 + 16 * (i // per_row)
        draw.rectangle((left, top + 2, left + 10, top + 12), fill=colour_of(value))
        draw.text((left + 14, top + 1), name_of(value, classes)[:15], fill="#222222")
    if len(present) > NAMED:
        i = len(shown)
        draw.text(
            ((i % per_row) * 112, size[1] + 18 + 16 * (i // per_row)),
            f"and {len(present) - NAMED} more",
            fill="#222222",
        )
    return canvas


def colour_of(label: int) -> tuple[int, int, int]:
    """The colour of a class: the first nine are told apart by most people, others go around the circle."""
    if label < len(FIRST):
        code = FIRST[label].lstrip("#")
        return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)
    red, green, blue = colorsys.hsv_to_rgb(
        label * 0.618034 % 1, 0.65 + 0.3 * (label % 2), 0.9 - 0.25 * (label % 3 == 0)
    )
    return int(255 * red), int(255 * green), int(255 * blue)


def name_of(label: int, classes: ClassSpace | None) -> str:
    """The name of a class."""
    return classes.names[label] if classes is not None and label < len(classes) else f"class {label}"


def _bytes(sample: Any) -> NDArray[np.uint8]:
    array = np.asarray(sample) if not hasattr(sample, "convert") else np.asarray(sample.convert("RGB"))
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8:
        return array
    return np.rint(as_picture(sample).clamp(0, 1).permute(1, 2, 0).numpy() * 255).astype(np.uint8)


def _coloured(rgb: NDArray[np.uint8], mask: NDArray[Any]) -> NDArray[np.uint8]:
    """The picture under the colours of its classes, a white line between two; unknown pixels stay as they are."""
    labels, inverse = np.unique(mask, return_inverse=True)
    table = np.array([colour_of(int(label)) if label != UNKNOWN else (0, 0, 0) for label in labels], dtype=np.float32)
    over = table[inverse.reshape(mask.shape)]
    known = (mask != UNKNOWN)[..., None]
    out = np.where(known, (1 - OPACITY) * rgb + OPACITY * over, rgb)
    border = np.zeros(mask.shape, dtype=bool)
    border[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    border[1:] |= mask[1:] != mask[:-1]
    out[border] = 255
    return out.astype(np.uint8)


LOOKS = _Mask()
