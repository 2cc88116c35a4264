"""The picture of a forecast: what was, what is expected, and between which bounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.data.domain import Domain
from unseen.data.series import channels_of, grid_of

if TYPE_CHECKING:
    import pandas as pd

PANELS = 8
"""Most series and channels that are drawn."""
SHOWN = 3
"""The past that is drawn, in horizons."""


def draw(series: Domain, table: pd.DataFrame, method: str, file: Path, intervals: float | None = None) -> None:
    """Write a PNG with a panel for every series and channel, at most `PANELS`; `intervals` is their probability."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [(i, k) for i in range(len(series)) for k in range(len(channels_of(series)))][:PANELS]
    figure = Figure(figsize=(9, 2.4 * len(names) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    for axis, (i, k) in zip(axes, names):
        _panel(axis, series, i, k, table, "interval" if intervals is None else f"{100 * intervals:.3g} % interval")
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside upper left", ncols=3)
    axes[0].set_title(f"{series.name}: forecast by {method}", loc="left", fontsize=11)
    figure.savefig(file, format="png", dpi=110)


def _panel(axis: Any, series: Domain, i: int, k: int, table: pd.DataFrame, interval: str) -> None:
    identity, channel = str(series.ids[i]), channels_of(series)[k]  # type: ignore[index]
    rows = table[(table.series == identity) & (table.channel == channel)]
    times, values = grid_of(series, i).times, np.asarray(series.x[i])[:, k]
    shown = min(max(SHOWN * len(rows), 32), len(values))
    axis.plot(times[-shown:], values[-shown:], color="0.35", linewidth=1.0, label="known")
    axis.plot(rows.time, rows.forecast, color="#00796b", linewidth=1.6, label="forecast")
    if "low" in rows:
        axis.fill_between(rows.time, rows.low, rows.high, color="#00796b", alpha=0.18, linewidth=0, label=interval)
    axis.set_ylabel(channel if len(series) == 1 else f"{identity}\n{channel}", fontsize=9)
    axis.grid(alpha=0.25, linewidth=0.5)
    axis.tick_params(labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
