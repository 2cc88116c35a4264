"""Whether a changed network still says what it said before."""

from __future__ import annotations

from typing import Any

import numpy as np


def top1_agreement(a: Any, b: Any) -> float:
    """Share of samples, in [0, 1], on which two predictions name the same class.

    Parameters
    ----------
    a, b : arrays or tensors (n,) or (n, c)
        Predicted classes, or scores whose largest is the prediction; either may be either.

    Raises
    ------
    ValueError
        If they are not predictions of the same samples, or there are none.
    """
    first, second = _labels("a", a), _labels("b", b)
    if len(first) != len(second) or not len(first):
        raise ValueError(f"a and b must speak of the same samples, at least one; got {len(first)} and {len(second)}")
    return float((first == second).mean())


def _labels(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} must be labels (n,) or scores (n, c); got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite")
    return array.argmax(axis=1) if array.ndim == 2 else array
