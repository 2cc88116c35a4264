"""How often the chosen candidate may be right, where no label is left to tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unseen.compare.validators import AGREEMENT, NEIGHBOURS, REVERSE, THRESHOLDED
from unseen.validation import accuracy_interval

ERROR = 0.108
"""What nine tenths of |estimate - accuracy| stay below, over the chosen candidates of 36 development cases."""

MEASURED = 0.76
"""The share of 88 other cases in which the interval held the accuracy of the chosen candidate."""


def estimates(validators: Mapping[str, Sequence[float]], group: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Accuracy on the target by each estimator that the given data allow, mean over seeds, by name, in [0, 1]."""
    found = {name: float(np.mean(validators[name])) for name in (NEIGHBOURS, REVERSE, AGREEMENT) if name in validators}
    per_seed = [cell.get("estimates", {}) for cell in group]
    if all(THRESHOLDED in cell for cell in per_seed):
        found[THRESHOLDED] = float(np.mean([cell[THRESHOLDED] for cell in per_seed]))
    return found


def estimate(found: Mapping[str, float], samples: int) -> dict[str, Any] | None:
    """Reverse validation by neighbours, with the interval that nine in ten measured errors stay inside.

    None without it. The other estimators are told beside it: means do not see what follows counterparts, methods agree
    less with one that is better than they are, and confidence is misled by methods that make a model sure of the
    target.
    """
    if NEIGHBOURS not in found:
        return None
    middle = found[NEIGHBOURS]
    return {
        "accuracy": middle,
        "interval": list(accuracy_interval(middle, samples, ERROR)),
        "coverage": {"nominal": 0.9, "measured": MEASURED},
        "estimators": dict(found),
    }
