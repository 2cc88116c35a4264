"""Rows of numbers as features are compared: finite, of one width, of unit length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unseen.data.typing import FloatArray

SHORTEST = 1e-12
"""A row that is shorter is divided by this in place of its length, so that a row of zeros stays one."""


def unit_rows(rows: FloatArray) -> NDArray[np.float32]:
    """Rows (n, d), or one row (d,), as float32 of unit length; a row of zeros stays one."""
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), SHORTEST)


def finite_rows(rows: FloatArray, name: str) -> NDArray[np.float32]:
    """Rows (n, d) as float32; `ValueError` names them unless they are a finite table."""
    rows = np.asarray(rows, dtype=np.float32)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise ValueError(f"{name} must be a finite array of shape (n, d); got shape {rows.shape}")
    return rows
