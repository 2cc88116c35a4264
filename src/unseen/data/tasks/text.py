"""A text each: captions, translations, transcripts."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.tasks.base import Task


class _Text(Task):
    name = "text"
    summary = "a text, empty where it is not known"

    def check(self, y: Any, classes: ClassSpace | None = None) -> NDArray[Any]:
        wrong = next((text for text in y if not isinstance(text, str)), None)
        if wrong is not None or np.ndim(y) != 1:
            raise TypeError(f"y must be a vector of texts for task='text'; got {type(wrong).__name__}: {wrong!r:.60}")
        return np.asarray(y, dtype=np.str_)

    def labeled(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray(y != "")

    def hidden(self, n: int) -> NDArray[Any]:
        return np.full(n, "", dtype=np.str_)

    def digest(self, label: Any) -> str:
        return hashlib.sha256(str(label).encode()).hexdigest()

    def example(self, n: int, seed: int = 0, n_classes: int = 3) -> NDArray[Any]:
        return np.array([f"the {('first', 'second', 'third')[i % 3]} of {i + 1} things" for i in range(n)])


TASK = _Text()
