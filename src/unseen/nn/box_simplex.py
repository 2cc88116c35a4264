"""Numbers of a given sum between bounds, as near as can be to numbers that are wanted; and whole numbers like that."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray


def box_simplex_projection(
    target: ArrayLike, total: float, lower: ArrayLike, upper: ArrayLike
) -> Float[np.ndarray, " k"]:
    """The x nearest to `target` in the Euclidean sense with ``sum(x) = total`` and ``lower <= x <= upper``.

    It is ``clip(target - shift, lower, upper)`` with one shift for all. The sum falls piecewise linearly with the shift
    and bends at ``target - upper`` and ``target - lower``: the piece that holds `total` is found by sorting them, so
    the answer is exact, in O(k log k).

    Parameters
    ----------
    target : array (k,)
    total : float, between sum(lower) and sum(upper)
    lower, upper : array (k,) or number, lower <= upper

    Returns
    -------
    array (k,) of float64
        Its sum is `total` up to rounding in the last place.

    Raises
    ------
    ValueError
        If something is not finite, a lower bound is above its upper one, or no x has that sum.

    Source: the optimality conditions of the quadratic programme of Abbas et al., ICLR 2024, eq. 4.
    """
    wanted = np.asarray(target, dtype=np.float64)
    low, high = (np.broadcast_to(np.asarray(b, dtype=np.float64), wanted.shape) for b in (lower, upper))
    if wanted.ndim != 1 or not len(wanted):
        raise ValueError(f"target must be of shape (k,) with k at least 1; got {wanted.shape}")
    if not (np.isfinite(wanted).all() and np.isfinite(low).all() and np.isfinite(high).all() and np.isfinite(total)):
        raise ValueError("target, total, lower and upper must be finite")
    if (low > high).any():
        j = int((low > high).argmax())
        raise ValueError(f"lower must not exceed upper; at {j} they are {low[j]:g} and {high[j]:g}")
    least, most = float(low.sum()), float(high.sum())
    slack = 1e-9 * max(1.0, abs(least), abs(most))
    if not least - slack <= total <= most + slack:
        raise ValueError(f"total must lie between the sums of lower and upper, {least:g} and {most:g}; got {total:g}")
    if total <= least:
        return low.copy()
    if total >= most:
        return high.copy()
    return np.clip(wanted - _shift(wanted, float(total), low, high), low, high)


def _shift(wanted: NDArray[np.float64], total: float, low: NDArray[np.float64], high: NDArray[np.float64]) -> float:
    """What is taken off every target, so that what is left between the bounds sums to `total`."""
    bends = np.concatenate([wanted - high, wanted - low])
    slopes = np.concatenate([-np.ones(len(wanted)), np.ones(len(wanted))])  # what the slope of the sum changes by
    order = np.argsort(bends, kind="stable")
    bends, slope = bends[order], np.cumsum(slopes[order])
    sums = high.sum() + np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(bends))])  # at every bend; it never rises
    piece = max(int(np.searchsorted(-sums, -total, side="left")) - 1, 0)
    start = float(bends[piece])
    inside = (wanted - high <= start) & (wanted - low > start)  # what moves on this piece
    if not inside.any():
        return start
    fixed = np.where(wanted - high > start, high, 0.0) + np.where(wanted - low <= start, low, 0.0)
    return float((wanted[inside].sum() + fixed[~inside].sum() - total) / inside.sum())


def round_to_total(x: ArrayLike, total: int, lower: ArrayLike, upper: ArrayLike) -> Int[np.ndarray, " k"]:
    """Whole numbers near `x` that sum to `total` between whole bounds: the largest remainders are rounded up.

    Parameters
    ----------
    x : array (k,)
        Of sum `total` up to rounding, between the bounds.
    total : int
    lower, upper : array (k,) of int or number

    Returns
    -------
    array (k,) of int64
        Of equal remainders the first is rounded up.

    Raises
    ------
    ValueError
        If no whole numbers between the bounds have that sum.
    """
    x = np.asarray(x, dtype=np.float64)
    low, high = (np.broadcast_to(np.asarray(b, dtype=np.int64), x.shape) for b in (lower, upper))
    if not int(low.sum()) <= total <= int(high.sum()):
        bounds = f"{int(low.sum())} and {int(high.sum())}"
        raise ValueError(f"total must lie between the sums of lower and upper, {bounds}; got {total}")
    whole = np.clip(np.floor(x + 1e-9).astype(np.int64), low, high)
    rest = x - whole
    while (missing := total - int(whole.sum())) != 0:
        sign = 1 if missing > 0 else -1
        room = whole < high if missing > 0 else whole > low
        order = np.argsort(np.where(room, -sign * rest, np.inf), kind="stable")[: min(abs(missing), int(room.sum()))]
        whole[order] += sign
        rest[order] -= sign
    return whole
