"""A segmentation as a page: what masks held, what was tried, what was chosen and why, and pictures in colours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unseen.evaluation.tasks import grades_of
from unseen.report.pages import FIGURES, render_page
from unseen.report.tasks import looks_of

if TYPE_CHECKING:
    from unseen.jobs.segmentation.job import Segmentation

SHOWN = 12
"""Pictures of the target."""


def page(result: Segmentation, command: str = "") -> bytes:
    """The page; it needs nothing else.

    Where masks of the target are there, the pictures are those with the worst, the middle and the best overlap; else
    those that come first.
    """
    looks = looks_of("mask")
    truth = result.target.y
    order = np.arange(len(result.target))
    if truth is not None and result.target.labeled.any():
        each = grades_of("mask").each(truth, result.masks, result.classes)
        ranked = np.argsort(np.nan_to_num(each, nan=2.0), kind="stable")
        order = ranked[np.unique(np.linspace(0, len(ranked) - 1, min(SHOWN, len(ranked))).round().astype(int))]
    pictures = []
    for i in order[:SHOWN].tolist():
        right = truth[i] if truth is not None else None
        source = looks.picture(result.target.x[i], result.masks[i], result.classes, right)
        pictures.append((source, str(result.target.ids[i]), looks.words(result.masks[i], result.classes)))  # type: ignore[index]
    graded = any("graded" in row for row in result.table)
    chosen = next(row for row in result.table if row["method"] == result.chosen)
    known = result.source.labels
    return render_page(
        Path(__file__).with_name("page.html"),
        style=FIGURES,
        result=result,
        rows=sorted(result.table, key=lambda row: -row["look"]),
        graded=graded,
        each=[]
        if not graded
        else [(key[5:], value) for key, value in chosen["graded"].items() if key.startswith("IoU, ")],
        figures={} if not graded else {k: v for k, v in chosen["graded"].items() if not k.startswith("IoU, ")},
        findings=[] if result.findings is None else result.findings.lines(),
        pictures=pictures,
        examples=[looks.picture(result.source.x[i], known[i], result.classes) for i in range(min(3, len(known)))],
        sure=float(np.mean([np.mean(sure) for sure in result.sure])),
        command=command,
    )
