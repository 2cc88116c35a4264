"""The views of a class: spectral clustering of its pictures by which kernels fire where, then hard EM (step 4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unseen.methods.adaptation.ugt.compnet import activations, explained, normalized, shares
from unseen.nn.clustering import kmeans

THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(20))
FEW, MANY, ELSE = 2.0, 15.0, 0.45
"""Kernels that fire at a position, on the mean, must be more than `FEW` and fewer than `MANY`; else the threshold."""
SMALLEST = 0.02
"""Share of a class below which a cluster is dropped."""
AT_MOST = 1000
"""Pictures of a class that are clustered; the others join the view that explains them best."""


class Views(NamedTuple):
    """A of the views of a class, (m, r, k), and the view of each picture, (n,)."""

    coefficients: Tensor
    labels: Tensor


def views(cosines: Float[Tensor, "n r k"], m: int, *, kappa: float, steps: int = 10, random_state: int = 0) -> Views:
    """At most m views of the pictures of one class.

    Parameters
    ----------
    cosines : Tensor of shape (n, r, k)
        Of every position with every kernel; n >= 1.
    m : int
    kappa : float
    steps : int, >= 0
        Of hard EM; it ends when less than a hundredth of the pictures change their view.
    random_state : int
        Which pictures are clustered, if there are many, and how the halves are told apart.
    """
    n = len(cosines)
    some = torch.as_tensor(np.sort(np.random.default_rng(random_state).permutation(n)[:AT_MOST]))
    labels = halved(similarity(fired(cosines[some])), m, random_state=random_state)
    part = shares(cosines, kappa)
    a = estimate(part[some], labels)
    active, top = activations(cosines, kappa)
    old = torch.full((n,), -1)
    old[some] = labels
    for _ in range(steps):
        new = explained(active, top, a, 1.0).mean(dim=2).argmax(dim=1)
        changed = float((new != old).double().mean())
        old, a = new, estimate(part, new)
        if changed < 0.01:
            break
    return Views(a, torch.unique(old, return_inverse=True)[1])


def fired(cosines: Float[Tensor, "n r k"]) -> Bool[Tensor, "n rk"]:
    """Which kernels fire where: cosines above the smallest threshold under which neither few nor many do."""
    for threshold in THRESHOLDS:
        active = cosines > threshold
        if FEW < float(active.sum(dim=2, dtype=torch.float64).mean()) < MANY:
            return active.flatten(1)
    return (cosines > ELSE).flatten(1)


def similarity(firing: Bool[Tensor, "n rk"]) -> Float[Tensor, "n n"]:
    """What fires in both of two pictures, over the mean of what fires in each; in [0, 1]."""
    a = firing.float()
    size = a.sum(dim=1)
    return 2 * (a @ a.T) / (size[:, None] + size).clamp_min(1)


def halved(w: Float[Tensor, "n n"], m: int, *, random_state: int = 0) -> Int[Tensor, " n"]:
    """Halve the clusters, the largest first, until there are m; the view of each picture, -1 if its cluster is tiny."""
    labels, count = torch.zeros(len(w), dtype=torch.long), 1
    while count < m:
        sizes = torch.bincount(labels, minlength=count)
        before = count
        for cluster in sizes.argsort(descending=True, stable=True).tolist():
            members = torch.nonzero(labels == cluster)[:, 0]
            if count < m and len(members) > 1:
                side = bisected(w[members][:, members], random_state=random_state)
                if side.any() and not side.all():
                    labels[members[side]] = count
                    count += 1
        if count == before:
            break
    sizes = torch.bincount(labels, minlength=count)
    kept = torch.nonzero(sizes >= SMALLEST * len(w))[:, 0]
    place = torch.full((count,), -1)
    place[kept] = torch.arange(len(kept))
    return place[labels]


def bisected(w: Float[Tensor, "n n"], *, random_state: int = 0) -> Bool[Tensor, " n"]:
    """Spectral clustering into two: k-means on the rows of the two leading eigenvectors of D^-1/2 W D^-1/2.

    Source: Ng, Jordan & Weiss, "On Spectral Clustering", NeurIPS 2001.
    """
    if len(w) == 2:
        return torch.tensor([False, True])
    w = w.double() + 1e-6  # connected
    scale = w.sum(dim=1).rsqrt()
    leading = torch.linalg.eigh(scale[:, None] * w * scale)[1][:, -2:]
    rows = leading / leading.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return kmeans(rows, 2, restarts=5, random_state=random_state).labels == 1


def estimate(part: Float[Tensor, "n r k"], labels: Int[Tensor, " n"]) -> Float[Tensor, "m r k"]:
    """A of every view that has a picture: the mean of the shares of its pictures, normalized."""
    there = np.unique(labels[labels >= 0].numpy())
    return normalized(torch.stack([part[labels == view].mean(dim=0) for view in there.tolist()]))
