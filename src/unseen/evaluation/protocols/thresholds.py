"""Thresholds above which a sample is called unknown, found without labels of the target."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from unseen.nn.information import normalized_entropy


def entropy_threshold(p: Tensor, accept: float = 0.95, least: float = 0.5) -> float:
    """The normalized entropy above which a sample is called unknown: a rule that needs no target label.

    The larger of `least` (half-way to uniform) and what the share `accept` of held-out known samples stays below: on
    samples of its own domain alone a model is too sure for a threshold that another domain could meet.
    """
    return max(least, float(np.quantile(normalized_entropy(p).numpy(), accept)))
