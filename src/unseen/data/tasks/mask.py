"""A class for every pixel: segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.tasks.base import Ragged, check_indices, objects

UNKNOWN = -1
"""The value of a pixel of which nothing is known."""


def picture_size(sample: Any) -> tuple[int, int]:
    """Height and width of a picture: a PIL image, or an array or tensor (channels, height, width)."""
    if hasattr(sample, "convert"):
        return sample.size[1], sample.size[0]
    return int(sample.shape[-2]), int(sample.shape[-1])


class _Mask(Ragged):
    name = "mask"
    summary = "integers of shape (height, width), -1 where nothing is known"

    def _check_one(self, label: NDArray[Any], classes: ClassSpace | None) -> NDArray[Any]:
        if label.dtype.kind not in "iub":
            raise TypeError(f"it holds {label.dtype}")
        if label.ndim != 2:
            raise ValueError(f"it is of shape {label.shape}")
        label = label.astype(np.uint8, copy=False) if label.dtype.kind == "b" else label
        check_indices(label, classes)
        return label

    def _tells(self, label: NDArray[Any]) -> bool:
        return bool((label != UNKNOWN).any())

    def _canonical(self, label: NDArray[Any]) -> NDArray[Any]:
        return label.astype("<i8")

    def check_learnable(self, y: NDArray[Any], samples: Any) -> None:
        for i, (mask, sample) in enumerate(zip(y, samples)):
            size = picture_size(sample)
            if mask.shape != size:
                sizes = "x".join(map(str, size[::-1])), "x".join(map(str, mask.shape[::-1]))
                raise ValueError(
                    f"must hold masks as large as their pictures; picture {i} is {sizes[0]}, its mask {sizes[1]}"
                )
        known = np.unique(np.concatenate([np.unique(mask) for mask in y]))
        known = known[known != UNKNOWN]
        if len(known) < 2:
            raise ValueError(f"must hold at least two classes; all known pixels are of class {int(known[0])}")

    def example(self, n: int, seed: int = 0, n_classes: int = 3) -> NDArray[Any]:
        rng = np.random.default_rng(seed)
        return objects(rng.integers(0, n_classes, (6 + i % 2, 8)) for i in range(n))


TASK = _Mask()
