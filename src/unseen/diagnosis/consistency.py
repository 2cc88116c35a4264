"""Do neighbourhoods of the source keep their class where target samples fall into them?"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from unseen.data.typing import FloatArray, IntArray
from unseen.nn.neighbours import nearest

NEIGHBOURS = 5


def class_consistency(source: FloatArray, y: IntArray, target: FloatArray) -> dict[str, float]:
    """How far the nearest source samples of a sample agree on its class, in (0, 1]; labels of the target are not read.

    Of the five source samples nearest by cosine, the share that is of their most frequent class, averaged over:
    `source` (the sample itself left out), `target` as it is, and `aligned`, after each domain is standardized by its
    own mean and deviation. A target that falls between the classes of the source has less agreement than the source;
    what `aligned` wins back is what an alignment of means and deviations can win.

    Parameters
    ----------
    source, target : array (n, d) and (m, d)
    y : int array (n,)
        Classes of the source.

    References
    ----------
    The agreement of neighbours as a label-free figure follows Saito et al., "Tune it the Right Way: Unsupervised
    Validation of Domain Adaptation via Soft Neighborhood Density", ICCV 2021, with hard neighbours in the source.
    """
    mean, scale = source.mean(axis=0), np.maximum(source.std(axis=0), 1e-6)
    bank = standardized(source)
    return {
        "source": _agreement(nearest(bank, bank, NEIGHBOURS + 1)[:, 1:], y),
        "target": _agreement(nearest(_unit((target - mean) / scale), bank, NEIGHBOURS), y),
        "aligned": _agreement(nearest(standardized(target), bank, NEIGHBOURS), y),
    }


def standardized(x: FloatArray) -> torch.Tensor:
    """Rows of a domain by its own mean and deviation, of unit length."""
    return _unit((x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-6))


def _unit(x: FloatArray) -> torch.Tensor:
    return F.normalize(torch.as_tensor(x, dtype=torch.float32), dim=1)


def _agreement(neighbours: torch.Tensor, y: IntArray) -> float:
    """Mean share of the most frequent class among the neighbours, (n, k)."""
    votes = F.one_hot(torch.as_tensor(y)[neighbours], int(y.max()) + 1).sum(dim=1)
    return float(votes.max(dim=1).values.float().mean() / neighbours.shape[1])
