"""Which classes are observed: the two sampling models of the paper's experiments."""

import numpy as np
from numpy.typing import NDArray

from unseen.data.label_metrics import LabelMetric


def uniform_classes(metric: LabelMetric, k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """k classes, each set equally likely."""
    _check(metric, k)
    return rng.choice(len(metric), k, replace=False)


def central_class(metric: LabelMetric, block: int = 256) -> int:
    """The class with the least summed squared distance to all: argmin_y sum_z d(y, z)^2."""
    sums = [
        (metric.rows(np.arange(start, min(start + block, len(metric)))) ** 2).sum(axis=1)
        for start in range(0, len(metric), block)
    ]
    return int(np.concatenate(sums).argmin())


def concentrated_classes(
    metric: LabelMetric, k: int, rng: np.random.Generator, *, central: int | None = None, theta: float = 0.5
) -> NDArray[np.int64]:
    """`central` classes near the centre, then the members of the farthest pairs until there are k.

    Parameters
    ----------
    metric : LabelMetric
    k : int
        How many classes.
    rng : Generator
    central : int, optional
        How many of them are drawn with probability ~ exp(-theta d(y, centre)^2); half of k by default.
    theta : float
        Larger values draw nearer to the centre.
    """
    _check(metric, k)
    central = k // 2 if central is None else central
    if not 0 <= central <= k:
        raise ValueError(f"central must lie in [0, {k}]; got {central}")
    centre = np.array([central_class(metric)])
    weight = -theta * metric.rows(centre)[0] ** 2
    gumbel = rng.gumbel(size=len(metric))  # the largest perturbed log-weights are a draw without replacement
    chosen = dict.fromkeys(np.argsort(-(weight + gumbel), kind="stable")[:central].tolist())
    for pair in _farthest_pairs(metric):
        for y in pair:
            if len(chosen) == k:
                break
            chosen.setdefault(int(y))
    return np.array(list(chosen), dtype=np.int64)


def _farthest_pairs(metric: LabelMetric) -> NDArray[np.int64]:
    """All pairs of classes, the farthest first, (N (N - 1) / 2, 2)."""
    distance = metric.rows(np.arange(len(metric)))
    i, j = np.triu_indices(len(metric), k=1)
    order = np.argsort(-distance[i, j], kind="stable")
    return np.stack([i[order], j[order]], axis=1)


def _check(metric: LabelMetric, k: int) -> None:
    if not 1 <= k <= len(metric):
        raise ValueError(f"k must lie in [1, {len(metric)}], the number of classes; got {k}")
