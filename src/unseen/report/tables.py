"""Tables for the terminal: the candidates of a run, and the models that a method has learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unseen.report.words import Results, check, deviation, metric_label, number, seconds, share, verdict

if TYPE_CHECKING:
    from rich.table import Table


def teachers_table(taught: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """By method, how similar each model of a zoo is to the task, and its weight in what was distilled from it."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("method", "teacher"):
        table.add_column(column, overflow="fold")
    for column in ("similarity", "weight"):
        table.add_column(column, justify="right")
    for method, rows in taught.items():
        for row in rows:
            table.add_row(Text(method), Text(row["name"]), number(row["similarity"]), number(row["weight"]))
    return table


def rich_table(results: Results) -> Table:
    """The candidates in the order of their scores without labels, as a table for the terminal.

    Raises
    ------
    ValueError
        If the schema of `results` is not one that this version reads.
    """
    from rich.table import Table
    from rich.text import Text

    check(results)
    graded = verdict(results)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("candidate", overflow="fold")
    parts = list(results["exam"]) if graded else []
    for part in parts:
        assert graded is not None
        table.add_column(f"{metric_label(graded.metric)}, %\n{part}", justify="right")
        table.add_column("worst\nseed", justify="right")
    table.add_column("score\nwithout labels", justify="right")
    table.add_column("time", justify="right")
    for row in results["candidates"]:
        cells = []
        for part in parts:
            assert graded is not None
            spread = row["metrics"][part][graded.metric]
            cells += [f"{share(spread['mean'])} {deviation(spread)}".strip(), share(spread["worst"])]
        style = "bold" if row["chosen"] else ""
        name = Text(f"{'*' if row['chosen'] else ' '} {row['name']}")
        table.add_row(name, *cells, number(row["vote"], 2), seconds(row["seconds"]), style=style)
    return table
