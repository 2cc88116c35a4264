"""Pictures as consoles of four generations would draw them: the same things, in several synthetic styles."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from unseen.data.domain import Domain, Lazy, concatenate

Generation = Literal["8-bit", "16-bit", "low-poly", "full"]
GENERATIONS: tuple[Generation, ...] = get_args(Generation)
GRID = {"8-bit": (16, 4), "16-bit": (32, 16)}
"""Cells along a side, and colours of a picture."""
FACETS = 8
"""Squares along a side, each of two facets."""


def consoles(domain: Domain, generations: tuple[Generation, ...] = GENERATIONS) -> Domain:
    """Draw every picture in each style: a domain with a column `domain`, to train a precursor on.

    Parameters
    ----------
    domain : Domain
        Of pictures as arrays (n, 3, h, w) with values in [0, 1].
    generations : tuple of {"8-bit", "16-bit", "low-poly", "full"}
        See `console`.

    Raises
    ------
    ValueError
        If it holds anything else.
    """
    if domain.kind != "image" or isinstance(domain.x, Lazy):
        raise ValueError(f"domain must hold pictures as one array (n, 3, h, w); {domain!r} does not")
    drawn = [domain.replace(x=console(domain.x, style), name=style, columns={}) for style in generations]
    return concatenate(drawn, name=f"{domain.name} on consoles")


def console(pictures: Float[np.ndarray, "n 3 h w"], generation: Generation) -> NDArray[np.float32]:
    """Pictures as one generation draws them, (n, 3, h, w).

    Parameters
    ----------
    pictures : array (n, 3, h, w)
        With values in [0, 1].
    generation : {"8-bit", "16-bit", "low-poly", "full"}
        16 x 16 cells of one colour, of four colours in a picture; 32 x 32 cells of 16 colours; 128 triangles of one
        colour; as it is. Of smaller pictures, every pixel is a cell.

    Raises
    ------
    ValueError
        If shape, values or generation are others.
    """
    x = np.asarray(pictures, dtype=np.float32)
    if x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f"pictures must be of shape (n, 3, h, w); got {x.shape}")
    if x.size and not (x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"pictures must have values in [0, 1]; got {x.min():g} to {x.max():g}")
    if generation not in GENERATIONS:
        raise ValueError(f"generation must be one of {', '.join(GENERATIONS)}; got {generation!r}")
    if generation == "full":
        return x.copy()
    if generation == "low-poly":
        return _mean_of(x, _facets(x.shape[2], x.shape[3]))
    side, colours = GRID[generation]
    return _quantized(_mean_of(x, _cells(x.shape[2], x.shape[3], side)), colours)


def _cells(height: int, width: int, side: int) -> NDArray[np.int64]:
    """Which of side x side cells each pixel lies in, (h, w)."""
    rows, columns = (np.arange(n) * min(side, n) // n for n in (height, width))
    return rows[:, None] * side + columns


def _facets(height: int, width: int) -> NDArray[np.int64]:
    """Which triangle each pixel lies in: squares, cut along diagonals that alternate, (h, w)."""
    cells = _cells(height, width, FACETS)
    places = [np.arange(n) * FACETS / n % 1 + FACETS / n / 2 for n in (height, width)]
    y, x = places[0][:, None], places[1][None]
    odd = (cells // FACETS + cells) % 2 == 1
    return 2 * cells + np.where(odd, y > x, y + x > 1)


def _mean_of(x: NDArray[np.float32], groups: NDArray[np.int64]) -> NDArray[np.float32]:
    """Every pixel with the mean colour of its group, over groups (h, w)."""
    _, inverse = np.unique(groups, return_inverse=True)
    inverse = inverse.reshape(-1)
    shares = np.zeros((len(inverse), inverse.max() + 1), dtype=np.float32)
    shares[np.arange(len(inverse)), inverse] = 1
    means = x.reshape(*x.shape[:2], -1) @ (shares / shares.sum(axis=0))
    return means[..., inverse].reshape(x.shape)


def _quantized(x: NDArray[np.float32], colours: int) -> NDArray[np.float32]:
    """Each picture in so many colours of its own, by median cut."""
    from PIL import Image

    drawn = []
    for picture in (255 * x).round().astype(np.uint8).transpose(0, 2, 3, 1):
        few = Image.fromarray(picture).quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        drawn.append(np.asarray(few.convert("RGB"), dtype=np.float32) / 255)
    return np.stack(drawn).transpose(0, 3, 1, 2).astype(np.float32) if drawn else x
