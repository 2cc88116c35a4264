"""The table of series that nothing was pretrained on, on docs/forecasting.md: what `unseen forecast` chooses, and arms.

python docs/forecast_study.py [FOLDER]    minutes on one core; FOLDER may hold ETTh1.csv (Zhou et al., AAAI 2021)

Series come from packages, hourly, by the half hour, daily and monthly; none is among those that the pretrained TTM has
learnt from. Each is cut before six stretches of the horizon, evenly over its last quarter; what stands before a cut
(4,000 points at most) is all that is given, and what is said of the stretch is compared with it. An error is the
mean absolute error over all cuts, divided by that of the seasonal naive; the mean over columns.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unseen.data.domain import Domain
from unseen.data.series import grid_of, part, periods_of, pick, read_series, series_domain
from unseen.data.sources.series import LICENCE_CLEAR, packaged_series, series_names
from unseen.jobs.forecasting.forecasters import attempts_of
from unseen.jobs.forecasting.job import forecast
from unseen.methods.forecasting.trend_seasons import TrendSeasons
from unseen.methods.forecasting.ttm import pretrained

CUTS, MOST, COLUMNS = 6, 4000, 3
"""Stretches that are forecast, points before a cut, and channels of a series, at most."""
DAYS = 250
"""An hourly series of more days is told by its daily means, too."""
HORIZONS = {86400.0: 14, 2629800.0: 12}
"""Points to forecast, by seconds of a step; a day of shorter ones."""


def series_of(folder: Path | None) -> Iterator[Domain]:
    """Those of packages that were not pretrained on, two of them as daily means, and ETTh1 if it is there."""
    for name in series_names():
        if name in LICENCE_CLEAR:
            continue
        series = packaged_series(name)
        yield series
        if periods_of(series)[0] == 3600.0 and len(series.x[0]) > DAYS * 24:
            values = np.asarray(series.x[0])[: len(series.x[0]) // 24 * 24]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                daily = np.nanmean(values.reshape(-1, 24, values.shape[1]), axis=1)
            yield series_domain([daily], period=86400.0, name=f"{name}, daily")
    if folder is not None:
        yield read_series(folder / "ETTh1.csv")


def errors(series: Domain) -> dict[str, float]:
    """The mean error of each arm over that of the seasonal naive."""
    names = [str(name) for name in series.columns["channels"][0]]
    lively = [n for n, x in zip(names, np.asarray(series.x[0]).T) if np.nanstd(x) > 0]
    series = pick(series, lively[:COLUMNS])
    period = float(periods_of(series)[0])
    horizon, n = HORIZONS.get(period, round(86400 / period)), len(series.x[0])
    cuts = np.linspace(n - max(n // 4, CUTS * horizon), n - horizon, CUTS).astype(int)
    arms = attempts_of(
        {"ttm": pretrained(), "trend-seasons": TrendSeasons.pretrained()}, {}, lively[:COLUMNS], [], None
    )
    by_arm: dict[str, list[np.ndarray]] = {}
    for cut in cuts.tolist():
        past = part(series, max(cut - MOST, 0), cut)
        truth = np.asarray(part(series, cut, cut + horizon).x[0], dtype=np.float64)
        forecasts = {name: run(past, horizon, None)[0] for name, run in arms.items()}
        result = forecast(past, horizon=horizon, intervals=None)
        table = result.table.pivot(index="time", columns="channel", values="forecast")[lively[:COLUMNS]]
        forecasts["chosen"] = table.to_numpy()
        for name, values in forecasts.items():
            by_arm.setdefault(name, []).append(np.nanmean(np.abs(values - truth), axis=0))
    floor = np.nanmean(by_arm["seasonal-naive"], axis=0)
    return {name: float(np.mean(np.nanmean(values, axis=0) / floor)) for name, values in by_arm.items()}


def main() -> None:
    """A line for each series, and the mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    folder = parser.parse_args().folder
    logging.disable(logging.WARNING)
    arms = ("last-value", "ttm", "trend-seasons", "chosen")
    print("| series | step | " + " | ".join(arms) + " |\n" + "|---" * (2 + len(arms)) + "|", flush=True)
    rows = []
    for series in series_of(folder):
        error = errors(series)
        rows.append([error[arm] for arm in arms])
        step = grid_of(series).step or f"{periods_of(series)[0]:g} s"
        print(f"| {series.name} | {step} | " + " | ".join(f"{value:.2f}" for value in rows[-1]) + " |", flush=True)
    print("| **mean** | | " + " | ".join(f"{value:.2f}" for value in np.mean(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()
