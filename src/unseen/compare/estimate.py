"""How often the chosen candidate may be right, where no label is left to tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unseen.compare.validators import AGREEMENT, REVERSE, THRESHOLDED
from unseen.validation import accuracy_interval

ERROR = 0.108
"""What nine tenths of |estimate - accuracy| stay below, over all candidates of the development pairs."""

MEASURED = 0.82
"""The share of 60 cases, not looked at before, in which the interval held the accuracy of the chosen candidate."""


def estimates(validators: Mapping[str, Sequence[float]], group: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Accuracy on the target by each estimator that the given data allow, mean over seeds, by name, in [0, 1]."""
    found = {name: float(np.mean(validators[name])) for name in (REVERSE, AGREEMENT) if name in validators}
    per_seed = [cell.get("estimates", {}) for cell in group]
    if all(THRESHOLDED in cell for cell in per_seed):
        found[THRESHOLDED] = float(np.mean([cell[THRESHOLDED] for cell in per_seed]))
    return found


def estimate(found: Mapping[str, float], samples: int) -> dict[str, Any] | None:
    """The mean of reverse validation and agreement, with the interval that nine in ten measured errors stay inside.

    None where one of them is missing. Average thresholded confidence is told beside them: it is misled by methods that
    make a model sure of the target.
    """
    if not {REVERSE, AGREEMENT} <= set(found):
        return None
    middle = (found[REVERSE] + found[AGREEMENT]) / 2
    return {
        "accuracy": middle,
        "interval": list(accuracy_interval(middle, samples, ERROR)),
        "coverage": {"nominal": 0.9, "measured": MEASURED},
        "estimators": dict(found),
    }
