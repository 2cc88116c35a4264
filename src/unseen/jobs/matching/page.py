"""Matches as a page: both pictures of each pair with lines between them, and the geometry; and matchers compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unseen.jobs.matching.bench import Bench
from unseen.jobs.matching.job import Matched, told
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
    shown = [one for one in results if one.pictures is not None]
    n = sum(one.found for one in results)
    single = results[0].view.count if len(results) == 1 else 0
    return render_page(
        Path(__file__).with_name("page.html"),
        style=FIGURES,
        title=results[0].name if len(results) == 1 else f"{len(results)} pairs",
        heading=("no match" if not n else f"{single} matches") if len(results) == 1 else f"{n} matched",
        matcher=matcher,
        geometry=method.geometry,
        threshold=f"{method.threshold:g}",
        longest=method.longest,
        lines=LINES,
        csv=csv,
        more=len(results) - len(shown),
        pairs=[{**told(one, method), "picture": _drawn(one)} for one in shown],
    )


def bench_page(result: Bench, csv: str) -> bytes:
    """Matchers compared, as a page that needs nothing else; `csv` is the name of the table of all errors."""
    told = result.told()
    order = sorted(told["matchers"], key=lambda one: -one["mean"])
    return render_page(
        Path(__file__).with_name("page.html"),
        bench=told,
        order=order,
        best=order[0],
        pairs=sum(told["pairs"].values()),
        csv=csv,
    )


def _drawn(one: Matched) -> str:
    assert one.pictures is not None
    return image_source(draw(*one.pictures, one.matches.points, one.view.inliers & one.found), "jpeg")
