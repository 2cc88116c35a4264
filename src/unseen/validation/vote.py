"""The vote: one choice from several label-free scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import rankdata


def vote(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Mean rank of each candidate over the validators, scaled to [0, 1]; larger is better, ties share their rank.

    Parameters
    ----------
    scores : {validator: {candidate: score}}
        Larger is better in each. Every validator must score every candidate; a score that is not finite ranks last.

    Ranks, because the validators' units differ; their mean, because no validator of the literature is best on all
    data (Musgrave et al., 2022).
    """
    if not scores:
        raise ValueError("scores must hold at least one validator")
    candidates = list(next(iter(scores.values())))
    total = np.zeros(len(candidates))
    for name, values in scores.items():
        if set(values) != set(candidates):
            raise ValueError(f"validator {name!r} does not score the same candidates as the others")
        column = np.array([values[candidate] for candidate in candidates], dtype=float)
        total += rankdata(np.where(np.isfinite(column), column, -np.inf))
    scaled = (total / len(scores) - 1) / max(len(candidates) - 1, 1)
    return dict(zip(candidates, scaled.tolist()))
