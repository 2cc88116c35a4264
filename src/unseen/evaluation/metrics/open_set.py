"""Open-set metrics: known classes predicted right, unknown samples recognized, and both at once."""

from __future__ import annotations

import numpy as np

from unseen.data.typing import IntArray
from unseen.evaluation.metrics.classification import mean_class_accuracy
from unseen.methods.base import UNKNOWN


def h_score(known: float, unknown: float) -> float:
    """Harmonic mean 2 a_k a_u / (a_k + a_u + 1e-5) of the accuracies on known and on unknown samples, in [0, 1].

    Source: Fu et al., "Learning to Detect Open Classes for Universal Domain Adaptation", ECCV 2020; the 1e-5 is
    that of the official code of GLC.
    """
    return 2 * known * unknown / (known + unknown + 1e-5)


def open_set_scores(truth: IntArray, prediction: IntArray) -> dict[str, float]:
    """Grade predictions among known classes and `UNKNOWN` (-1).

    Parameters
    ----------
    truth, prediction : int arrays (n,)
        Class indices, and -1 for a sample of no known class.

    Returns
    -------
    dict
        `known_accuracy`: a_k, the mean over the known classes in `truth` of the share predicted right;
        `unknown_accuracy`: a_u, the share of unknown samples predicted -1; `h_score` of the two. NaN where the
        truth holds no such sample.

    Raises
    ------
    ValueError
        If the lengths differ, or there is no sample.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape or truth.ndim != 1 or len(truth) == 0:
        raise ValueError(
            f"truth and prediction must be vectors of the same length, at least 1; got {truth.shape} and "
            f"{prediction.shape}"
        )
    is_known = truth != UNKNOWN
    known = mean_class_accuracy(truth[is_known], prediction[is_known]) if is_known.any() else np.nan
    unknown = float(np.mean(prediction[~is_known] == UNKNOWN)) if not is_known.all() else np.nan
    return {"known_accuracy": known, "unknown_accuracy": unknown, "h_score": h_score(known, unknown)}
