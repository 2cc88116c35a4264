"""A saved ranker, asked for the documents of queries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.jobs import SavedModel, names_in_state


def answers(folder: Path, inputs: Sequence[str], top: int) -> list[dict[str, Any]]:
    """Up to `top` rows per query: a document with its rank, score and text."""
    from unseen.data.rankings import read_queries
    from unseen.jobs.retrieval.job import Searcher

    searcher = Searcher.load(folder)
    rows = []
    for path in inputs:
        for row in searcher.rank(read_queries(path).x.tolist(), top).to_dict("records"):
            told = f"{row['rank']}. {row['document']}  {' '.join(row['text'].split())[:80]}"
            rows.append({"id": row["query"], "answer": told} | {str(name): value for name, value in row.items()})
    return rows


SAVED = SavedModel(
    "a ranker", "unseen rank QUERIES --model {folder}", lambda place: "ranks" in names_in_state(place), answers
)
