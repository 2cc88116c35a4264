"""Cover what there is: the most typical sample of each of the largest clusters that hold no label yet (TypiClust)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from unseen.data.typing import FloatArray, IntArray
from unseen.nn.clustering import kmeans

NEIGHBOURS = 20
"""How many neighbours within the cluster tell how typical a sample is (at most), as in the paper."""


class Typical(NamedTuple):
    """Positions of the samples to label (b,), the first first, and how many samples the cluster of each has (b,)."""

    positions: IntArray
    covers: IntArray


def check_budget(budget: int, free: int) -> None:
    """Raise `ValueError` unless as many of the `free` samples without a label can be chosen."""
    if not 1 <= budget <= free:
        raise ValueError(f"budget must be in [1, {free}], the number of samples without a label; got {budget}")


def typiclust(x: FloatArray, budget: int, *, labeled: NDArray[np.bool_] | None = None, seed: int = 0) -> Typical:
    """Choose samples to label that are dense and far from each other [1].

    The samples are put into as many clusters as there will be labels, those that exist included. Of each cluster that
    holds no label, the largest first, the sample with the smallest mean distance to its nearest neighbours in the
    cluster is chosen.

    Parameters
    ----------
    x : array (n, d)
        Features; they are centred and brought to unit length.
    budget : int
        From 1 to the number of samples without a label.
    labeled : bool array (n,), optional
        Samples that have a label already.
    seed : int
        Of k-means.

    Raises
    ------
    ValueError
        If the budget is out of range.

    References
    ----------
    [1] Hacohen, Dekel, Weinshall, "Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets",
        ICML 2022, section 3 and algorithm 1 (with k-means, on given features).
    """
    have = np.zeros(len(x), dtype=bool) if labeled is None else labeled
    free = int((~have).sum())
    check_budget(budget, free)
    z = np.asarray(x, dtype=np.float32)
    unit = F.normalize(torch.as_tensor(z - z.mean(axis=0)), dim=1)
    clusters = kmeans(unit, budget + int(have.sum()), random_state=seed).labels.numpy()
    sizes = np.bincount(clusters)
    order = np.argsort(-sizes, kind="stable")
    members = [np.flatnonzero(clusters == c) for c in order]
    open_ = [group for group in members if len(group) and not have[group].any()]
    chosen = [_most_typical(unit, group) for group in open_[:budget]]
    if len(chosen) < budget:  # equal rows leave clusters empty, labels may share one
        rest = np.setdiff1d(np.flatnonzero(~have), chosen)
        chosen += np.random.default_rng(seed).permutation(rest)[: budget - len(chosen)].tolist()
    positions = np.array(chosen, dtype=np.int64)
    return Typical(positions, sizes[clusters[positions]])


def _most_typical(unit: torch.Tensor, members: IntArray) -> int:
    """The member with the smallest mean distance to its nearest fellow members."""
    if len(members) < 3:
        return int(members[0])
    distance = torch.cdist(unit[members], unit[members])
    nearest = distance.topk(min(NEIGHBOURS, len(members) - 1) + 1, dim=1, largest=False).values
    return int(members[int(nearest.mean(dim=1).argmin())])
