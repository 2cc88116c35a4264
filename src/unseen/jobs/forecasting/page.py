"""A forecast as pictures and as a page: what is expected, and what the same method would have said in the past."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.data.series import channels_of, grid_of
from unseen.report.pages import FIGURES, image_source, render_page
from unseen.runtime import replacing

if TYPE_CHECKING:
    from unseen.jobs.forecasting.job import Forecast

PANELS = 8
"""Most series and channels that are drawn."""
SHOWN = 3
"""The past that is drawn, in horizons."""
REPLAYED = 6
"""Forecasts of the past that are drawn, one behind the other."""
ROWS = 200
"""Rows of the forecast that the page shows."""
KNOWN, EXPECTED = "0.35", "#00796b"


def draw(result: Forecast, file: Path) -> None:
    """Write a PNG with a panel for every series and channel, at most `PANELS`."""
    file.write_bytes(_drawn(result, _ahead, f"{result.series.name}: forecast by {result.chosen}"))


def write_page(result: Forecast, file: str | os.PathLike[str], *, model: str = "", command: str = "") -> None:
    """Write the page, all or nothing; `model` is the folder of what was saved, as a command names it."""
    with replacing(Path(file)) as part:
        part.write_bytes(page(result, model=model, command=command))


def page(result: Forecast, *, model: str = "", command: str = "") -> bytes:
    """One HTML page that needs nothing else; names of series and columns are text, never markup."""
    rows: list[Any] = list(result.backtest.itertuples())
    best = next((row for row in rows if row.method == result.chosen), None)
    table = result.table
    return render_page(
        Path(__file__).with_name("page.html"),
        style=FIGURES,
        name=result.series.name,
        series=len(result.series),
        channels=len(channels_of(result.series)),
        horizon=result.horizon,
        first=_plain(table.time.min()),
        last=_plain(table.time.max()),
        apart=table.groupby("series").time.min().nunique() > 1,
        chosen=result.chosen,
        why=result.why,
        rows=[{**row._asdict(), "covered": not math.isnan(row.coverage)} for row in rows],
        best=best,
        compared=best is not None and math.isfinite(best.against),
        level=None if result.intervals is None or "low" not in table else 100 * result.intervals,
        ahead=_wide_and_narrow(result, _ahead),
        replayed=_wide_and_narrow(result, _replayed) if len(result.starts) else None,
        drawn_panels=min(PANELS, len(_panels(result))),
        panels=len(_panels(result)),
        several=len(result.series) > 1 or len(channels_of(result.series)) > 1,
        values=_values(table[:ROWS]),
        n=len(table),
        model=model,
        command=command,
    )


def _plain(time: Any) -> str:
    return str(time).removesuffix(" 00:00:00")


def _values(table: Any) -> list[dict[str, Any]]:
    """Rows of the forecast; an interval only where there is one."""
    rows = table.to_dict("records")
    for row in rows:
        row["time"] = _plain(row["time"])
        row["interval"] = (row["low"], row["high"]) if math.isfinite(row.get("low", math.nan)) else None
    return rows


# -- drawings ----------------------------------------------------------------------------------------------


def _panels(result: Forecast) -> list[tuple[int, int]]:
    return [(i, k) for i in range(len(result.series)) for k in range(len(channels_of(result.series)))]


def _wide_and_narrow(result: Forecast, panel: Any) -> tuple[str, str]:
    """The same drawing for a screen and for a phone."""
    wide, narrow = (image_source(_drawn(result, panel, width=width)) for width in (9.0, 4.4))
    return wide, narrow


def _drawn(result: Forecast, panel: Any, title: str = "", *, width: float = 9.0) -> bytes:
    """A PNG with a panel for every series and channel, at most `PANELS`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    places = _panels(result)[:PANELS]
    figure = Figure(figsize=(width, 2.4 * len(places) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(places), 1, squeeze=False)[:, 0]
    for axis, (i, k) in zip(axes, places):
        panel(axis, result, i, k)
        if grid_of(result.series, i).step:
            ticks = AutoDateLocator(minticks=2, maxticks=int(width) + 1)
            axis.xaxis.set(major_locator=ticks, major_formatter=ConciseDateFormatter(ticks))
        channel = channels_of(result.series)[k]
        identity = "" if len(result.series) == 1 else f"{_identity(result, i)}\n"
        axis.set_ylabel(f"{identity}{channel}", fontsize=9, parse_math=False)
        axis.grid(alpha=0.25, linewidth=0.5)
        axis.tick_params(labelsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    labelled = {label: mark for axis in axes for mark, label in zip(*axis.get_legend_handles_labels())}
    figure.legend(
        labelled.values(), labelled, fontsize=8, frameon=False, loc="outside upper left", ncols=3 if width > 5 else 2
    )
    if title:
        axes[0].set_title(title, loc="left", fontsize=11, parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _identity(result: Forecast, i: int) -> str:
    assert result.series.ids is not None
    return str(result.series.ids[i])


def _ahead(axis: Any, result: Forecast, i: int, k: int) -> None:
    """The end of what is known, and what is expected."""
    rows = result.table[
        (result.table.series == _identity(result, i)) & (result.table.channel == channels_of(result.series)[k])
    ]
    times, values = grid_of(result.series, i).times, np.asarray(result.series.x[i])[:, k]
    shown = min(max(SHOWN * len(rows), 32), len(values))
    axis.plot(times[-shown:], values[-shown:], color=KNOWN, linewidth=1.0, label="known")
    axis.plot(rows.time, rows.forecast, color=EXPECTED, linewidth=1.6, label="forecast")
    if "low" in rows:
        between = "interval" if result.intervals is None else f"{100 * result.intervals:.3g} % interval"
        axis.fill_between(rows.time, rows.low, rows.high, color=EXPECTED, alpha=0.18, linewidth=0, label=between)


def _replayed(axis: Any, result: Forecast, i: int, k: int) -> None:
    """What was measured, and what the method would have said: the last forecasts that do not overlap."""
    times, values = grid_of(result.series, i).times, np.asarray(result.series.x[i])[:, k]
    starts = apart([start for owner, start in result.starts if owner == i], result.horizon)
    begin = max(0, (starts[0] if starts else len(values) - SHOWN * result.horizon) - result.horizon // 2)
    axis.plot(times[begin:], values[begin:], color=KNOWN, linewidth=1.0, label="measured")
    for start in starts:
        said = result.said[result.starts.index((i, start))][:, k]
        axis.plot(
            times[start : start + len(said)], said, color=EXPECTED, linewidth=1.6, label="what it would have said"
        )
        axis.axvline(times[start], color=EXPECTED, linewidth=0.6, linestyle=":")


def apart(starts: Sequence[int], horizon: int) -> list[int]:
    """The last of some starts, `REPLAYED` at most, each a horizon or more before the next one, in order."""
    kept: list[int] = []
    for start in sorted(starts, reverse=True):
        if len(kept) < REPLAYED and (not kept or start + horizon <= kept[-1]):
            kept.append(start)
    return kept[::-1]
