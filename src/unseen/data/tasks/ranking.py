"""Which documents are relevant to a query, and how much: retrieval."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.tasks.base import objects
from unseen.data.tasks.tables import Rows


class _Ranking(Rows):
    name = "ranking"
    summary = "rows of a document (its place in the corpus) and its grade of relevance, integers of shape (judged, 2)"
    widths = (2,)
    whole = True

    def _check_rows(self, rows: NDArray[Any], classes: ClassSpace | None) -> None:
        if rows.size and rows.min() < 0:
            raise ValueError(f"places and grades must not be negative; got {rows.min()}")
        documents, counts = np.unique(rows[:, 0], return_counts=True)
        if (counts > 1).any():
            raise ValueError(f"document {documents[counts.argmax()]:g} is judged {counts.max()} times")

    def _tells(self, label: NDArray[Any]) -> bool:
        return bool((label[:, 1] > 0).any())  # no order is better than another where nothing is relevant

    def example(self, n: int, seed: int = 0, n_classes: int = 3) -> NDArray[Any]:
        rng = np.random.default_rng(seed)
        documents = max(n, 6)
        return objects(
            np.stack([rng.permutation(documents)[: 2 + i % 2], np.arange(1, 3 + i % 2)], axis=1) for i in range(n)
        )


TASK = _Ranking()
