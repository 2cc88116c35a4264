"""Both domains on the directions in which they vary most: smaller, with nearly the same distances."""

from __future__ import annotations

import numpy as np

from unseen.data.typing import FloatArray

COMPONENTS = 128


def reduced(a: FloatArray, b: FloatArray, *, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Rows of both sides on the leading principal components of the two together, (n, 128) and (m, 128) at most.

    Parameters
    ----------
    a, b : array (n, d) and (m, d)
        With d at most 128 they are returned as they are.
    seed : int
        Of the randomized decomposition.
    """
    from sklearn.decomposition import PCA

    both = np.concatenate([a, b])
    if both.shape[1] <= COMPONENTS:
        return a, b
    size = min(COMPONENTS, len(both) - 1)
    placed = PCA(size, svd_solver="randomized", random_state=seed).fit_transform(both).astype(np.float32)
    return placed[: len(a)], placed[len(a) :]
