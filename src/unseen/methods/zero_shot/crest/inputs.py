"""What is learnt from, made ready: regions, word vectors of attributes, batches with several samples of a class."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import Batch
from unseen.data.words import WordVectors, wordllama
from unseen.methods.needs import REGIONS, has_regions
from unseen.methods.zero_shot.crest.network import Resonance
from unseen.nn.classifier import Standardizer, evaluating

CHUNK = 128
"""Samples whose regions are in memory, as float32, together."""
FIRST, QUERIES = 1024, 5000
"""Samples, and their queries to the bank, of which at most so many are clustered into its first patterns."""

log = logging.getLogger(__name__)


def regions_of(source: Domain) -> NDArray[Any]:
    """Features of the regions, (n, r, d), of any float type; without the column, one region: the sample itself."""
    return source.columns[REGIONS] if has_regions(source) else source.x[:, None]


def rows(regions: NDArray[Any], index: Any) -> Float[Tensor, "b r d"]:
    """Some samples as float32."""
    return torch.as_tensor(np.array(regions[index], dtype=np.float32))


def chunks(index: Int[np.ndarray, " n"]) -> list[Int[np.ndarray, " m"]]:
    """Positions in parts that memory can hold."""
    return np.array_split(index, -(-len(index) // CHUNK))


def measure(scale: Standardizer, regions: NDArray[Any], index: Int[np.ndarray, " m"]) -> None:
    """Take mean and deviation of each feature over all regions of some samples, a chunk at a time."""
    parts, count = chunks(index), len(index) * regions.shape[1]
    mean = torch.stack([rows(regions, part).double().sum(dim=(0, 1)) for part in parts]).sum(dim=0) / count
    squares = [(rows(regions, part).double() - mean).square().sum(dim=(0, 1)) for part in parts]
    std = (torch.stack(squares).sum(dim=0) / count).sqrt()
    varies = std > 1e-6 * mean.abs()
    usual = float(std[varies].median()) if varies.any() else 20.0
    scale.mean, scale.std = mean.float(), std.clamp_min(0.05 * usual).float()  # what hardly varies here may elsewhere


def start(network: Resonance, regions: NDArray[Any], index: Int[np.ndarray, " m"], random_state: int) -> None:
    """Standardize features as some samples need it, and put patterns at the centres of their queries (step 5)."""
    measure(network.scale, regions, index)
    if network.bank is None:
        return
    some = index[np.linspace(0, len(index) - 1, min(len(index), FIRST)).astype(np.int64)]
    with evaluating(network), torch.no_grad():
        first = torch.cat([network.queries(rows(regions, part)) for part in chunks(some)]).flatten(0, 1)
    network.bank.start(first[np.linspace(0, len(first) - 1, min(len(first), QUERIES)).astype(np.int64)], random_state)


class Known(nn.Module):
    """The classes that are learnt from, and those that are unseen for the time being."""

    present: Tensor
    unseen: Tensor

    def __init__(self, present: Int[np.ndarray, " s"], unseen: Int[np.ndarray, " u"]) -> None:
        super().__init__()
        self.register_buffer("present", torch.as_tensor(present))
        self.register_buffer("unseen", torch.as_tensor(unseen))


def attribute_words(classes: ClassSpace, n: int, encoder: Any) -> tuple[Float[Tensor, "a w"], tuple[str, ...]]:
    """A unit vector for each of n attributes, the mean of the vectors of its words, and what it is called.

    Attributes without names, and the values of embeddings, are told apart by their place alone.

    Raises
    ------
    ValueError
        If no word of a name has a vector.
    """
    if encoder is not None and not isinstance(encoder, WordVectors):
        raise TypeError(f"encoder must be a WordVectors (unseen.data.words); got {type(encoder).__name__}")
    names = classes.attribute_names if classes.attributes is not None else None
    if names is None:
        return torch.eye(n), tuple(f"attribute {i + 1}" for i in range(n))
    words = wordllama() if encoder is None else encoder
    read = words.read(names)
    known = read.tokens >= 0
    if not known.any(axis=1).all():
        silent = names[int(np.argmin(known.any(axis=1)))]
        raise ValueError(f"classes: no word of attribute {silent!r} has a vector in {words!r}; give another encoder")
    vectors = torch.as_tensor(read.table)[torch.as_tensor(read.tokens.clip(min=0))]
    mean = (vectors * torch.as_tensor(known)[:, :, None]).sum(dim=1)
    return F.normalize(mean, dim=1), names


def tell_constant(classes: ClassSpace) -> int:
    """Count the attributes that are the same for all classes, and say so: they tell no class from another."""
    values = classes.attributes if classes.attributes is not None else classes.embeddings
    assert values is not None
    constant = int((values == values[0]).all(axis=0).sum())
    if constant:
        log.info("%d of %d attributes are the same for all classes", constant, values.shape[1])
    return constant


def paired_batches(
    regions: NDArray[Any], y: Int[Tensor, " n"], index: Int[np.ndarray, " m"], size: int, *, paired: bool
) -> Callable[[Any], Iterator[Batch]]:
    """One shuffled pass over some samples per epoch; if `paired`, two samples of a class come together."""
    label = y[torch.as_tensor(index)]

    def stream(run: Any) -> Iterator[Batch]:
        order = torch.randperm(len(index), generator=run.generator)
        if paired:
            order = _in_pairs(order, label, run.generator)
        for start in range(0, len(order), size):
            chosen = index[order[start : start + size].numpy()]
            yield Batch(rows(regions, chosen), y[torch.as_tensor(chosen)], torch.as_tensor(chosen))

    return stream


def _in_pairs(order: Int[Tensor, " m"], label: Int[Tensor, " m"], generator: torch.Generator) -> Int[Tensor, " m"]:
    """The order with samples of a class joined two by two, and the pairs in random order."""
    sorted_ = order[torch.argsort(label[order], stable=True)]
    of = label[sorted_]
    begins = torch.cat([torch.ones(1, dtype=torch.bool), of[1:] != of[:-1]])
    place = torch.arange(len(of))
    rank = place - torch.cummax(torch.where(begins, place, torch.zeros_like(place)), dim=0).values
    pair = torch.cumsum((begins | (rank % 2 == 0)).long(), dim=0) - 1
    shuffled = torch.randperm(int(pair[-1]) + 1, generator=generator)
    return sorted_[torch.argsort(shuffled[pair], stable=True)]
