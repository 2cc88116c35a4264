"""Named points, such as joints: pose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.tasks.base import Ragged, check_numbers, objects


class _Keypoints(Ragged):
    name = "keypoints"
    summary = "coordinates of shape (points, 2) or (points, 3), one row per named point, NaN where it is not known"

    def _check_one(self, label: NDArray[Any], classes: ClassSpace | None) -> NDArray[Any]:
        if label.ndim != 2 or label.shape[1] not in (2, 3):
            raise ValueError(f"it is of shape {label.shape}")
        return check_numbers(label, finite=False).astype(np.float64, copy=False)

    def _tells(self, label: NDArray[Any]) -> bool:
        return bool((~np.isnan(label)).all(axis=1).any())

    def example(self, n: int, seed: int = 0, n_classes: int = 3) -> NDArray[Any]:
        return objects(np.random.default_rng(seed).uniform(0, 8, (n, 5, 2)))


TASK = _Keypoints()
