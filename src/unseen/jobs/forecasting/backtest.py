"""The choice and the intervals, from what each method would have said of the past of the user's series."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.evaluation.rolling import Array, Past
from unseen.validation.conformal import conformal_widths, coverage, fewest

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

WORST = 100.0
"""Largest error over that of the seasonal naive that counts; where that never errs, all others would be infinite."""
EXACT, ROUNDING = 1e-12, 1e-6
"""Shares of a channel's largest value: a naive that errs less repeats a constant, and there a method that errs less
than the second is right, but for rounding (of float32, too)."""


def choice(past: dict[str, Past], method: str, level: float | None, first: str) -> tuple[pd.DataFrame, str, str]:
    """The table of the backtest, the method, and why; `first` is chosen where nothing tells."""
    import pandas as pd

    columns = ["method", "mae", "rmse", "against", "coverage"]
    if not past:
        chosen = first if method == "auto" else method
        return pd.DataFrame(columns=columns), chosen, "the series is too short for a look at its own past"
    naive = past["seasonal-naive"]
    floor = _mae(naive)
    scale = np.stack([np.nan_to_num(np.abs(truth)).max((0, 1)) for truth, _ in naive.each()])
    rows = [
        [name, _mean(_mae(run)), _mean(_rmse(run)), _mean(_against(_mae(run), floor, scale)), _covered(run, level)]
        for name, run in past.items()
    ]
    table = pd.DataFrame(rows, columns=columns).sort_values(["against", "mae"], ignore_index=True)
    best = str(table.method[0])
    if method != "auto":
        return table, method, f"it was asked for; on the past {best} had the smallest error"
    n = len(past[best].truth)
    return table, best, f"it had the smallest error over that of the seasonal naive in {n} forecasts of the past"


def _mae(past: Past) -> Array:
    """Mean absolute error of every series and channel; NaN without a truth."""
    return np.stack([_mean(np.abs(truth - forecast), (0, 1)) for truth, forecast in past.each()])


def _rmse(past: Past) -> Array:
    """Root of the mean squared error of every series and channel."""
    return np.stack([np.sqrt(_mean((truth - forecast) ** 2, (0, 1))) for truth, forecast in past.each()])


def _against(error: Array, floor: Array, scale: Array) -> Array:
    """Errors over those of the seasonal naive, `WORST` at most; 1 where both are right but for rounding."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.minimum(error / floor, WORST)
    return np.where((error <= ROUNDING * scale) & (floor <= EXACT * scale), 1.0, ratio)


def _mean(values: Array, axis: tuple[int, ...] | None = None) -> Any:
    """The mean over what is there; NaN where nothing is."""
    seen = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(seen, values, 0).sum(axis=axis) / seen.sum(axis=axis)


def _covered(past: Past, level: float | None) -> float:
    """The share of the later half of the past inside intervals from the earlier half, each series by itself.

    The mean over series; NaN if there are too few forecasts.
    """
    if level is None:
        return float("nan")
    shares = []
    for truth, forecast in past.each():
        half = len(truth) // 2
        widths = conformal_widths(truth[:half] - forecast[:half], level, lacking="nan")
        shares.append(coverage(truth[half:], forecast[half:], widths))
    return float(_mean(np.array(shares)))


def widths_of(past: Past, n: int, horizon: int, level: float, names: Sequence[str]) -> Array:
    """Half the widths of the intervals (n, h, c), from the errors of the past of each series; NaN of too few."""
    widths = np.full((n, horizon, past.truth.shape[2]), np.nan)
    for i in range(n):
        errors = (past.truth - past.forecast)[past.owner == i]
        widths[i] = conformal_widths(errors, level, lacking="nan")
        fewer = int(np.isfinite(errors).sum(axis=0).min())
        if fewer < fewest(level):
            log.warning(
                "intervals of %g need %d errors of the past at every step; %s has %d at some: low and high are "
                "missing there (`intervals` takes a smaller probability, or 0 for none)",
                level, fewest(level), names[i], fewer,
            )  # fmt: skip
    return widths


def placed(values: Array, places: Sequence[int], others: Array) -> Array:
    """`others` with `values` at `places`."""
    out = others.copy()
    out[list(places)] = values
    return out
