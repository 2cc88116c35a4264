"""How sure one model is, or several are together: the margin between the two most probable classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unseen.data.typing import FloatArray


def margin(probabilities: Sequence[FloatArray]) -> FloatArray:
    """Largest minus second largest of the models' mean probability, (n,), in [0, 1]; small where they disagree.

    Parameters
    ----------
    probabilities : sequence of arrays (n, c)
        Of one model or more, for the same samples and classes, at least two.

    References
    ----------
    Settles, "Active Learning Literature Survey", 2009, sections 3.1 (margin) and 3.2 (committees that vote softly).
    """
    shapes = {p.shape for p in probabilities}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2 or next(iter(shapes))[1] < 2:
        raise ValueError(f"probabilities must be arrays of one shape (n, c), c at least 2; got {sorted(shapes)}")
    top = np.sort(np.mean(probabilities, axis=0), axis=1)
    return top[:, -1] - top[:, -2]
