"""Points of two pictures that show the same place: matching."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.tasks.base import objects
from unseen.data.tasks.tables import Rows


class _Matches(Rows):
    name = "matches"
    summary = "rows of x, y in the first picture and x, y in the second (pixels), of shape (matches, 4)"
    widths = (4,)
    of_pairs = True

    def example(self, n: int, seed: int = 0, n_classes: int = 3) -> NDArray[Any]:
        rng = np.random.default_rng(seed)
        return objects(rng.uniform(0, 8, (4 + i % 3, 4)) for i in range(n))


TASK = _Matches()
