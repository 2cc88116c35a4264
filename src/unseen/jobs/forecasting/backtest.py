"""What each method would have said of the past of the user's series: the choice and the intervals come of it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.series import (
    part,
    pick,
    stacked,
)
from unseen.validation.conformal import conformal_widths, coverage, fewest

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

ORIGINS = 60
"""Most forecasts of the past of one series."""
WORST = 100.0
"""Largest error over that of the seasonal naive that counts; where that never errs, all others would be infinite."""
EXACT, ROUNDING = 1e-12, 1e-6
"""Shares of a channel's largest value: a naive that errs less repeats a constant, and there a method that errs less
than the second is right, but for rounding (of float32, too)."""

Array = NDArray[Any]
Attempt = Callable[[Domain, int, "Domain | None"], Array]
"""From series, a horizon and what is known of the future to values (n, h, c)."""


def origins_of(series: Domain, horizon: int, least: int, reach: int) -> list[NDArray[np.int64]]:
    """Where forecasts of the past begin, by series: evenly over its last third, `ORIGINS` at most, or none.

    Not before more than `least` points, nor where a column has no value among the `reach` points before, which are
    read.
    """
    out = []
    for x in series.x:
        first = max(len(x) * 2 // 3, least + 1)
        last = len(x) - horizon
        n = min(ORIGINS, last - first + 1)
        even = np.unique(np.linspace(first, last, n).round().astype(int)) if n > 0 else np.array([], dtype=int)
        legible = [not np.isnan(x[max(end - reach, 0) : end]).all(axis=0).any() for end in even.tolist()]
        out.append(even[np.array(legible, dtype=bool)])
    return out


def before(series: Domain, origins: list[NDArray[np.int64]]) -> Domain:
    """What came before the first forecast of the past; all of a series that has none."""
    pieces = [part(series.take([i]), 0, int(o[0]) if len(o) else None) for i, o in enumerate(origins)]
    return stacked(pieces)


@dataclasses.dataclass(frozen=True)
class Past:
    """Forecasts of the past of one method: (n, h, c) each, and which series each is of, (n,)."""

    truth: Array
    forecast: Array
    owner: NDArray[np.int64]

    def each(self) -> Iterator[tuple[Array, Array]]:
        """Truth and forecasts of every series that has some."""
        for i in np.unique(self.owner):
            yield self.truth[self.owner == i], self.forecast[self.owner == i]


def backtest(
    series: Domain,
    attempts: Mapping[str, Attempt],
    targets: Sequence[str],
    horizon: int,
    origins: list[NDArray[np.int64]],
    known: Sequence[str],
) -> dict[str, Past]:
    """What every method would have said; empty if no series is long enough."""
    starts: list[Domain] = []
    ahead: list[Domain] = []
    truths, owners = [], []
    for i, places in enumerate(origins):
        single = series.take([i])
        for origin in places.tolist():
            starts.append(part(single, 0, origin))
            ahead.append(part(single, origin, origin + horizon))
            truths.append(np.asarray(pick(ahead[-1], targets).x[0], dtype=np.float64))
            owners.append(i)
    if not starts:
        return {}
    truth, owner = np.stack(truths), np.array(owners)
    after = [pick(a, known) if known else None for a in ahead]
    return {
        name: Past(truth, np.concatenate([run(s, horizon, a) for s, a in zip(starts, after)]), owner)
        for name, run in attempts.items()
    }


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
