"""Classes of the nodes of a graph as a page: how often they are right, beside simple ways, and where they are not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.text_graphs import TextAttributedGraph
from unseen.jobs.nodes.grading import rows_to_grade
from unseen.report.pages import render_page
from unseen.report.plots import bars_of
from unseen.report.tasks.ranking import shortened

if TYPE_CHECKING:
    from unseen.jobs.nodes.job import NodesRun

SHOWN = 20
"""Nodes that are shown with their texts, and pairs whose link is scored."""
EACH = 3
"""Nodes of a class that are shown, where no label grades."""
CLASSES = 200
"""Classes that the table has."""
ARMS = {
    "own text": "compares class sentences with the node's text",
    "neighbours": "compares class sentences with the mean of its neighbours' texts",
    "own and neighbours": "compares class sentences with its text and its neighbours'",
    "logistic regression": "learnt from the same labels, on texts and neighbours",
}
"""What each simple way does; what is not here is the method."""
LINKS = {
    "own text": "how alike both texts are",
    "own and neighbours": "how alike both texts are, together with their neighbours'",
    "common neighbours": "how many neighbours both have",
}
"""What those do that score links."""
NOTHING = ("own text", "neighbours", "own and neighbours", "common neighbours")
"""What learns nothing."""


def page(run: NodesRun, graph: TextAttributedGraph, support: NDArray[np.int64], command: str = "") -> bytes:
    """One HTML page that needs nothing else; names and texts of nodes are text, never markup.

    Parameters
    ----------
    run : NodesRun
    graph : TextAttributedGraph
        What was classified.
    support : int array
        The nodes whose labels were learnt from, which grade nothing.
    command : str
        That is to be repeated.
    """
    results, table = run.results, run.table
    graded: Mapping[str, Mapping[str, Any]] = results["graded"]
    order = sorted(graded, key=lambda name: -graded[name]["accuracy"])
    classes = sorted(results["by_class"].items(), key=lambda item: (-item[1]["labelled"], -item[1]["named"]))
    most = max(row["labelled"] for _, row in classes)
    links = dict(sorted(results.get("links", {}).items(), key=lambda item: -item[1]))
    wrong = _wrong(run, graph, support)
    return render_page(
        Path(__file__).with_name("page.html"),
        results=results,
        graph=graph.name,
        method=results["method"],
        chosen=results["chosen"],
        figures=[{"name": name, "what": ARMS.get(name, "learnt from summaries"), **graded[name]} for name in order],
        best=graded.get(results["chosen"]),
        bars=_bars(graded, order, results["chosen"]) if graded else None,
        most=(classes[0][0], most / sum(row["labelled"] for _, row in classes)) if most else None,
        classes=classes[:CLASSES],
        hidden=len(classes) - len(classes[:CLASSES]),
        silent=int((table["class"] == "").sum()),
        link_bars=bars_of(links, "AUC", chosen=results["method"], floor=NOTHING, in_percent=False) if links else None,
        link_what=[(name, LINKS.get(name, "how alike both subgraphs are"), links[name]) for name in links],
        pairs=[]
        if run.links is None
        else run.links.sort_values("score", ascending=False).head(SHOWN).to_dict("records"),
        n_pairs=0 if run.links is None else len(run.links),
        nodes=[_node(run, graph, i) for i in (wrong if graded else _some(run)).tolist()[:SHOWN]],
        n_wrong=len(wrong),
        command=command,
    )


def _bars(graded: Mapping[str, Mapping[str, Any]], order: list[str], chosen: str) -> dict[str, Any]:
    accuracies = {name: graded[name]["accuracy"] for name in order}
    intervals = {name: graded[name]["interval"] for name in order}
    return bars_of(accuracies, "right, %", chosen=chosen, floor=NOTHING, intervals=intervals)


def _wrong(run: NodesRun, graph: TextAttributedGraph, support: NDArray[np.int64]) -> NDArray[np.int64]:
    """Nodes that have another label than their class, the surest first."""
    rows = rows_to_grade(graph, support)
    if not len(rows):
        return rows
    assert graph.labels is not None
    truth = np.array(run.results["classes"])[graph.labels[rows]]
    rows = rows[run.table["class"].to_numpy()[rows] != truth]
    return rows[np.argsort(-run.table["probability"].to_numpy()[rows], kind="stable")]


def _some(run: NodesRun) -> NDArray[np.int64]:
    """A few nodes of each class, those first that are least sure of all that are shown."""
    table = run.table[run.table["class"] != ""]
    drawn = table.groupby("class", sort=False).sample(frac=1, random_state=0).groupby("class", sort=False).head(EACH)
    return drawn.sort_values("probability", kind="stable").index.to_numpy()


def _node(run: NodesRun, graph: TextAttributedGraph, i: int) -> dict[str, Any]:
    """A node as the page shows it."""
    row = run.table.iloc[i]
    label = -1 if graph.labels is None else int(graph.labels[i])
    name = str(row["node"])
    return {
        "name": name,
        "text": shortened(str(graph.texts[i]).strip().removeprefix(f"{name}:")),
        "truth": run.results["classes"][label] if label >= 0 else "",
        "called": str(row["class"]),
        "sure": float(row["probability"]),
        "by_text": str(row["by_text"]),
        "neighbours": int(row["neighbours"]),
    }
