"""COCO's way to write masks: polygons and run lengths in JSON, drawn without another package."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST_RUN = 40
"""Bits of a run length: more than the pixels of the largest mask need."""
MOST_SIDE = 20_000
"""Longest side of a mask that is drawn."""


def coco_masks(data: Any) -> tuple[dict[str, CocoMask | None], tuple[str, ...]]:
    """The masks of a COCO file by the names of its pictures, and its classes.

    Class 0 is the background, the categories follow by their ids; where things lie over each other, the smaller is in
    front. A picture without an annotation has no mask.

    Raises
    ------
    ValueError
        If the file is not of COCO's form.
    """
    if not isinstance(data, dict) or not all(
        isinstance(data.get(k), list) for k in ("images", "annotations", "categories")
    ):
        raise ValueError("a COCO file must hold lists of images, annotations and categories")
    try:
        categories = sorted(data["categories"], key=lambda category: category["id"])
        labels = {category["id"]: i + 1 for i, category in enumerate(categories)}
        names = ("background", *(str(category["name"]) for category in categories))
        by_image: dict[Any, list[Any]] = {}
        for annotation in data["annotations"]:
            by_image.setdefault(annotation["image_id"], []).append(annotation)
        masks = {}
        for image in data["images"]:
            drawn = sorted(by_image.get(image["id"], ()), key=_smaller_last)
            parts = tuple(
                (labels[annotation["category_id"]], annotation["segmentation"])
                for annotation in drawn
                if annotation.get("segmentation")
            )
            masks[str(image["file_name"])] = (
                CocoMask(int(image["height"]), int(image["width"]), parts) if parts else None
            )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"a COCO file must say {error} of each image, annotation and category") from error
    if len(set(names)) != len(names):
        raise ValueError("categories of a COCO file must have names of their own")
    return masks, names


class OtherSizeError(ValueError):
    """A mask that is not as large as its picture; sides are (height, width)."""

    def __init__(self, mask: tuple[int, ...], picture: tuple[int, int]) -> None:
        super().__init__(f"its mask has {mask[1]} x {mask[0]} pixels, the picture {picture[1]} x {picture[0]}")


def _smaller_last(annotation: Mapping[str, Any]) -> float:
    return -float(annotation.get("area", 0))


@dataclasses.dataclass(frozen=True)
class CocoMask:
    """The annotations of a picture, drawn when they are asked for."""

    height: int
    width: int
    parts: tuple[tuple[int, Any], ...]

    def __call__(self, height: int, width: int) -> NDArray[np.int32]:
        """The mask of a picture, (height, width); `OtherSizeError`, before memory is taken, if another size is told."""
        if (height, width) != (self.height, self.width):
            raise OtherSizeError((self.height, self.width), (height, width))
        if max(height, width) > MOST_SIDE:
            raise ValueError(f"sides must lie in (0, {MOST_SIDE}]; got {self.height} x {self.width}")
        mask = np.zeros((self.height, self.width), dtype=np.int32)
        for label, shape in self.parts:
            mask[self._inside(shape)] = label
        return mask

    def _inside(self, shape: Any) -> NDArray[np.bool_]:
        if isinstance(shape, Mapping):
            counts = shape["counts"]
            if tuple(shape["size"]) != (self.height, self.width):
                raise ValueError(f"run lengths of size {shape['size']} in a picture of {[self.height, self.width]}")
            runs = _unpacked(counts) if isinstance(counts, (str, bytes)) else counts
            return _from_runs(runs, self.height, self.width)
        return polygons(shape, self.height, self.width)


def polygons(shapes: Sequence[Sequence[float]], height: int, width: int) -> NDArray[np.bool_]:
    """Which pixels have their middle in one of some polygons (even-odd), each x0, y0, x1, y1, ..."""
    inside = np.zeros((height, width), dtype=bool)
    for shape in shapes:
        if len(shape) < 6 or len(shape) % 2:
            raise ValueError(f"a polygon must have three points at least, x and y each; got {len(shape)} numbers")
        points = np.asarray(shape, dtype=np.float64).reshape(-1, 2)
        if not np.isfinite(points).all():
            raise ValueError("a polygon must have finite points")
        (x0, y0), (x1, y1) = points.T, np.roll(points, -1, axis=0).T
        first, last = max(int(np.ceil(y0.min() - 0.5)), 0), min(int(np.ceil(y0.max() - 0.5)), height)
        for row in range(first, last):
            crossed = (y0 <= row + 0.5) != (y1 <= row + 0.5)
            a, b, c, d = x0[crossed], x1[crossed], y0[crossed], y1[crossed]
            at = np.sort(a + (row + 0.5 - c) * (b - a) / (d - c))
            for left, right in np.clip(np.ceil(at - 0.5), 0, width).astype(int).reshape(-1, 2).tolist():
                inside[row, left:right] = True
    return inside


def _from_runs(runs: Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """Pixels column by column: so many outside, so many inside, and so on."""
    lengths = np.asarray(runs, dtype=np.int64)
    if lengths.ndim != 1 or (lengths < 0).any() or (lengths > height * width).any() or lengths.sum() != height * width:
        raise ValueError(f"run lengths must add up to {height * width} pixels; got {lengths.sum()}")
    inside = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return inside.reshape(width, height).T


def _unpacked(text: str | bytes) -> list[int]:
    """Run lengths of COCO's compressed text: six bits a character, differences to the run before the last."""
    data = text.encode("ascii") if isinstance(text, str) else text
    runs: list[int] = []
    place = 0
    while place < len(data):
        value, shift, more = 0, 0, True
        while more:
            if place >= len(data):
                raise ValueError("compressed run lengths end too early")
            if shift > LONGEST_RUN:
                raise ValueError("a compressed run length has more figures than any picture needs")
            byte = data[place] - 48
            value |= (byte & 0x1F) << shift
            more = bool(byte & 0x20)
            place, shift = place + 1, shift + 5
            if not more and byte & 0x10:
                value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs
