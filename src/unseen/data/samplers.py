"""Batches of a domain, with the index of every sample."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.domain import Domain, Lazy
from unseen.data.typing import IntArray


class Batch(NamedTuple):
    """Samples, their labels (None where there are none) and their positions in the domain."""

    x: Tensor
    y: Tensor | None
    index: Tensor  # type: ignore[assignment]  # hides tuple.index


class Both(NamedTuple):
    """A labelled batch and an unlabeled one."""

    labeled: Batch
    unlabeled: Batch


def tensor(domain: Domain, index: Any = slice(None)) -> Tensor:
    """The samples at `index` as one float tensor, (n, ...). Lazy samples must come as tensors or arrays."""
    x = domain.x[index]
    if isinstance(x, Lazy):
        values = list(x)
        if values and not isinstance(values[0], (Tensor, np.ndarray)):
            raise TypeError(
                f"{domain.name} holds {type(values[0]).__name__}s; a network needs tensors: "
                "use an encoder, or `domain.replace(x=domain.x.map(preprocess))`"
            )
        return torch.stack([torch.as_tensor(value) for value in values]).float()
    return torch.as_tensor(np.require(x, requirements=["C", "W"])).float()


def steps(n: int, size: int, drop_last: bool = True) -> int:
    """How many batches of at most `size` one pass over `n` samples gives; at least one."""
    if n < 1 or size < 1:
        raise ValueError(f"there must be at least one sample, in batches of at least one; got {n} and {size}")
    size = min(size, n)
    return n // size if drop_last else -(-n // size)


def class_steps(y: IntArray, size: int, each: int) -> int:
    """How many batches one pass of `class_batches` gives; at least one."""
    counts = np.unique(y, return_counts=True)[1]
    taken = np.where(counts < each, counts, counts // each * each)
    return steps(int(taken.sum()), size)


def hold_out(y: IntArray, share: float, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which samples to learn from and which to hold out: `share` of each class that has at least two, by seed.

    At least one and at most all but one of such a class; nothing where `share` is 0.
    """
    rng = np.random.default_rng(seed)
    out = np.zeros(len(y), dtype=bool)
    for label in np.unique(y) if share else ():
        members = rng.permutation(np.flatnonzero(y == label))
        out[members[: min(max(round(share * len(members)), 1), len(members) - 1)]] = True
    return ~out, out


def batches(
    domain: Domain,
    size: int,
    *,
    shuffle: bool = True,
    drop_last: bool = True,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    read: Callable[[NDArray[np.int64], torch.Generator], Tensor] | None = None,
) -> Callable[[Any], Iterator[Batch]]:
    """What `nn.train.train` reads: one shuffled pass over the domain per epoch, from the run's generator.

    Parameters
    ----------
    domain : Domain
        Features, or pictures that are read as tensors.
    size : int
        Samples in a batch; a smaller domain gives one batch of all samples.
    shuffle, drop_last : bool
    augment : callable (x, generator) -> x, optional
        Changes the samples of a batch at random.
    read : callable (positions, generator) -> x, optional
        Gives samples of the domain as one tensor, where more than `tensor` has to be done.
    """
    n = len(domain)
    size = min(size, n)
    y = None if domain.y is None else torch.as_tensor(domain.y)
    table = None if read is not None or isinstance(domain.x, Lazy) else tensor(domain)

    def stream(run: Any) -> Iterator[Batch]:
        order = torch.randperm(n, generator=run.generator) if shuffle else torch.arange(n)
        for start in range(0, n - size + 1 if drop_last else n, size):
            index = order[start : start + size]
            if read is not None:
                x = read(index.numpy(), run.generator)
            else:
                x = tensor(domain, index.numpy()) if table is None else table[index]
            if augment is not None:
                x = augment(x, run.generator)
            yield Batch(x, None if y is None else y[index], index)

    return stream


class Pair(NamedTuple):
    """Batches of equal size of two domains, whose i-th samples are a pair."""

    source: Batch
    target: Batch


