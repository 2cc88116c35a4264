"""Tasks whose label of one sample is a set of rows: boxes, spans, matches, relevant documents."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from unseen.data.classes import ClassSpace
from unseen.data.tasks.base import Ragged, check_numbers


class Rows(Ragged):
    """A task whose label of one sample is a table of numbers, of which the order of the rows says nothing.

    No row is a label, too ("there is none in it"); None is the label that is not known.
    """

    widths: ClassVar[tuple[int, ...]]
    """How many columns the table may have."""
    whole: ClassVar[bool] = False
    """Whether its numbers are integers."""

    def _check_one(self, label: NDArray[Any], classes: ClassSpace | None) -> NDArray[Any]:
        if label.size == 0 and label.ndim < 2:
            label = np.zeros((0, self.widths[-1]))
        if label.ndim != 2 or label.shape[1] not in self.widths:
            raise ValueError(f"it is of shape {label.shape}")
        check_numbers(label)
        if self.whole and (label != np.floor(label)).any():
            raise TypeError(f"it holds {label.dtype} that are no integers")
        self._check_rows(label, classes)
        return label.astype(np.int64 if self.whole else np.float64, copy=False)

    def _check_rows(self, rows: NDArray[Any], classes: ClassSpace | None) -> None:
        """Raise what is wrong with the rows."""

    def _canonical(self, label: NDArray[Any]) -> NDArray[Any]:
        rows = label.astype("<i8" if self.whole else "<f8") + 0  # -0 is 0 also in sorting
        return rows[np.lexsort(rows.T[::-1])]
