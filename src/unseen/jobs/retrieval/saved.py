"""A saved ranker, asked for the documents of queries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.jobs import Ask, Samples, SavedModel


def opened(folder: Path) -> Ask:
    """Rows of a query: documents, the best first, with rank, score and text."""
    from unseen.data.rankings import NOTHING
    from unseen.jobs.retrieval.job import Searcher

    searcher = Searcher.load(folder)

    def ask(queries: Sequence[str], top: int) -> list[list[dict[str, Any]]]:
        ranking = searcher.method.rank(list(queries), top)
        return [
            [
                _row(rank, str(searcher.names[d]), score, str(searcher.method.index_.texts[d]))
                for rank, (d, score) in enumerate(zip(documents, scores), 1)
                if d != NOTHING
            ]
            for documents, scores in zip(ranking.documents.tolist(), ranking.scores.tolist())
        ]

    return ask


def _row(rank: int, document: str, score: float, text: str) -> dict[str, Any]:
    answer = f"{rank}. {document}  {' '.join(text.split())[:80]}"
    return {"answer": answer, "rank": rank, "document": document, "score": round(score, 6), "text": text}


def read(path: str) -> Samples:
    """Queries of a table or of lines."""
    from unseen.data.rankings import read_queries

    read = read_queries(path)
    queries = read.x.tolist()
    return Samples(queries, queries, read.skipped)


SAVED = SavedModel(
    what="a ranker",
    command="unseen rank QUERIES --model {folder}",
    holds=lambda names: "ranks" in names,
    reads="text",
    tells="documents for a query",
    opened=opened,
    read=read,
)
