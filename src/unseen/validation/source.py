"""Source validation: accuracy on held-out source samples (Ganin et al., JMLR 2016, and most papers since)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor


def source_validation(p: Float[Tensor, "n c"], y: Int[np.ndarray, " n"]) -> float:
    """Accuracy, in [0, 1], of probabilities on labelled source samples that no fit has seen; larger is better."""
    if len(p) != len(y):
        raise ValueError(f"p has {len(p)} rows, y has {len(y)} labels")
    return float((p.argmax(dim=1).numpy() == y).mean())
