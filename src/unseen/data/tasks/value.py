"""One number each, or several: what a regression or a ranking of architectures learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.tasks.base import Task, content_digest


class _Value(Task):
    name = "value"
    summary = "a number, or a vector of numbers, NaN where it is not known"

    def check(self, y: Any, classes: ClassSpace | None = None) -> NDArray[Any]:
        y = np.asarray(y)
        if y.dtype.kind not in "iufb" or y.ndim < 1:
            raise TypeError(f"y must be numbers for task='value'; got {y.dtype} of shape {y.shape}")
        return y

    def labeled(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        if y.dtype.kind != "f":
            return np.ones(len(y), dtype=bool)
        return np.asarray((~np.isnan(y)).any(axis=tuple(range(1, y.ndim))))

    def hidden(self, n: int) -> NDArray[Any]:
        return np.full(n, np.nan)

    def join(self, parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        shape = max((part.shape[1:] for part in parts), key=len)  # that of vectors, where some parts are hidden
        return np.concatenate(
            [
                np.full((len(part), *shape), np.nan) if part.ndim == 1 and shape and np.isnan(part).all() else part
                for part in parts
            ]
        )

    def digest(self, label: Any) -> str:
        return str(label) if np.ndim(label) == 0 else content_digest(np.asarray(label).astype("<f8"))

    def check_learnable(self, y: NDArray[Any], samples: Any) -> None:
        if y.ndim != 1 or not np.isfinite(y).all():
            raise ValueError("must have one finite number for each sample as y; some is missing, NaN or infinite")
        if len(np.unique(y)) < 2:
            raise ValueError(f"must hold at least two different values; all are {y[0]:g}")

    def example(self, n: int, seed: int = 0, n_classes: int = 3) -> NDArray[Any]:
        return np.random.default_rng(seed).normal(size=n)


TASK = _Value()
