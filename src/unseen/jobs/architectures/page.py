"""What a ranking of architectures found, as a picture: which node matters, and scores beside what was measured."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN_NODES = 20
INK, TOP, BARS = "#1d3557", "#e63946", "#457b9d"


def picture(table: pd.DataFrame, nodes: pd.DataFrame, title: str = "") -> bytes:
    """A PNG of two panels.

    Parameters
    ----------
    table : DataFrame
        Columns score, uncertainty, accuracy, role: of a ranking.
    nodes : DataFrame
        Columns node, importance, uncertainty, the most important first.
    title : str
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    _nodes(left, nodes.head(SHOWN_NODES))
    _scores(right, table)
    figure.suptitle(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _nodes(axis: Axes, nodes: pd.DataFrame) -> None:
    places = np.arange(len(nodes))[::-1]
    axis.barh(places, nodes.importance, xerr=nodes.uncertainty, color=BARS, ecolor=INK, capsize=2)
    axis.set_yticks(places, nodes.node.astype(str), fontsize=8)
    axis.axvline(0, color=INK, linewidth=0.8)
    axis.set_xlabel("Kendall's tau lost when the node is shuffled (bar: one deviation)")
    axis.set_title("Which node matters")


def _scores(axis: Axes, table: pd.DataFrame) -> None:
    known = table[np.isfinite(table.accuracy)]
    for role, colour, label in (("", BARS, "not learned from"), ("trained", INK, "learned from"), ("top", TOP, "top")):
        rows = known[known.role == role]
        if len(rows):
            axis.errorbar(
                rows.score, rows.accuracy, xerr=rows.uncertainty, fmt="o", ms=4, lw=0.7, color=colour, label=label
            )
    axis.set_xlabel("score (bar: one deviation over draws, or trees, of the method)")
    axis.set_ylabel("measured accuracy")
    axis.set_title("Score and what was measured")
    if len(known):
        axis.legend(frameon=False)
