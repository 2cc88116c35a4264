"""Stylistic shift as a picture or a page: a map of how far every two domains are, beside how consistent each is."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unseen.diagnosis.stylistic import StylisticShift
from unseen.report.pages import FIGURES, HERE, image_source, render_page
from unseen.runtime import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, QUIET, BAR = "#1b1d21", "#4a4e55", "#0067a6"
LONGEST = 22
"""Characters of a name along the map."""
LARGEST = math.log(2)
"""The divergence of pictures that share nothing, the darkest colour: maps of several runs are comparable."""


def write(file: Path, shift: StylisticShift) -> None:
    """Write a page (.html) that needs nothing else, or a picture (.png), all or nothing.

    Raises
    ------
    ValueError
        If the file ends otherwise.
    """
    if file.suffix not in (".html", ".png"):
        raise ValueError(f"out must end in .html or .png; got {str(file)!r}")
    content = picture(shift) if file.suffix == ".png" else _page(shift)
    with replacing(file) as temporary:
        temporary.write_bytes(content)


def lines(shift: StylisticShift) -> list[str]:
    """A table of domains and one of pairs, as text."""
    rows = [("domain", "samples", "ICV", "interval")]
    for name in shift.names:
        icv = shift.icv[name]
        value = ("-", "") if icv is None else (f"{icv.value:.3f}", f"{icv.low:.3f} to {icv.high:.3f}")
        rows.append((name, str(shift.samples[name]), *value))
    pairs = [("domains", "IDD", "interval", "beyond ICV", "Frechet", "compared")]
    for (a, b), between in shift.idd.items():
        extra, distance = shift.beyond[a, b], shift.frechet[a, b]
        pairs.append(
            (
                f"{a}, {b}",
                f"{between.value:.3f}",
                f"{between.low:.3f} to {between.high:.3f}",
                "-" if extra is None else f"{extra:.3f}",
                "-" if distance is None else f"{distance:.1f}",
                "within classes" if between.by_class else "all samples",
            )
        )
    return [*_columns(rows), "", *_columns(pairs)]


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


FEW = 5
"""Domains whose names and figures fit beside each other on a phone."""


def picture(shift: StylisticShift, *, narrow: bool = False) -> bytes:
    """The map of IDD and the bars of ICV beside it, or below it where it is narrow, as a PNG."""
    from matplotlib.figure import Figure

    k = len(shift.names)
    side = max(3.2, 0.75 * k + 1.6)
    if narrow:
        figure = Figure(figsize=(3.6, 4.4 + 0.3 * k), dpi=200, facecolor="white", layout="constrained")
        left, right = figure.subplots(2, 1, height_ratios=(3.0, 1.4 + 0.3 * k))
    else:
        figure = Figure(figsize=(2 * side + 1.2, side), dpi=120, facecolor="white", layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _map(left, shift)
    _bars(right, shift)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _map(axis: Axes, shift: StylisticShift) -> None:
    """IDD of every pair; the diagonal is empty, since ICV is another thing."""
    table = shift.matrix()
    np.fill_diagonal(table, np.nan)
    axis.imshow(table, cmap="Blues", vmin=0.0, vmax=LARGEST)
    for i, j in np.argwhere(np.isfinite(table)).tolist():
        dark = table[i, j] > 0.6 * LARGEST
        axis.text(j, i, f"{table[i, j]:.3f}", ha="center", va="center", fontsize=9, color="white" if dark else INK)
    names = [_short(name) for name in shift.names]
    axis.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor", fontsize=9)
    axis.set_yticks(range(len(names)), names, fontsize=9)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title("IDD: how far two domains are", fontsize=10, color=INK, loc="left")


def _bars(axis: Axes, shift: StylisticShift) -> None:
    """ICV of every domain with its interval."""
    for i, name in enumerate(shift.names):
        icv = shift.icv[name]
        if icv is None:
            axis.text(0, i, " no class of two pictures", va="center", fontsize=8, color=QUIET)
            continue
        axis.barh(i, icv.value, height=0.55, color=BAR)
        axis.plot([icv.low, icv.high], [i, i], color=INK, linewidth=1)
        axis.text(icv.high, i, f" {icv.value:.3f}", va="center", fontsize=9, color=INK)
    axis.set_yticks(range(len(shift.names)), [_short(name) for name in shift.names], fontsize=9)
    axis.set_ylim(len(shift.names) - 0.5, -0.5)
    highest = max((icv.high for icv in shift.icv.values() if icv is not None), default=1.0)
    axis.set_xlim(0, 1.2 * (highest or 1.0))
    axis.tick_params(length=0, labelsize=9)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.set_title("ICV: how much pictures of a class differ", fontsize=10, color=INK, loc="left")
    axis.set_xlabel("divergence", fontsize=9, color=QUIET)


def _short(name: str) -> str:
    shown = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
    return shown.replace("$", r"\$")  # no formula


def _page(shift: StylisticShift) -> bytes:
    narrow = image_source(picture(shift, narrow=True)) if len(shift.names) <= FEW else ""
    drawing = (image_source(picture(shift)), narrow)
    return render_page(HERE / "shift.html", style=FIGURES, shift=shift, beyond=shift.beyond, picture=drawing)