def paired_batches(
    source: Domain,
    target: Domain,
    size: int,
    *,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> Callable[[Any], Iterator[Pair]]:
    """Batches of two domains side by side, drawn independently; a domain that is through begins anew, without an end.

    How long an epoch is, `nn.train.train` is told. `size` is at most that of the smaller domain; `augment` as in
    `batches`.
    """
    size = min(size, len(source), len(target))
    passes = [batches(domain, size, augment=augment) for domain in (source, target)]

    def stream(run: Any) -> Iterator[Pair]:
        yield from itertools.starmap(Pair, zip(*(endless(draw, run) for draw in passes)))

    return stream


def endless(batches: Callable[[Any], Iterator[Batch]], run: Any) -> Iterator[Batch]:
    """Pass after pass of `batches`."""
    while True:
        yield from batches(run)


def domain_numbers(domain: Domain) -> NDArray[np.int64]:
    """A number from 0 for each sample's domain, by the column `domain`; 0 for all where there is none, (n,)."""
    column = domain.columns.get("domain", np.zeros(len(domain)))
    return np.unique(column, return_inverse=True)[1].reshape(-1).astype(np.int64)


def domain_steps(groups: NDArray[Any], size: int, smallest: int = 1) -> int:
    """How many batches one epoch of `domain_batches` has."""
    counts = np.unique(groups, return_counts=True)[1]
    return int(sum(n // size + (n % size >= smallest) for n in counts.tolist()))


def domain_batches(
    domain: Domain, groups: NDArray[Any], size: int, smallest: int = 1
) -> Callable[[Any], Iterator[Batch]]:
    """Like `batches`, but every batch is of one group; the batches of all groups come in random order.

    Parameters
    ----------
    domain : Domain
    groups : array of shape (n,)
        Which group a sample belongs to: its domain.
    size : int
        Samples in a batch.
    smallest : int
        What is left of a group is a batch, too, if it has so many samples.
    """
    y = None if domain.y is None else torch.as_tensor(domain.y)
    table = None if isinstance(domain.x, Lazy) else tensor(domain)
    members = [torch.as_tensor(np.flatnonzero(groups == group)) for group in np.unique(groups)]

    def stream(run: Any) -> Iterator[Batch]:
        shuffled = (group[torch.randperm(len(group), generator=run.generator)] for group in members)
        pieces = [piece for group in shuffled for piece in torch.split(group, size) if len(piece) >= smallest]
        for i in torch.randperm(len(pieces), generator=run.generator).tolist():
            index = pieces[i]
            x = tensor(domain, index.numpy()) if table is None else table[index]
            yield Batch(x, None if y is None else y[index], index)

    return stream


def both_batches(
    labeled: Domain, unlabeled: Domain, size: int, ratio: int, total: int, per_epoch: int
) -> Callable[[Any], Iterator[Both]]:
    """Semi-supervised batches: `size` labelled samples beside `ratio` times as many unlabeled ones, `total` in all.

    Both are drawn without replacement, over and over: a domain that is smaller than its batch stands in it several
    times.

    Parameters
    ----------
    labeled, unlabeled : Domain
    size, ratio : int, >= 1
    total, per_epoch : int
        Batches of the whole training and of an epoch; the last epoch has what is left.
    """
    y = torch.as_tensor(labeled.labels)
    tables = [None if isinstance(d.x, Lazy) else tensor(d) for d in (labeled, unlabeled)]

    def stream(run: Any) -> Iterator[Both]:
        left = min(per_epoch, total - run.step)
        drawn = (_rounds(len(d), n * left, run.generator) for d, n in ((labeled, size), (unlabeled, ratio * size)))
        pieces = zip(*(torch.split(index, len(index) // left) for index in drawn))
        for pair in pieces:
            known, new = (
                tensor(d, index.numpy()) if table is None else table[index]
                for d, table, index in zip((labeled, unlabeled), tables, pair)
            )
            yield Both(Batch(known, y[pair[0]], pair[0]), Batch(new, None, pair[1]))

    return stream


def _rounds(n: int, length: int, generator: torch.Generator) -> Tensor:
    """`length` positions: random orders of `n`, one after the other."""
    orders = [torch.randperm(n, generator=generator) for _ in range(-(-length // n))]
    return torch.cat(orders)[:length]


def joint_steps(groups: NDArray[Any], size: int) -> int:
    """How many batches of `size` samples of each group see about as many samples as there are; at least one."""
    return max(1, len(groups) // (size * len(np.unique(groups))))


def joint_batches(
    domain: Domain,
    groups: NDArray[Any],
    size: int,
    *,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> Callable[[Any], Iterator[Batch]]:
    """Like `batches`, but every batch has `size` samples of each group, and there is no last one.

    Each group is shuffled, read to its end, and shuffled again; of a group with fewer samples than `size`, some stand
    twice in a batch.

    Parameters
    ----------
    domain : Domain
    groups : array of shape (n,)
        Which group a sample belongs to: its domain.
    size : int
        Samples of each group in a batch.
    augment : callable (x, generator) -> x, optional
        Changes the samples of a batch at random.
    """
    y = None if domain.y is None else torch.as_tensor(domain.y)
    table = None if isinstance(domain.x, Lazy) else tensor(domain)
    members = [torch.as_tensor(np.flatnonzero(groups == group)) for group in np.unique(groups)]

    def stream(run: Any) -> Iterator[Batch]:
        left = [group[:0] for group in members]
        while True:
            for i, group in enumerate(members):
                while len(left[i]) < size:
                    left[i] = torch.cat([left[i], group[torch.randperm(len(group), generator=run.generator)]])
            index = torch.cat([queue[:size] for queue in left])
            left = [queue[size:] for queue in left]
            x = tensor(domain, index.numpy()) if table is None else table[index]
            if augment is not None:
                x = augment(x, run.generator)
            yield Batch(x, None if y is None else y[index], index)

    return stream


def class_batches(
    domain: Domain,
    size: int,
    each: int,
    *,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> Callable[[Any], Iterator[Batch]]:
    """Like `batches`, but `each` samples of a class stand together: batches hold few classes, and several of each.

    Which classes come together is drawn anew; what is left of a class that `each` does not divide rests in this pass.
    A class with fewer samples than `each` comes with all that it has. Batches are filled up to `size`, so that a class
    may go on in the next one; `class_steps` says how many there are.

    Parameters
    ----------
    domain : Domain
        With labels.
    size, each : int
        Samples in a batch, and of a class that stand together.
    augment : callable (x, generator) -> x, optional
        Changes the samples of a batch at random.
    """
    y = torch.as_tensor(domain.labels)
    table = None if isinstance(domain.x, Lazy) else tensor(domain)
    members = [torch.nonzero(y == label).flatten() for label in torch.unique(y)]
    count = class_steps(domain.labels, size, each)

    def stream(run: Any) -> Iterator[Batch]:
        pieces = []
        for positions in members:
            shuffled = positions[torch.randperm(len(positions), generator=run.generator)]
            pieces += [part for part in torch.split(shuffled, each) if len(part) == min(each, len(positions))]
        row = torch.cat([pieces[i] for i in torch.randperm(len(pieces), generator=run.generator).tolist()])
        for start in range(0, count * size, size):
            index = row[start : start + size]
            x = tensor(domain, index.numpy()) if table is None else table[index]
            if augment is not None:
                x = augment(x, run.generator)
            yield Batch(x, y[index], index)

    return stream
