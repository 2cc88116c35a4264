"""What the network is trained with: the loss of step 6, pseudo-labels of step 9, and the batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.methods.adaptation.ugt.compnet import SHARPNESS, CompNet
from unseen.nn.train import Run
from unseen.nn.von_mises_fisher import unit

CHUNK = 256
"""Pictures whose regions are in memory, as float32, together."""


class Losses(NamedTuple):
    """The three terms of step 6, each a weighted mean over the batch."""

    cross_entropy: Tensor
    dictionary: Tensor
    likelihood: Tensor


def losses(
    network: CompNet, cosines: Float[Tensor, "b r k"], y: Int[Tensor, " b"], weight: Float[Tensor, " b"]
) -> Losses:
    """CE(softmax(2 score), y), mean_i (1 - max_k mu_k . f_i) and -score of the true class."""
    scores = network.read(cosines).scores
    share = weight / weight.sum().clamp_min(1e-12)
    return Losses(
        (share * F.cross_entropy(SHARPNESS * scores, y, reduction="none")).sum(),
        (share * (1 - cosines.amax(dim=2)).mean(dim=1)).sum(),
        -(share * scores.gather(1, y[:, None])[:, 0]).sum(),
    )


def pseudo_labels(
    p: Float[Tensor, "n y"], threshold: float, share: float
) -> tuple[Int[Tensor, " n"], Bool[Tensor, " n"]]:
    """The most probable class of each sample, and which to believe (step 9).

    Those are believed whose probability is above the threshold, and the best `share` of those of each class.
    """
    best, labels = p.max(dim=1)
    order = torch.argsort(best, descending=True, stable=True)
    rank = torch.empty_like(labels)
    counts = torch.bincount(labels, minlength=p.shape[1])
    sorted_ = labels[order]
    one_hot = F.one_hot(sorted_, p.shape[1])
    rank[order] = (one_hot.cumsum(dim=0) * one_hot).sum(dim=1) - 1  # place among those of its class, the best is 0
    return labels, (best > threshold) | (rank < torch.ceil(share * counts[labels]))


class Examples(nn.Module):
    """Labels and weights of what is learnt from."""

    y: Tensor
    weight: Tensor

    def __init__(self, y: Int[Tensor, " n"], weight: Float[Tensor, " n"]) -> None:
        super().__init__()
        self.register_buffer("y", y)
        self.register_buffer("weight", weight)


def shuffled(table: Float[Tensor, "n ..."], size: int) -> Callable[[Run], Iterator[tuple[Tensor, Tensor]]]:
    """Batches of (samples, index), one shuffled pass per epoch."""

    def stream(run: Run) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(table), generator=run.generator)
        yield from ((table[index], index) for index in torch.split(order, size))

    return stream


# -- regions -----------------------------------------------------------------------------------------------


def chunks(regions: NDArray[Any]) -> Iterator[Float[Tensor, "b r d"]]:
    """Regions as float32, some pictures at a time."""
    for start in range(0, len(regions), CHUNK):
        yield torch.as_tensor(np.array(regions[start : start + CHUNK], dtype=np.float32))


@torch.no_grad()
def all_cosines(network: CompNet, regions: NDArray[Any]) -> Float[Tensor, "n r k"]:
    """mu_k . f_i of all pictures."""
    return torch.cat([network.cosines(part) for part in chunks(regions)])


def inner(side: int, border: int) -> Int[np.ndarray, " i"]:
    """Positions of a grid without its border; at least the middle ones are left."""
    border = min(border, (side - 1) // 2)
    kept = np.arange(border, side - border)
    return (side * kept[:, None] + kept).reshape(-1)


def sampled(
    regions: NDArray[Any], places: Int[np.ndarray, " p"], each: int, pictures: Int[np.ndarray, " m"], seed: int
) -> Float[Tensor, "s d"]:
    """At most `each` of the positions `places` of some pictures, drawn at random, at unit length (step 1).

    Positions whose features are all 0 are left out.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.random((len(pictures), len(places))).argsort(axis=1)[:, :each]
    rows = np.take_along_axis(regions[pictures], places[drawn][:, :, None], axis=1)
    x = unit(torch.as_tensor(rows.reshape(-1, regions.shape[2]).astype(np.float32)))
    return x[x.norm(dim=1) > 0]


def some_of_each(y: Int[np.ndarray, " n"], most: int, seed: int) -> Int[np.ndarray, " m"]:
    """Positions of at most `most` samples of each class, in order."""
    rng = np.random.default_rng(seed)
    parts = [rng.permutation(np.flatnonzero(y == label))[:most] for label in np.unique(y)]
    return np.sort(np.concatenate(parts))
