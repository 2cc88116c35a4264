"""Which classes are observed: the two sampling models of the paper's experiments."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from unseen.data.label_metrics import LabelMetric
from unseen.data.typing import FloatArray


def uniform_classes(metric: LabelMetric, k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """k classes, each set equally likely."""
    _check(metric, k)
    return rng.choice(len(metric), k, replace=False)


def central_class(metric: LabelMetric, block: int = 256) -> int:
    """The class with the least summed squared distance to all: argmin_y sum_z d(y, z)^2."""
    return int(np.concatenate([(rows**2).sum(axis=1) for rows in _in_blocks(metric, block)]).argmin())


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
    for y in _farthest_pairs(metric).ravel().tolist():
        if len(chosen) == k:
            break
        chosen.setdefault(y)
    return np.array(list(chosen), dtype=np.int64)


def _farthest_pairs(metric: LabelMetric, block: int = 256) -> NDArray[np.int64]:
    """Each class with the class farthest from it, the farthest pair first, (N, 2).

    Classes come up as in a list of all pairs, which is not written out.
    """
    farthest = [(rows.max(axis=1), rows.argmax(axis=1)) for rows in _in_blocks(metric, block)]
    distance, partner = (np.concatenate(column) for column in zip(*farthest))
    order = np.argsort(-distance, kind="stable")
    return np.stack([order, partner[order]], axis=1)


def _in_blocks(metric: LabelMetric, block: int) -> Iterator[FloatArray]:
    """All rows of distances, `block` at a time."""
    for start in range(0, len(metric), block):
        yield metric.rows(np.arange(start, min(start + block, len(metric))))


def _check(metric: LabelMetric, k: int) -> None:
    if not 1 <= k <= len(metric):
        raise ValueError(f"k must lie in [1, {len(metric)}], the number of classes; got {k}")
