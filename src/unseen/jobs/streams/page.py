"""A stream as a page and as lines: the table of stages and tasks, and what was forgotten, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.evaluation.metrics.continual import stream_scores
from unseen.report.pages import render_page

if TYPE_CHECKING:
    from unseen.jobs.streams.job import History

HOW = {
    ("stream-ridge", "heads"): "One linear layer on frozen features learns; it is what all tasks together would give.",
    ("stream-ridge", "all"): "One linear layer behind the frozen image tower learns; it is what all tasks would give.",
    ("zscl", "heads"): "New last layers on frozen features learn.",
    ("zscl", "all"): "Both towers learn.",
}
STYLE = """
td.learnt { font-weight: 600; }
td.before { opacity: .75; }
"""


def page(history: History) -> bytes:
    """The page that stands beside the model."""
    stages, names, matrix = history.table()
    learnt = history.learnt
    rows = []
    for i, stage in enumerate(stages):
        cells = [
            {"text": percent(value), "kind": "learnt" if name in stages[: i + 1] else "before"}
            for name, value in zip(names, matrix[i])
        ]
        rows.append({"stage": stage, "cells": cells})
    return render_page(
        Path(__file__).with_name("page.html"), style=STYLE, rows=rows, names=with_counts(names, history), learnt=learnt,
        lines=told(history), summary=summary(history),
        encoder=_short(history.encoder), how=HOW.get((history.method, history.train), ""), method=history.method,
    )  # fmt: skip


def _short(encoder: str) -> str:
    """An encoder's name without the folders in which its weights lie."""
    kind, sign, rest = encoder.partition(":")
    parts = [part for part in rest.split("/") if part]
    shown = rest if len(parts) < 3 else f"{parts[0]}/{parts[-1]}" if not rest.startswith("/") else parts[-1]
    return f"{kind}{sign}{shown}"


def percent(value: float) -> str:
    """A share as a percentage; a dash where nobody asked."""
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def lines(history: History) -> list[str]:
    """The table for a terminal."""
    stages, names, matrix = history.table()
    head = ["after", *with_counts(names, history)]
    body = [[stage, *(percent(value) for value in row)] for stage, row in zip(stages, matrix)]
    widths = [max(len(row[k]) for row in (head, *body)) for k in range(len(head))]
    return ["  ".join(cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths)))
            for row in (head, *body)]  # fmt: skip


def with_counts(names: Sequence[str], history: History) -> list[str]:
    """Tasks with how many of their samples are asked about."""
    exams = {task["name"]: task["exam"] for task in history.tasks}
    return [f"{name} ({exams[name]:,})" if name in exams else name for name in names]


def told(history: History, *, figures: bool = True) -> list[str]:
    """What it can do now on each task, and what it forgot, in sentences; `figures` adds those that papers give."""
    _, names, matrix = history.table()
    sentences = []
    for name, column in zip(names, matrix.T):
        sentences.append(_of_task(name, column, history))
    means = scores(history) if figures else None
    if means is not None:
        sentences.append(
            f"as papers tell it (MTIL), over the {len(history.learnt)} tasks that were learnt: transfer "
            f"{100 * means['transfer']:.1f} % (before a task is learnt), average "
            f"{100 * means['average']:.1f} % (over all "
            f"stages), last {100 * means['last']:.1f} % (at the end)"
        )
    return sentences


def summary(history: History) -> str:
    """What the tasks that were learnt, and the others, have gained and lost, in a line."""
    _, names, matrix = history.table()
    measured = [(name, column) for name, column in zip(names, matrix.T) if not np.isnan(column[[0, -1]]).any()]
    parts = []
    for group, columns in (
        ("the tasks learnt", [column for name, column in measured if name in history.learnt]),
        ("the others", [column for name, column in measured if name not in history.learnt]),
    ):
        if columns:
            now, start = (float(np.mean([column[k] for column in columns])) for k in (-1, 0))
            parts.append(f"{group} {percent(now)} %, {percent(start)} % at the start")
    return f"Right on average, of {'; of '.join(parts)}." if parts else ""


def scores(history: History) -> dict[str, float] | None:
    """MTIL's figures over the tasks learnt; None of one task, or where a stage was not asked about all of them."""
    _, names, matrix = history.table()
    learnt = [names.index(name) for name in history.learnt]
    accuracies = matrix[1:][:, learnt]
    if len(learnt) < 2 or accuracies.shape[0] != accuracies.shape[1] or np.isnan(accuracies).any():
        return None
    return stream_scores(accuracies)


def _of_task(name: str, column: Any, history: History) -> str:
    """One task: now, at the zero-shot start, and the best since it was learnt."""
    now, start = column[-1], column[0]
    if math.isnan(now):
        seen = [value for value in column if not math.isnan(value)]
        return f"{name}: not asked about now, {percent(seen[-1])} % when it was last; name its folder again to see it"
    if name not in history.learnt:
        moved = f"{100 * (now - start):+.1f}"
        sentence = f"{name}: {percent(now)} % now, {percent(start)} % at the start ({moved} points); not learnt"
        return sentence + _among_all(name, history)
    after = next(i for i, row in enumerate(history.rows) if row["after"] == name)
    best = np.nanmax(column[after:])
    lost = f"{100 * (best - now):.1f} points less than when it was best" if best > now else "nothing is forgotten"
    return f"{name}: {percent(now)} % now, {percent(start)} % at the start; {lost}{_among_all(name, history)}"


def _among_all(name: str, history: History) -> str:
    """What the saved model reaches, which is not told of which task a sample is."""
    if name not in history.whole or len(history.learnt) < 2:
        return ""
    return f"; {percent(history.whole[name])} % among all {history.classes} classes that were learnt"
