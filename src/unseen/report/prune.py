"""What was kept and dropped, as one page: budgets beside what was wanted, and samples of each concept."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from unseen.methods.curation.concept_pruning import Budgets

SHOWN = 40
"""Concepts whose samples are shown: the most and the least complex ones."""
ROWS = 500
"""Rows of the table of concepts."""
INK, QUIET, BAR, WANTED = "#1b1d21", "#4a4e55", "#0067a6", "#b45309"
FULL = 0.5
"""Share of concepts at their upper bound from which on the page says that the budget is too large to matter."""


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
        return "" if self.jpeg is None else "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode()


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
    told : mapping
        What ``pruning.json`` holds.
    table : sequence of mapping
        A row for each concept, the most complex first.
    concepts : tuple of Concept
        Those whose samples are shown.
    plan : Budgets or None
        What was wanted and what the bounds made of it.
    sizes, budgets : array (k,) of int
    """

    name: str
    told: Mapping[str, Any]
    table: Sequence[Mapping[str, Any]]
    concepts: tuple[Concept, ...]
    plan: Budgets | None
    sizes: NDArray[np.int64]
    budgets: NDArray[np.int64]


def page(shown: Shown) -> bytes:
    """One HTML page that needs nothing else: no script, no request; names and captions are text, never markup."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    here = Path(__file__).parent
    style = "".join((here / name).read_text(encoding="utf-8") for name in ("style.css", "prune.css"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made = environment.get_template("prune.html").render(
        policy=f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; form-action 'none'",
        style=style,
        shown=shown,
        told=shown.told,
        counts=shown.told["counts"],
        settings=shown.told["settings"],
        rows=shown.table[:ROWS],
        picture="data:image/png;base64," + base64.b64encode(picture(shown)).decode(),
        full=shown.told.get("share at upper bound", 0) >= FULL,
    )
    return made.encode("utf-8", "replace")


def picture(shown: Shown) -> bytes:
    """A PNG of two panels: how much of each concept is kept, and what was wanted beside what was given."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=110, facecolor="white", layout="constrained")
    left, right = figure.subplots(1, 2)
    _fractions(left, shown)
    _budgets(right, shown)
    for axis in (left, right):
        axis.tick_params(labelsize=8, colors=QUIET)
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
    axis.set_xlabel("share of a concept that is kept, x / M")
    axis.set_ylabel("concepts")
    axis.set_title("How much of each concept is kept", loc="left", fontsize=11, color=INK)


def _budgets(axis: Axes, shown: Shown) -> None:
    if shown.plan is None:
        order = np.argsort(-shown.budgets, kind="stable")
        axis.bar(np.arange(len(order)), shown.budgets[order], width=1.0, color=BAR, label="kept")
    else:
        order = np.argsort(-shown.plan.wanted, kind="stable")
        places = np.arange(len(order))
        axis.bar(places, shown.plan.exact[order], width=1.0, color=BAR, label="budget x")
        axis.plot(places, shown.plan.wanted[order], color=WANTED, linewidth=1.4, label="wanted, P n")
        axis.plot(places, shown.sizes[order], ".", color=QUIET, markersize=2, label="members M")
        axis.set_ylim(0, 1.15 * max(float(shown.plan.exact.max()), float(shown.plan.wanted.max()), 1.0))
    axis.set_xlabel("concepts, the largest share first")
    axis.set_ylabel("samples")
    axis.set_title("What was wanted and what was given", loc="left", fontsize=11, color=INK)
    axis.legend(frameon=False, fontsize=8)
