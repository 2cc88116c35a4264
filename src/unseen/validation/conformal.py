"""Split conformal intervals of forecasts: from the errors of forecasts that were made before."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray


def conformal_widths(
    errors: Float[np.ndarray, "n h c"], level: float = 0.9, *, lacking: Literal["raise", "nan"] = "raise"
) -> Float[np.ndarray, "h c"]:
    """Half the width of an interval at every step and channel that covers with probability `level`.

    The ceil((n + 1) level)-th smallest of n absolute errors [1]: if the errors to come are exchangeable with these,
    the interval covers the truth with probability at least `level`, and at most `level` + 1 / (n + 1) without ties.

    Parameters
    ----------
    errors : (n, h, c)
        Truth minus forecast of earlier forecasts; NaN where there is no truth.
    level : float in (0, 1)
    lacking : {"raise", "nan"}
        What becomes of a step and channel with too few errors for the level; n >= level / (1 - level) are enough.

    Raises
    ------
    ValueError
        If there are too few errors somewhere and `lacking` is "raise".

    References
    ----------
    [1] Lei et al., "Distribution-Free Predictive Inference for Regression", JASA 2018, section 2.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1); got {level}")
    sizes = np.sort(np.abs(np.asarray(errors, dtype=np.float64)), axis=0)  # NaN comes last
    n = np.isfinite(sizes).sum(axis=0)
    rank = np.ceil((n + 1) * level - 1e-9).astype(int)
    few = rank > n
    if lacking == "nan":
        if not len(sizes):
            return np.full(sizes.shape[1:], np.nan)
        widths = np.take_along_axis(sizes, np.minimum(rank, len(sizes))[None] - 1, axis=0)[0]
        return np.where(few, np.nan, widths)
    if few.any():
        least = fewest(level)
        raise ValueError(f"intervals of {level:.0%} need the errors of {least} forecasts at every step; got {n.min()}")
    return np.take_along_axis(sizes, rank[None] - 1, axis=0)[0]


def fewest(level: float) -> int:
    """How many errors an interval of this level needs."""
    return math.ceil(level / (1 - level) - 1e-9)


def coverage(
    truth: Float[np.ndarray, "n h c"], forecast: Float[np.ndarray, "n h c"], widths: NDArray[np.float64]
) -> float:
    """The share of true values inside forecast ± widths; missing truths and widths do not count. NaN without any."""
    seen = np.isfinite(truth) & np.isfinite(widths)
    return float((np.abs(truth - forecast) <= widths)[seen].mean()) if seen.any() else float("nan")
