"""Occluders: rectangles of texture, or of other pictures, that cover a share of a picture."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.simulate.common import as_floats, changed, lazy_pictures, plasma
from unseen.data.typing import FloatArray

BOX = "occluder"
"""The column with left, top, right and bottom of each occluder, in shares of the picture's sides, (n, 4)."""
MOST = 0.8


def occluded(
    domain: Domain,
    share: float,
    *,
    fill: Literal["texture", "pictures"] = "texture",
    others: Domain | None = None,
    random_state: int = 0,
) -> Domain:
    """The pictures of a domain, each with a rectangle pasted over it when it is read.

    Parameters
    ----------
    domain : Domain
        Pictures that are read lazily.
    share : float in (0, 0.8]
        Of the area of the picture that is covered, give or take a pixel.
    fill : {"texture", "pictures"}
        Clouds of two random colours; or a piece of one of `others`, of the same shape.
    others : Domain, optional
        Pictures to cut occluders from.
    random_state : int
        Of place, shape and fill, which differ from picture to picture.

    Returns
    -------
    Domain
        With the column ``occluder``, (n, 4): left, top, right, bottom in [0, 1].

    Raises
    ------
    ValueError
        If the share is out of range, `others` are missing, or a domain holds no pictures.
    """
    if not 0 < share <= MOST:
        raise ValueError(f"share must lie in (0, {MOST}]; got {share}")
    if fill not in ("texture", "pictures"):
        raise ValueError(f"fill must be 'texture' or 'pictures'; got {fill!r}")
    if fill == "pictures" and (others is None or not len(others)):
        raise ValueError("others must hold pictures to cut occluders from")
    cut_from = lazy_pictures("others", others) if fill == "pictures" and others is not None else None
    rng = np.random.default_rng(random_state)
    boxes = _boxes(len(domain), share, rng)
    chosen = rng.integers(len(others) if others is not None else 1, size=len(domain)).tolist()

    def change(x: FloatArray, i: int) -> FloatArray:
        height, width = x.shape[:2]
        left, top, right, bottom = np.rint(boxes[i] * (width, height, width, height)).astype(int)
        size = (max(1, bottom - top), max(1, right - left))
        picture_rng = np.random.default_rng((random_state, i))
        piece = (
            _texture(*size, picture_rng)
            if cut_from is None
            else _cut(as_floats(cut_from[chosen[i]]), *size, picture_rng)
        )
        out = x.copy()
        out[top : top + size[0], left : left + size[1]] = piece[: height - top, : width - left]
        return out

    def told(i: int) -> str:
        cut = "" if cut_from is None else cut_from.digest(chosen[i])
        return f"occluded {fill} {boxes[i].tolist()} {random_state} {i} {cut}"

    covered = changed(domain, change, told, f"{domain.name}, {share:.0%} occluded")
    return covered.replace(columns={**covered.columns, BOX: boxes})


def _boxes(n: int, share: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Rectangles of this area, at most twice as long as wide as far as they fit, anywhere inside, (n, 4)."""
    longest = min(np.log(2) / 2, -np.log(share) / 2)
    stretch = np.exp(rng.uniform(-longest, longest, n))
    sides = np.sqrt(share) * np.stack([stretch, 1 / stretch], axis=1)
    corner = rng.random((n, 2)) * (1 - sides)
    return np.concatenate([corner, corner + sides], axis=1)


def _texture(height: int, width: int, rng: np.random.Generator) -> FloatArray:
    """Clouds of two colours."""
    first, other = rng.random((2, 3)).astype(np.float32)
    cloud = plasma(height, width, rng, fade=0.8)[:, :, None]
    return cloud * first + (1 - cloud) * other


def _cut(picture: FloatArray, height: int, width: int, rng: np.random.Generator) -> FloatArray:
    """A piece of a picture of this size; a smaller picture is repeated."""
    tiles = (-(-height // picture.shape[0]), -(-width // picture.shape[1]), 1)
    picture = np.tile(picture, tiles)
    top, left = (int(rng.integers(have - want + 1)) for have, want in zip(picture.shape[:2], (height, width)))
    return picture[top : top + height, left : left + width]


def covered_cells(boxes: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """How much of each cell of a side x side grid a box covers, (n, side, side), row by row; in [0, 1]."""
    edges = np.arange(side) / side

    def along(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
        over = np.minimum(high[:, None], edges + 1 / side) - np.maximum(low[:, None], edges)
        return over.clip(0) * side

    return along(boxes[:, 1], boxes[:, 3])[:, :, None] * along(boxes[:, 0], boxes[:, 2])[:, None, :]
