"""Whether two pictures are one, by their pixels."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from unseen.data.typing import IntArray
from unseen.methods.curation.laion.similarity import LOOK, look_alike, look_of, outlines, outlines_alike
from unseen.nn.semdedup import BoolArray

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

TOGETHER = 1024
"""Pairs that are compared at once."""


class SamePicture:
    """Confirms pairs of rows whose embeddings are alike; each picture is decoded once, when it is first asked for.

    A picture that cannot be read is the same as none.

    Parameters
    ----------
    picture : callable
        From a row to its picture.
    """

    def __init__(self, picture: Callable[[int], Image]) -> None:
        self.picture = picture
        self._known: dict[int, bytes | None] = {}

    def __call__(self, left: IntArray, right: IntArray) -> BoolArray:
        """Which pairs of rows show the same picture, (m,)."""
        same = np.zeros(len(left), dtype=bool)
        for start in range(0, len(left), TOGETHER):
            block = slice(start, start + TOGETHER)
            (a, a_there), (b, b_there) = self._looks_of(left[block]), self._looks_of(right[block])
            close = np.flatnonzero(a_there & b_there & outlines_alike(outlines(a), outlines(b)))
            same[start + close] = look_alike(a[close], b[close])
        return same

    def _looks_of(self, rows: IntArray) -> tuple[np.ndarray, BoolArray]:
        """The looks of rows, (m, LOOK), and for which there is one, (m,)."""
        looks = [self._look(int(row)) for row in rows]
        nothing = bytes(LOOK)
        joined = np.frombuffer(b"".join(look or nothing for look in looks), np.uint8).reshape(len(looks), LOOK)
        return joined, np.array([look is not None for look in looks])

    def _look(self, row: int) -> bytes | None:
        if row not in self._known:
            self._known[row] = None
            try:
                self._known[row] = look_of(self.picture(row))
            except (ValueError, OSError) as error:
                log.warning("the picture of row %d cannot be compared: %s", row + 1, error)
        return self._known[row]
