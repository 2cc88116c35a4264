"""One class each: what `unseen compare` compares methods by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.tasks.base import Task

UNLABELED = -1


class _Class(Task):
    name = "class"
    summary = "a class index, -1 where it is not known"

    def check(self, y: Any, classes: ClassSpace | None = None) -> NDArray[Any]:
        y = np.asarray(y)
        if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
            raise TypeError(f"y must be a vector of integers for task='class'; got {y.dtype} of shape {y.shape}")
        if len(y) and y.min() < UNLABELED:
            raise ValueError(f"y must be -1 (no label) or a class index; got {y.min()}")
        if classes is not None and len(y) and y.max() >= len(classes):
            raise ValueError(f"y must be below the number of classes, {len(classes)}; got {y.max()}")
        return y.astype(np.int64, copy=False)

    def labeled(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray(y != UNLABELED)

    def hidden(self, n: int) -> NDArray[Any]:
        return np.full(n, UNLABELED)

    def digest(self, label: Any) -> str:
        return str(label)  # users' ledgers count the openings of exams by it

    def example(self, n: int, seed: int = 0, n_classes: int = 3) -> NDArray[Any]:
        return np.arange(n) % n_classes


TASK = _Class()
