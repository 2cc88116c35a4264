"""A saved mapper, asked for the nodes of phrases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.jobs import Ask, Samples, SavedModel


def opened(folder: Path) -> Ask:
    """Rows of a phrase: nodes, the nearest first, with rank, name, score and path to the root."""
    from unseen.jobs.mapping.job import Mapper

    mapper = Mapper.load(folder)

    def ask(phrases: Sequence[str], top: int) -> list[list[dict[str, Any]]]:
        rows: list[list[dict[str, Any]]] = []
        table = mapper.map(phrases, k=top)
        columns = ("rank", "node", "name", "score", "path")
        for rank, node, name, score, path in zip(*(table[column].tolist() for column in columns)):
            if rank == 1:
                rows.append([])
            answer = f"{name}  {score:.3f}  ({path})" if node else "no node"
            value = score if node else None
            rows[-1].append({"answer": answer, "rank": rank, "node": node, "name": name, "score": value, "path": path})
        return rows

    return ask


def read(path: str) -> Samples:
    """Phrases of a table or of lines."""
    from unseen.jobs.mapping.job import read_phrases

    phrases = read_phrases(path)
    return Samples(phrases, phrases)


SAVED = SavedModel(
    what="a mapper of phrases to a taxonomy",
    command="unseen map PHRASES --model {folder}",
    holds=lambda names: {"above", "starts", "method"} <= names.keys(),
    reads="text",
    tells="nodes of a taxonomy",
    opened=opened,
    read=read,
)
