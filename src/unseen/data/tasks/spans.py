"""Stretches of a text or a recording with classes: tagging, detection of events."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.tasks.base import check_indices, objects
from unseen.data.tasks.tables import Rows


class _Spans(Rows):
    name = "spans"
    summary = "rows of start, end (behind the last) and class, integers of shape (spans, 3)"
    widths = (3,)
    whole = True

    def _check_rows(self, rows: NDArray[Any], classes: ClassSpace | None) -> None:
        wrong = (rows[:, 0] < 0) | (rows[:, 1] <= rows[:, 0])
        if wrong.any():
            raise ValueError(f"a span must begin at 0 or later and end after that; got {rows[wrong][0, :2].tolist()}")
        check_indices(rows[:, 2], classes)

    def check_learnable(self, y: NDArray[Any], samples: Any) -> None:
        """Raise if no sample has a span."""
        if not any(len(rows) for rows in y):
            raise ValueError("must hold at least one span; no sample has any")

    def example(self, n: int, seed: int = 0, n_classes: int = 3) -> NDArray[Any]:
        rng = np.random.default_rng(seed)

        def spans(k: int) -> NDArray[Any]:
            starts = np.arange(k) * 10 + rng.integers(0, 5, k)
            return np.stack([starts, starts + rng.integers(1, 5, k), rng.integers(0, n_classes, k)], axis=1)

        return objects(spans(i % 4) for i in range(1, n + 1))


TASK = _Spans()
