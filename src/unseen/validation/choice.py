"""The default choice: reverse validation, what a few labels say, and source-only where there is doubt."""

from __future__ import annotations

import math
from collections.abc import Mapping

from scipy.stats import rankdata

SPREAD = 0.18
"""How far reverse validation is off from the accuracy, in both directions: the root mean square over 199 shifts of 27
families, which count alike (docs/choosing.md)."""


def weigh(
    reverse: Mapping[str, float], support: Mapping[str, float], labels: int, spread: float = SPREAD
) -> dict[str, float]:
    """The mean of reverse validation and accuracy on a few target labels, each weighted by how sure it is; in [0, 1].

    Weights are inverse variances: `spread` squared for reverse validation, a (1 - a) / labels for accuracy a. So two
    labels change little, ten count as much as reverse validation, and 35 decide.

    Parameters
    ----------
    reverse, support : {candidate: score in [0, 1]}
        `reverse_validation`, and accuracy on labels that the candidate did not learn from.
    labels : int, >= 1
        On how many labels the accuracy stands.
    spread : float, > 0
        How far `reverse` is believed to be off, as a standard deviation.

    Raises
    ------
    ValueError
        If the two do not score the same candidates, there is no label, or `spread` is not positive.
    """
    if set(reverse) != set(support):
        raise ValueError("support must score the same candidates as reverse")
    if labels < 1:
        raise ValueError(f"labels must be at least 1; got {labels}")
    if not spread > 0:
        raise ValueError(f"spread must be positive; got {spread}")
    weighed = {}
    for name, prior in reverse.items():
        seen = support[name]
        variance = max(seen * (1 - seen), 0.25 / labels) / labels
        share = spread**2 / (spread**2 + variance)
        weighed[name] = (1 - share) * prior + share * seen
    return weighed


def without_doubt(
    scores: Mapping[str, float],
    samples: int,
    floor: str = "source-only",
    errors: float = 2.0,
    keep: Mapping[str, float] | None = None,
    also: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Rank candidates by score; one that is not clearly better than doing nothing has the vote 0. In [0, 1].

    Clearly better is by `errors` standard errors of the floor's own score, an accuracy on `samples` samples. The
    largest vote is chosen; where no candidate is clearly better, that of the floor. A score that is not finite has the
    vote 0.

    Parameters
    ----------
    scores : {candidate: accuracy in [0, 1]}
    samples : int, >= 1
    floor : str
        The candidate that does nothing; without it among the candidates none is left out.
    errors : float, >= 0
    keep : {candidate: score}, optional
        Another score, in which a candidate may not be below the floor either.
    also : {candidate: accuracy in [0, 1]}, optional
        Another estimate of the same accuracy, in which a candidate must be clearly better than the floor, too.

    Source: the one-standard-error rule of Breiman, Friedman, Olshen, Stone, "Classification and Regression Trees",
    1984, section 3.4.3. Two were chosen on the development pairs, small targets among them; see docs/choosing.md.

    Raises
    ------
    ValueError
        If there is no candidate or no sample, or `keep` or `also` does not score the same candidates.
    """
    for name, others in (("keep", keep), ("also", also)):
        if others is not None and set(others) != set(scores):
            raise ValueError(f"{name} must score the same candidates as scores")
    if not scores or samples < 1:
        raise ValueError(f"scores and samples must not be empty; got {len(scores)} candidates, {samples} samples")
    passing = [name for name, s in scores.items() if math.isfinite(s)]
    for estimate in (scores, also):
        if estimate is not None and math.isfinite(estimate.get(floor, math.nan)):
            least = estimate[floor] + errors * math.sqrt(max(estimate[floor] * (1 - estimate[floor]), 0.0) / samples)
            passing = [name for name in passing if name == floor or estimate[name] >= least]
    if keep is not None and floor in scores:
        passing = [name for name in passing if name == floor or keep[name] >= keep[floor]]
    votes = dict.fromkeys(scores, 0.0)
    if passing:
        ranks = rankdata([scores[name] for name in passing]) / len(passing)
        votes.update(zip(passing, ranks.tolist()))
    return votes
