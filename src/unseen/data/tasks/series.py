"""What comes next of a series: forecasting."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.tasks.base import Ragged, check_numbers, objects


class _Series(Ragged):
    name = "series"
    summary = "numbers of shape (steps,) or (steps, channels), NaN where nothing is known"

    def _check_one(self, label: NDArray[Any], classes: ClassSpace | None) -> NDArray[Any]:
        if label.ndim not in (1, 2):
            raise ValueError(f"it is of shape {label.shape}")
        return check_numbers(label, finite=False).astype(np.float64, copy=False)

    def _tells(self, label: NDArray[Any]) -> bool:
        return bool((~np.isnan(label)).any())

    def example(self, n: int, seed: int = 0, n_classes: int = 3) -> NDArray[Any]:
        rng = np.random.default_rng(seed)
        return objects(rng.normal(size=6 + i % 3).cumsum() for i in range(n))


TASK = _Series()
