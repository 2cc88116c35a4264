"""How often the chosen model may be right, where no label is left to tell."""

from __future__ import annotations

import math
from typing import Any

from unseen.validation import accuracy_interval

AT_NOTHING, SLOPE = 0.025, 0.954
"""Accuracy of the choice by the root of the share on which all methods agree: least squares over 199 shifts of 27
families, which count alike (benchmarks/shifts/study.py). Two that err by themselves agree about as often as both are
right, so the root is nearly the accuracy itself."""

ERRORS = {True: 0.222, False: 0.170}
"""What 87 % of |estimate - accuracy| stay below in families that had no part in the fit: for features of a user's own,
and for those of a pretrained encoder."""

MEASURED = {True: 0.829, False: 0.866}
"""How often such an interval held the accuracy, over families that were left out in turn. A line and intervals of 22
families had held in 76 % of four that nobody had opened (docs/choosing.md); now they are among those it is made of."""

NAMED_AT_NOTHING, NAMED_SLOPE, NAMED_ERROR, NAMED_MEASURED = -1.193, 2.054, 0.197, 0.87
"""The same where classes are given by names alone (benchmarks/shifts/names.py)."""

MEASURED_WITH = ("lite-clip", "minilm")
"""Encoders of that study: how far names lie from samples is a matter of the encoder, and nothing is said of others."""


def is_measured(encoder: str | None) -> bool:
    """Whether an estimate can be made with an encoder where classes are given by their names alone."""
    return encoder is not None and encoder.partition("?")[0] in MEASURED_WITH


def estimate(
    unanimous: float | None,
    samples: int,
    *,
    own_features: bool,
    graded: tuple[float, int] | None = None,
    named: bool = False,
    chance: float = 0.0,
) -> dict[str, Any] | None:
    """The accuracy that may be expected of the choice, with an interval; None where nothing tells.

    Parameters
    ----------
    unanimous : float or None
        Share of the target's samples on which unlike methods all say the same.
    samples : int
        Of the target.
    own_features : bool
        Whether samples are features as the user gave them.
    graded : (float, int), optional
        Accuracy on labels of the support that the choice did not learn from, and on how many; the two estimates are
        then weighed by how sure they are.
    named : bool
        Whether classes are given by their names alone.
    chance : float in [0, 1]
        What guessing reaches: the line says less where methods hardly agree, and nothing is worse than guessing.
    """
    if unanimous is None or not samples:
        return None
    start, slope, error = AT_NOTHING, SLOPE, ERRORS[own_features]
    if named:
        start, slope, error = NAMED_AT_NOTHING, NAMED_SLOPE, NAMED_ERROR
    middle = min(1.0, max(chance, start + slope * math.sqrt(unanimous)))
    if graded is not None and graded[1]:
        right, labels = graded
        theirs = 1.51**2 * max(right * (1 - right), 0.25 / labels) / labels  # a half width of 87 %, squared
        middle = (middle / error**2 + right / theirs) / (1 / error**2 + 1 / theirs)
        error = (1 / error**2 + 1 / theirs) ** -0.5
    return {
        "accuracy": middle,
        "interval": list(accuracy_interval(middle, samples, error)),
        "coverage": {"nominal": 0.87, "measured": NAMED_MEASURED if named else MEASURED[own_features]},
        "unanimous": unanimous,
        "labels": 0 if graded is None else graded[1],
    }
