"""A picture of the choice without labels: each family of the benchmark, before and after, and what labels choose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

ARMS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("nothing (source-only)", {"marker": "o", "mfc": "white", "mec": "#8a6a4f", "ms": 5}),
    ("chosen without labels", {"marker": "o", "color": "#005f9e", "ms": 6}),
    ("best single method, by the labels", {"marker": "|", "color": "#1d6b5f", "ms": 10, "mew": 2}),
)


def draw(reached: Mapping[str, tuple[float, float, float]], file: Path) -> None:
    """Write an SVG: for each family the accuracies of `ARMS`, in [0, 1], the largest gain above."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    families = sorted(reached, key=lambda name: reached[name][1] - reached[name][0])
    values = 100 * np.array([reached[name] for name in families])
    y = np.arange(len(families))
    with mpl.rc_context({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "unseen"}):
        figure = Figure(figsize=(7.2, 5.6))
        axes = figure.subplots()
        axes.hlines(y, values[:, 0], values[:, 1], color="#9cc5cf", lw=3)
        for column, (label, look) in zip(values.T, ARMS):
            axes.plot(column, y, ls="", label=label, **look)
        axes.set_yticks(y, families)
        axes.set_xlim(20, 100)
        axes.set_xlabel("% right of the target, mean of a family's cases")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e5e5e5")
        axes.set_axisbelow(True)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
        figure.tight_layout()
        figure.savefig(file, format="svg", metadata={"Date": None})
