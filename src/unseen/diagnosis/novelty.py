"""How many target samples look like no class of the source: nearest neighbours, calibrated on the source."""

from __future__ import annotations

import numpy as np
import torch

from unseen.data.typing import FloatArray
from unseen.diagnosis.consistency import standardized
from unseen.nn.neighbours import nearest

NEIGHBOURS = 5
TAIL = 0.05
"""Share of held-out source samples that count as far."""


def novel_share(source: FloatArray, target: FloatArray, *, held_out: float = 0.2, seed: int = 0) -> float:
    """Share of target samples that are farther from the source than held-out source samples are, in [0, 1].

    The score is the cosine distance to the fifth nearest source sample [1], after each domain is standardized by its
    own mean and deviation, which takes out the part of the shift that all samples share. The threshold leaves 5 % of
    held-out source samples above it; of the target's share above it, those 5 % are taken off, as in mixture
    proportion estimation [2].

    The rest of the shift counts as novelty (the figure is then too large), and novel samples that look like known
    ones do not count (too small).

    Parameters
    ----------
    source, target : array (n, d) and (m, d)
        Of the source, at least 10 rows.

    References
    ----------
    [1] Sun, Ming, Zhu, Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022, eq. 1-2.
    [2] Blanchard, Lee, Scott, "Semi-Supervised Novelty Detection", JMLR 2010, section 4.
    """
    if len(source) < 10:
        raise ValueError(f"source must have at least 10 rows to set a threshold with; got {len(source)}")
    order = np.random.default_rng(seed).permutation(len(source))
    n = max(round(held_out * len(source)), 2)
    known, new = standardized(source), standardized(target)
    bank = known[order[n:]]
    threshold = float(np.quantile(_far(known[order[:n]], bank), 1 - TAIL))
    beyond = float((_far(new, bank) > threshold).mean())
    return max(0.0, (beyond - TAIL) / (1 - TAIL))


def _far(x: torch.Tensor, bank: torch.Tensor) -> FloatArray:
    """Cosine distance to the k-th nearest row of the bank, (n,)."""
    last = nearest(x, bank, NEIGHBOURS)[:, -1]
    return (1 - (x * bank[last]).sum(dim=1)).numpy()
