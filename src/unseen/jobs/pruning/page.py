"""What was kept and dropped, as one page: budgets beside what was wanted, and samples of each concept."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.report.pages import FIGURES, image_source, render_page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from unseen.nn.concepts import Budgets

SHOWN = 40
"""Concepts whose samples are shown: the most and the least complex ones."""
ROWS = 500
"""Rows of the table of concepts."""
INK, QUIET, BAR, WANTED = "#1b1d21", "#4a4e55", "#0067a6", "#b45309"
FULL = 0.5
"""Share of concepts that are kept whole from which on the page says that the budget is too large to matter."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """A sample as it is shown: its id, its caption, 1 - cosine to the centroid, and a small JPEG or None."""

    name: str
    text: str
    distance: float
    jpeg: bytes | None

    @property
    def source(self) -> str:
        """The picture as an address, empty without one."""
        return "" if self.jpeg is None else image_source(self.jpeg, "jpeg")


@dataclasses.dataclass(frozen=True)
class Concept:
    """A row of the table of concepts with some of its samples, the farthest from the centroid first."""

    row: Mapping[str, Any]
    kept: tuple[Sample, ...]
    dropped: tuple[Sample, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """All that the page shows.

    Attributes
    ----------
    name : str
        Of the data.
    record : mapping
        What ``pruning.json`` holds.
    table : sequence of mapping
        A row for each concept, the most complex first.
    concepts : tuple of Concept
        Those whose samples are shown.
    plan : Budgets or None
        What was wanted and what the bounds made of it.
    sizes, budgets : array (k,) of int
    explanation : str
        How the samples were chosen, in a few sentences.
    """

    name: str
    record: Mapping[str, Any]
    table: Sequence[Mapping[str, Any]]
    concepts: tuple[Concept, ...]
    plan: Budgets | None
    sizes: NDArray[np.int64]
    budgets: NDArray[np.int64]
    explanation: str


LABELS = {
    "kept": "kept",
    "no embedding": "no embedding: zero, or too long",
    "similarity": "caption too unlike the picture",
    "duplicate": "near-duplicate of one that stayed",
    "budget": "beyond the budget of its concept",
    "prototypical": "nearer to the middle of its concept than those that are kept",
    "hard": "farther from the middle of its concept than those that are kept",
    "not drawn": "not drawn",
    "less similar": "caption less similar than those that are kept",
}
"""What the page says for each count; why a plug-in's method drops samples stands as it is."""


def page(shown: Shown) -> bytes:
    """One HTML page that needs nothing else: no script, no request; names and captions are text, never markup."""
    folder = Path(__file__).parent
    return render_page(
        folder / "page.html",
        style=FIGURES + (folder / "page.css").read_text(encoding="utf-8"),
        shown=shown,
        record=shown.record,
        counts=shown.record["counts"],
        settings=shown.record["settings"],
        labels={**{name: name for name in shown.record["counts"]}, **LABELS},
        explained=shown.explanation,
        rows=shown.table[:ROWS],
        picture=(image_source(picture(shown)), image_source(picture(shown, narrow=True))),
        full=shown.plan is not None and shown.record.get("concepts kept whole", 0) >= FULL * shown.record["concepts"],
    )


def picture(shown: Shown, *, narrow: bool = False) -> bytes:
    """A PNG of two panels, below each other where it is narrow: how much of each concept is kept, wanted and given."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    size, dpi, grid = ((3.6, 6.0), 200, (2, 1)) if narrow else ((11, 4.2), 110, (1, 2))
    figure = Figure(figsize=size, dpi=dpi, facecolor="white", layout="constrained")
    left, right = figure.subplots(*grid)
    _fractions(left, shown)
    _budgets(right, shown)
    for axis in (left, right):
        axis.tick_params(labelsize=8, colors=QUIET)
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))  # concepts and samples are whole
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _fractions(axis: Axes, shown: Shown) -> None:
    there = shown.sizes > 0
    axis.hist(
        shown.budgets[there] / shown.sizes[there], bins=np.linspace(0, 1, 21).tolist(), color=BAR, edgecolor="white"
    )
    axis.set_xlabel("share of its samples that a concept keeps")
    axis.set_ylabel("concepts")
    axis.set_title("How much of each concept is kept", loc="left", fontsize=11, color=INK)


def _budgets(axis: Axes, shown: Shown) -> None:
    from matplotlib.ticker import MaxNLocator

    if shown.plan is None:
        order = np.argsort(-shown.budgets, kind="stable")
        axis.bar(np.arange(len(order)), shown.budgets[order], width=1.0, color=BAR, label="kept")
    else:
        order = np.argsort(-shown.plan.wanted, kind="stable")
        places = np.arange(len(order))
        wanted = np.round(shown.plan.wanted[order])
        axis.bar(places, shown.budgets[order], width=1.0, color=BAR, label="kept")
        axis.plot(places, wanted, color=WANTED, linewidth=1.4, label="wanted")
        axis.plot(
            places, shown.sizes[order], ".", color=QUIET, markersize=4, label="all its samples (dots above are cut off)"
        )
        axis.set_ylim(0, 1.15 * max(float(shown.budgets.max()), float(wanted.max()), 1.0))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("concepts in order, that which wants most first")
    axis.set_ylabel("samples")
    axis.set_title("What was wanted and what was given", loc="left", fontsize=11, color=INK)
    axis.legend(frameon=False, fontsize=8)
