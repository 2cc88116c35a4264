"""A saved mapper, asked for the nodes of phrases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.jobs import SavedModel, names_in_state


def answers(folder: Path, inputs: Sequence[str], top: int) -> list[dict[str, Any]]:
    """Up to `top` rows per phrase: a node with its rank, name, score and path to the root."""
    from unseen.jobs.mapping.job import Mapper, read_phrases

    mapper = Mapper.load(folder)
    rows = []
    for path in inputs:
        for row in mapper.map(read_phrases(path), k=top).to_dict("records"):
            told = f"{row['name']}  {row['score']:.3f}  ({row['path']})" if row["node"] else "no node"
            rows.append({"id": row["phrase"], "answer": told} | {str(name): value for name, value in row.items()})
    return rows


SAVED = SavedModel(
    "a mapper of phrases to a taxonomy",
    "unseen map PHRASES --model {folder}",
    lambda place: {"above", "starts", "method"} <= names_in_state(place).keys(),
    answers,
)
