"""A picture each: translation between modalities, enhancement, depth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.tasks.base import Ragged, check_numbers, objects


class _Picture(Ragged):
    name = "picture"
    summary = "numbers of shape (height, width) or (height, width, channels), NaN where nothing is known"

    def _check_one(self, label: NDArray[Any], classes: ClassSpace | None) -> NDArray[Any]:
        if label.ndim not in (2, 3):
            raise ValueError(f"it is of shape {label.shape}")
        return check_numbers(label, finite=False)

    def _tells(self, label: NDArray[Any]) -> bool:
        return bool((~np.isnan(label)).any())

    def example(self, n: int, seed: int = 0, n_classes: int = 3) -> NDArray[Any]:
        rng = np.random.default_rng(seed)
        return objects(rng.integers(0, 256, (6 + i % 2, 8, 3), dtype=np.uint8) for i in range(n))


TASK = _Picture()
