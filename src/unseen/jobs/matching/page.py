"""Matches as a page: both pictures of each pair with lines between them, and the geometry; and matchers compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.console import in_flags_here
from unseen.jobs.matching.bench import Bench
from unseen.jobs.matching.job import Matched, facts
from unseen.methods.matching.matcher import PairMatcher
from unseen.report.pages import FIGURES, image_source, render_page
from unseen.report.tasks.matches import LINES, draw


def page(results: Sequence[Matched], method: PairMatcher, matcher: str, csv: str) -> bytes:
    """The page; it needs nothing else.

    Parameters
    ----------
    results : sequence of Matched
    method : PairMatcher
        By which they were found.
    matcher : str
        What it is called.
    csv : str
        Name of the table of all matches.
    """
    shown = [pair for pair in results if pair.pictures is not None]
    return render_page(
        Path(__file__).with_name("page.html"),
        style=FIGURES,
        title=_names(results[0]) if len(results) == 1 else f"{len(results)} pairs",
        heading=_heading(results),
        matcher=matcher,
        geometry=method.geometry,
        threshold=f"{method.threshold:g}",
        limit=method.threshold,
        longest=method.longest,
        lines=LINES,
        csv=csv,
        more=len(results) - len(shown),
        pairs=[_shown(pair, method) for pair in shown],
    )


def _names(pair: Matched) -> str:
    """Both files, with their folders where these alone tell them apart."""
    first, second = Path(pair.first).name, Path(pair.second).name
    return f"{pair.first} and {pair.second}" if first == second else f"{first} and {second}"


def _heading(results: Sequence[Matched]) -> str:
    """What was found, in a line."""
    if len(results) > 1:
        return f"The same places were found in {sum(pair.found for pair in results)} of {len(results)} pairs"
    pair = results[0]
    return f"{pair.view.count:,} places were found in both" if pair.found else "no place was found in both"


def _shown(pair: Matched, method: PairMatcher) -> dict[str, Any]:
    """A pair as the page shows it; what to try stands there as the command spells it."""
    shown = facts(pair, method)
    return {**shown, "advice": [in_flags_here(tip) for tip in shown["advice"]], "picture": _drawn(pair)}


def bench_page(result: Bench, csv: str) -> bytes:
    """Matchers compared, as a page that needs nothing else; `csv` is the name of the table of all errors."""
    figures = result.told()
    ranked = sorted(figures["matchers"], key=lambda row: -row["mean"])
    return render_page(
        Path(__file__).with_name("page.html"),
        bench=figures,
        ranked=ranked,
        best=ranked[0],
        pairs=sum(figures["pairs"].values()),
        csv=csv,
    )


def _drawn(pair: Matched) -> str:
    assert pair.pictures is not None
    return image_source(draw(*pair.pictures, pair.matches.points, pair.view.inliers & pair.found), "jpeg")
