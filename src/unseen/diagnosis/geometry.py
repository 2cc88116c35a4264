"""How far apart the domains are, beside how far apart classes are and how wide they spread."""

from __future__ import annotations

import numpy as np

from unseen.data.typing import FloatArray, IntArray


def distances(source: FloatArray, y: IntArray, target: FloatArray) -> dict[str, float | None]:
    """Distances in the feature space, in units of the spread within a class of the source.

    Parameters
    ----------
    source, target : array (n, d) and (m, d)
    y : int array (n,)
        Classes of the source.

    Returns
    -------
    dict
        `between_domains`, between the means of both domains, and `between_classes`, the root mean square between the
        means of two source classes. Both are free of the bias that means of few samples have; 1 is the root mean
        square distance of a source sample from another of its class, divided by the square root of 2. None where no
        class has two samples, or there is one class.

    References
    ----------
    Ratios of distances between and within are those of Fisher, "The Use of Multiple Measurements in Taxonomic
    Problems", 1936.
    """
    labels, counts = np.unique(y, return_counts=True)
    means = np.stack([source[y == label].mean(axis=0, dtype=np.float64) for label in labels])
    rest = source - means[np.searchsorted(labels, y)]
    freedom, k = len(source) - len(labels), len(labels)
    within = float((rest**2).sum() / freedom) if freedom else 0.0
    if within == 0:
        return {"between_domains": None, "between_classes": None}
    gap = ((source.mean(axis=0, dtype=np.float64) - target.mean(axis=0, dtype=np.float64)) ** 2).sum()
    gap -= sum(float(part.var(axis=0, ddof=1).sum()) / len(part) for part in (source, target))
    figures: dict[str, float | None] = {"between_domains": float(np.sqrt(max(gap, 0.0) / within))}
    if k == 1:
        return figures | {"between_classes": None}
    spread = ((means - means.mean(axis=0)) ** 2).sum() * 2 / (k - 1) - 2 * within * float((1 / counts).mean())
    return figures | {"between_classes": float(np.sqrt(max(spread, 0.0) / within))}
