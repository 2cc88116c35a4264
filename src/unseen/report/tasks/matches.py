"""How matches look: both pictures side by side, a line for each match, coloured by whether it agrees with most."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.images import as_pixels
from unseen.evaluation.tasks.matches import right
from unseen.nn.two_view import two_view
from unseen.report.pages import image_source
from unseen.report.tasks.base import Looks

AGREES, DIFFERS = (38, 166, 154), (239, 108, 0)
"""Colours of inliers and of all other matches."""
WIDTH = 1400
"""Pixels of the drawing, at most."""
LINES = 120
"""Matches of either colour that are drawn, at most."""
GAP = 8


def draw(
    first: NDArray[np.uint8], second: NDArray[np.uint8], points: NDArray[Any], inliers: NDArray[np.bool_]
) -> bytes:
    """A JPEG of both pictures at one scale, with a line for each match: those that do not agree first, below.

    Parameters
    ----------
    first, second : array (h, w, 3) of bytes
    points : array (m, 4)
        x, y on the left, x, y on the right.
    inliers : array (m,) of bool
    """
    from PIL import Image, ImageDraw

    scale = min(1.0, (WIDTH - GAP) / (first.shape[1] + second.shape[1]))
    sizes = [(max(round(p.shape[1] * scale), 1), max(round(p.shape[0] * scale), 1)) for p in (first, second)]
    sheet = Image.new("RGB", (sizes[0][0] + GAP + sizes[1][0], max(size[1] for size in sizes)), "white")
    for picture, size, left in ((first, sizes[0], 0), (second, sizes[1], sizes[0][0] + GAP)):
        sheet.paste(Image.fromarray(picture).resize(size), (left, 0))
    pen = ImageDraw.Draw(sheet)
    for colour, which in ((DIFFERS, ~inliers), (AGREES, inliers)):
        for x, y, u, v in np.asarray(points)[which][:: max(1, -(-int(which.sum()) // LINES))] * scale:
            ends = [(x, y), (u + sizes[0][0] + GAP, v)]
            pen.line(ends, fill=colour, width=1)
            for a, b in ends:
                pen.ellipse((a - 2, b - 2, a + 2, b + 2), outline=colour)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=85, subsampling=0)  # thin lines keep their colour
    return buffer.getvalue()


class _Matches(Looks):
    task = "matches"

    def picture(self, sample: Any, label: Any, classes: ClassSpace | None = None, truth: Any = None) -> str | None:
        """Both pictures of `sample`, (first, second), with a line for each row of `label`.

        Lines are green where they are right (`truth` is given) or agree with the homography of most, orange elsewhere.
        """
        first, second = (as_pixels(side) for side in sample)
        points = np.asarray(label, dtype=np.float64).reshape(-1, 4)
        good = two_view(points).inliers if truth is None else right(truth, points)
        return image_source(draw(first, second, points, good), "jpeg")

    def words(self, label: Any, classes: ClassSpace | None = None) -> str:
        """How many matches there are."""
        return "no match" if not len(label) else "1 match" if len(label) == 1 else f"{len(label)} matches"


LOOKS = _Matches()
