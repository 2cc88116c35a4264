"""What a stream of tasks left of each: the figures of the MTIL benchmark, and what was forgotten.

All read one matrix: row i is the stage after task i was learnt, column j the accuracy on task j then, in one order. NaN
stands where nobody asked.

References
----------
Zheng et al., "Preventing Zero-Shot Transfer Degradation in Continual Learning of Vision-Language Models", ICCV 2023,
section 4.1.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray


def transfer(matrix: Float[np.ndarray, "n n"]) -> float:
    """The mean over tasks but the first of the mean accuracy on them before they were learnt."""
    a = _square(matrix)
    if len(a) < 2:
        raise ValueError("transfer is of two tasks at least: the first one has no stage before it")
    return float(np.mean([np.mean(a[:j, j]) for j in range(1, len(a))]))


def average(matrix: Float[np.ndarray, "n n"]) -> float:
    """The mean of all entries: over stages and tasks."""
    return float(_square(matrix).mean())


def last(matrix: Float[np.ndarray, "n n"]) -> float:
    """The mean over tasks in the last stage."""
    return float(_square(matrix)[-1].mean())


def forgetting(matrix: Float[np.ndarray, "n n"]) -> float:
    """The mean over tasks but the last of the best accuracy since the task was learnt minus that in the last stage."""
    a = _square(matrix)
    if len(a) < 2:
        raise ValueError("forgetting is of two tasks at least: nothing is learnt after the last one")
    return float(np.mean([a[j:, j].max() - a[-1, j] for j in range(len(a) - 1)]))


def stream_scores(matrix: Float[np.ndarray, "n n"]) -> dict[str, float]:
    """`transfer`, `average`, `last` and `forgetting` of a stream of at least two tasks."""
    return {
        "transfer": transfer(matrix),
        "average": average(matrix),
        "last": last(matrix),
        "forgetting": forgetting(matrix),
    }


def _square(matrix: Float[np.ndarray, "n m"]) -> NDArray[np.float64]:
    a = np.asarray(matrix, dtype=np.float64)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or not len(a):
        raise ValueError(f"matrix must have a row and a column for each task; got {a.shape}")
    return a
