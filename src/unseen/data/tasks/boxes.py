"""Boxes with classes: detection."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.tasks.base import check_indices, objects
from unseen.data.tasks.tables import Rows


class _Boxes(Rows):
    name = "boxes"
    summary = "rows of left, top, right, bottom (pixels) and a class, of shape (boxes, 5)"
    widths = (5,)

    def _check_rows(self, rows: NDArray[Any], classes: ClassSpace | None) -> None:
        if (rows[:, 2:4] < rows[:, :2]).any():
            bad = rows[(rows[:, 2:4] < rows[:, :2]).any(axis=1)][0]
            raise ValueError(f"a box ends before it begins: {bad[:4].tolist()}")
        if (rows[:, 4] != np.floor(rows[:, 4])).any():
            raise TypeError("its last column holds numbers that are no integers")
        check_indices(rows[:, 4].astype(np.int64), classes)

    def example(self, n: int, seed: int = 0, n_classes: int = 3) -> NDArray[Any]:
        rng = np.random.default_rng(seed)

        def boxes(k: int) -> NDArray[Any]:
            corner = rng.uniform(0, 4, (k, 2))
            return np.hstack([corner, corner + rng.uniform(1, 4, (k, 2)), rng.integers(0, n_classes, (k, 1))])

        return objects(boxes(i % 3) for i in range(1, n + 1))


TASK = _Boxes()
