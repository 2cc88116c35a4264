"""The vote: one choice from two label-free scores, where each alone is known to mislead."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import rankdata


def vote(
    information: Mapping[str, float], source: Mapping[str, float] | None = None, keep: float = 0.9
) -> dict[str, float]:
    """Rank candidates by information, among those that still know the source; in [0, 1], larger is better.

    Information alone prefers methods that maximize it, right or wrong; source validation alone prefers doing nothing.
    So a candidate must keep the share `keep` of the best source validation, or its vote is 0.

    Parameters
    ----------
    information : {candidate: score}
        Such as `information_maximization`; larger is better. A score that is not finite ranks last.
    source : {candidate: score}, optional
        `source_validation` of the same candidates.
    keep : float, in [0, 1]
        0.9 was chosen on ordered pairs of five emoji styles; see docs/choosing.md for figures.
    """
    if not information:
        raise ValueError("information must hold at least one candidate")
    if not 0 <= keep <= 1:
        raise ValueError(f"keep must be in [0, 1]; got {keep}")
    names = list(information)
    value = np.array([information[name] for name in names], dtype=float)
    value = np.where(np.isfinite(value), value, -np.inf)
    passes = np.ones(len(names), dtype=bool)
    if source is not None:
        if set(source) != set(names):
            raise ValueError("source must score the same candidates as information")
        known = np.array([source[name] for name in names], dtype=float)
        passes = known >= keep * np.nanmax(known)
    votes = np.zeros(len(names))
    votes[passes] = rankdata(value[passes]) / passes.sum()
    return dict(zip(names, votes.tolist()))
