"""A ranking as a page: how the systems did, whether tuning should help, queries with their first documents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.jobs.retrieval.job import Ranked, on_judgements
from unseen.report.pages import render_page
from unseen.report.tasks.ranking import first_documents, shortened
from unseen.runtime import replacing

if TYPE_CHECKING:
    import pandas as pd

QUERIES = 20
"""Queries that are shown."""
WRITTEN = 30
"""Documents that are shown with the query that was written for them."""
STYLE = """
ol.found { margin: 0.4rem 0 0; padding-left: 1.6rem; }
ol.found li { padding: 0.15rem 0; }
ol.found li.relevant { color: var(--ceiling); }
ol.found li.relevant::marker { font-weight: 700; }
.texts bdi { display: inline; max-width: none; }
article { border-top: 1px solid var(--rule); padding: 0.8rem 0; }
"""


def write_page(result: Ranked, out: Path, command: str = "") -> Path:
    """Write the page, all or nothing."""
    if not out.parent.is_dir():
        raise ValueError(f"out: there is no folder {str(out.parent)!r}")
    figures = _rows(result.figures)
    content = render_page(
        Path(__file__).with_name("page.html"),
        style=STYLE,
        corpus={"name": result.corpus.name, "n": len(result.corpus)},
        n_queries=len(result.queries),
        left_out=len(result.corpus.skipped) + len(result.queries.skipped),
        notes=result.notes,
        chosen=result.chosen,
        what=result.systems[result.chosen],
        why=result.why,
        verdict=result.verdict,
        systems=result.systems,
        check=_rows(result.check),
        figures=figures,
        judged=on_judgements(result.figures, result.chosen),
        examples=_examples(result),
        tuned=_tuned(result),
        command=command,
    )
    with replacing(out) as temporary:
        temporary.write_bytes(content)
    return out


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    if not len(table):
        return []
    return table.sort_values("ndcg@10", ascending=False, kind="stable").to_dict("records")  # type: ignore[return-value]


def _examples(result: Ranked) -> list[dict[str, Any]]:
    """Queries with the first documents of the system chosen; those with judgements first."""
    queries, ranking = result.queries, result.rankings[result.chosen]
    known = queries.labeled if queries.y is not None else np.zeros(len(queries), dtype=bool)
    order = np.argsort(~known, kind="stable")[:QUERIES]
    names = np.asarray(result.corpus.ids)
    out = []
    for i in order.tolist():
        truth = queries.y[i] if queries.y is not None and known[i] else None
        documents = first_documents(ranking.documents[i], ranking.scores[i], names, result.corpus.x, truth)
        missed = [] if truth is None else _missed(result, i, truth, ranking.documents[i])
        out.append({"query": str(queries.x[i]), "documents": documents, "missed": missed})
    return out


def _missed(result: Ranked, i: int, truth: Any, documents: Any) -> list[dict[str, str]]:
    """Relevant documents that are not among the first ten."""
    first = set(documents[:10].tolist())
    names = np.asarray(result.corpus.ids)
    gone = [d for d, grade in np.asarray(truth).tolist() if grade > 0 and d not in first]
    return [{"name": str(names[d]), "text": shortened(str(result.corpus.x[d]), 120)} for d in gone[:2]]


def _tuned(result: Ranked) -> Mapping[str, Any] | None:
    """What was learnt from: facts of the method, and documents with their queries; None where it tells nothing."""
    method = result.tuned
    if method is None or not (method.fitted.get("audit_") or method.facts()):
        return None
    audit = method.fitted.get("audit_", {name: np.zeros(0) for name in ("document", "query", "flaw")})
    rows = [
        {
            "name": str(np.asarray(result.corpus.ids)[d]),
            "text": shortened(str(result.corpus.x[d]), 120),
            "query": query,
            "flaw": flaw,
        }
        for d, query, flaw in zip(audit["document"][:WRITTEN].tolist(), audit["query"].tolist(), audit["flaw"].tolist())
    ]
    return {"facts": method.facts(), "rows": rows}
