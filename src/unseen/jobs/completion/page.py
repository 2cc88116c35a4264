"""Tails of relations without triples as a page: how well held-out ones are ranked, and the first tails of queries."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.report.pages import render_page
from unseen.report.plots import bars_of
from unseen.runtime import replacing

if TYPE_CHECKING:
    from unseen.jobs.completion.job import Completion

QUERIES = 40
"""Queries that are shown."""
TAILS = 5
"""Tails of a query that are shown."""
COMMON, RANDOM = "commonest tails first", "random order"
WHAT = {
    COMMON: "those that other relations have most often; it knows nothing of the relation",
    RANDOM: "what guessing gives",
}
STYLE = """
.queries { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem 1.6rem; }
.queries h4 { font: 600 0.88rem/1.4 var(--sans); margin: 0; }
.queries ol { margin: 0; padding-left: 1.5rem; font-size: 0.88rem; }
.relation + .relation { border-top: 1px solid var(--rule); margin-top: 1.2rem; padding-top: 1.2rem; }
.relation h3 { margin: 0 0 0.2rem; }
.relation .note { margin-bottom: 0.8rem; }
"""


def write_page(completion: Completion, file: str | os.PathLike[str], *, table: str = "", command: str = "") -> None:
    """Write the page, all or nothing.

    Parameters
    ----------
    completion : Completion
    file : path
    table : str
        What the file with all tails is called.
    command : str
        That is to be repeated.
    """
    with replacing(Path(file)) as part:
        part.write_bytes(page(completion, table, command))


def page(completion: Completion, table: str = "", command: str = "") -> bytes:
    """One HTML page that needs nothing else; names of entities and relations are text, never markup."""
    check, slug = completion.check, completion.method.card.slug
    graph, asked = completion.graph, completion.table
    queries = list(dict.fromkeys(zip(asked["head"].tolist(), asked["relation"].tolist())))
    figures: dict[str, float] = {}
    if check is not None:
        figures = {**check["methods"], COMMON: check["frequent mrr"], RANDOM: check["random mrr"]}
        figures = dict(sorted(figures.items(), key=lambda item: -item[1]))
    return render_page(
        Path(__file__).with_name("page.html"),
        style=STYLE,
        graph={
            "name": graph.pairs.name,
            "triples": len(graph.pairs),
            "entities": len(graph.entities),
            "relations": len(graph.relations),
        },
        method=slug,
        check=check,
        of=0 if check is None else sum(row["triples"] for row in check["by relation"].values()),
        figures=[(name, WHAT.get(name, "ranks by what is said of the relation"), figures[name]) for name in figures],
        bars=bars_of(figures, "MRR", chosen=slug, floor=(COMMON, RANDOM), in_percent=False) if figures else None,
        relations=_by_relation(check),
        unasked=[] if check is None else [name for name in check["relations"] if name not in check["by relation"]],
        asked=_by_asked(completion, queries[:QUERIES]),
        shown=min(len(queries), QUERIES),
        n_queries=len(queries),
        nothing_left=len(completion.nothing_left),
        params={name: value for name, value in completion.method.get_params().items() if name != "random_state"},
        about=0 if completion.relations.ontology is None else len(completion.relations.ontology.triples),
        table=table,
        command=command,
    )


def _by_relation(check: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The relations that were held out, the worst ranked first."""
    rows = [] if check is None else [{"name": name, **row} for name, row in check["by relation"].items()]
    return sorted(rows, key=lambda row: row["mrr"])


def _by_asked(completion: Completion, queries: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """The relations that are asked for: by which known ones each is answered, and the first tails of its heads."""
    first = completion.table[completion.table["rank"] <= TAILS]
    tails: dict[tuple[str, str], dict[str, float]] = {query: {} for query in queries}
    for head, relation, tail, score in zip(*(first[name].tolist() for name in ("head", "relation", "tail", "score"))):
        if (head, relation) in tails:
            tails[head, relation][tail] = score
    out: dict[str, dict[str, Any]] = {}
    for head, relation in queries:
        row = out.setdefault(relation, {"name": relation, "by": completion.answered.get(relation), "heads": []})
        row["heads"].append((head, list(tails[head, relation].items())))
    return list(out.values())
