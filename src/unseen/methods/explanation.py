"""`Explanation`: what a method gives that can say why, and which methods can."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from numpy.typing import NDArray

from unseen.data.typing import FloatArray, IntArray
from unseen.methods.base import Method


class Explanation(NamedTuple):
    """Why n samples were taken for what they were taken for: the parts or attributes that spoke for it, and where.

    Attributes
    ----------
    classes : int array (n,)
        The classes predicted.
    uncertainty : mapping of name to float array (n,)
        How much is left open, in (0, 1], in each view of the samples and in ``fused``, all of them together.
    names : A strings
        What the attributes are called.
    top : int array (n, k)
        Attributes that spoke for the class, the strongest first.
    found : float array (n, k)
        How strongly each of them was found in the sample.
    expected : float array (n, k)
        How strongly the class has it.
    maps : float array (n, A, h, w)
        Where each attribute was looked for, in cells of the sample, row by row; each map sums to 1.
    """

    classes: IntArray
    uncertainty: Mapping[str, FloatArray]
    names: tuple[str, ...]
    top: IntArray
    found: FloatArray
    expected: FloatArray
    maps: FloatArray


def explaining() -> tuple[str, ...]:
    """Slugs of the methods that explain."""
    from unseen import methods

    return tuple(slug for slug in methods.slugs() if explains(methods.get(slug)))


def explains(method: Method | type[Method]) -> bool:
    """Whether a method has the verb `explain`, from samples and k to an `Explanation`."""
    return callable(getattr(method, "explain", None))


def as_grid(maps: NDArray) -> FloatArray:
    """Weights of r regions, (..., r), as a map: side x side if r is a square, else one row."""
    side = math.isqrt(maps.shape[-1])
    shape = (side, side) if side * side == maps.shape[-1] else (1, maps.shape[-1])
    return maps.reshape(*maps.shape[:-1], *shape)
