"""Episodes of meta-training: known and pseudo-unknown classes of a source and of a target that share no known class."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.domain import Domain
from unseen.data.samplers import tensor
from unseen.data.typing import IntArray
from unseen.nn.train import Run

UNKNOWN_LABEL = -1


class Rows(NamedTuple):
    """Rows of one domain in an episode: support (way, shots), queries (way, q), those of unknown classes (u, q)."""

    classes: IntArray
    support: IntArray
    query: IntArray
    unknown: IntArray


class Side(NamedTuple):
    """Samples of one domain in an episode: first the support, class by class, then known queries, then unknown ones.

    `y` is the place of a class in the episode, -1 of unknown ones, and `label` what the GANs are told: a number of the
    class among all classes of both domains.
    """

    x: Tensor
    y: Tensor
    label: Tensor
    n_support: int
    n_known: int


class EpisodeBatch(NamedTuple):
    """An episode: the source's side and the target's."""

    source: Side
    target: Side


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpisodeSampler:
    """Draws episodes: `way` known classes of each domain, and `unknown` others whose queries belong to none of them.

    Known classes of the two domains are never the same; unknown classes are none of the known ones of their domain, and
    none of the other domain's where there are enough. No sample is in the support and among the queries.

    Parameters
    ----------
    source, target : int arrays (n,), (m,)
        Labels; equal numbers are the same class.
    way : int, >= 2
    unknown : int, >= 1
    shots : tuple of two int, >= 1
        Labelled samples of a class in the source and in the target.
    queries : tuple of two int, >= 1
        Samples of a class, known or not, that are asked about, in the source and in the target.

    Raises
    ------
    ValueError
        If there are too few classes, or classes with enough samples.
    """

    source: IntArray
    target: IntArray
    way: int
    unknown: int
    shots: tuple[int, int] = (4, 1)
    queries: tuple[int, int] = (2, 2)

    def __post_init__(self) -> None:
        sides = zip(("source", "target"), (self.source, self.target), self.shots, self.queries)
        rich: list[IntArray] = []
        for name, y, shots, queries in sides:
            rich.append(with_samples(y, shots + queries))
            others = len(with_samples(y, queries)) - self.way
            if len(rich[-1]) < self.way:
                raise ValueError(
                    f"way must be at most {len(rich[-1])}, the classes of {name} with {shots} shots and {queries} "
                    f"queries; got {self.way}"
                )
            if others < self.unknown:
                raise ValueError(
                    f"unknown must be at most {others}, the classes of {name} with {queries} queries beside "
                    f"{self.way} known ones; got {self.unknown}"
                )
        both = len(np.union1d(*rich))
        if both < 2 * self.way:
            raise ValueError(
                f"way must be at most {both // 2}, so that source and target have no known class in common: both "
                f"together have {both} classes; got {self.way}"
            )

    def draw(self, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """The rows of the source and of the target in one episode."""
        rich = [with_samples(y, s + q) for y, s, q in zip((self.source, self.target), self.shots, self.queries)]
        order = rng.permutation(rich[1])
        shared = np.isin(order, rich[0])
        allowed = ~shared | (np.cumsum(shared) <= len(rich[0]) - self.way)  # enough must stay for the source
        of_target = order[allowed][: self.way]
        of_source = rng.permutation(np.setdiff1d(rich[0], of_target))[: self.way]
        return (
            self._rows(rng, self.source, of_source, of_target, 0),
            self._rows(rng, self.target, of_target, of_source, 1),
        )

    def _rows(self, rng: np.random.Generator, y: IntArray, known: IntArray, elsewhere: IntArray, side: int) -> Rows:
        shots, queries = self.shots[side], self.queries[side]
        others = rng.permutation(np.setdiff1d(with_samples(y, queries), known))
        others = others[np.argsort(np.isin(others, elsewhere), kind="stable")][: self.unknown]
        drawn = np.stack([rng.permutation(np.flatnonzero(y == label))[: shots + queries] for label in known])
        unknown = np.stack([rng.permutation(np.flatnonzero(y == label))[:queries] for label in others])
        return Rows(known, drawn[:, :shots], drawn[:, shots:], unknown)


class JointLabels(NamedTuple):
    """Labels of source and target, in which equal numbers are the same class."""

    source: IntArray
    target: IntArray


def joint_labels(source: Domain, target: Domain) -> JointLabels:
    """Classes are the same if their names are, or, where names are missing, their numbers."""
    if source.classes is None or target.classes is None:
        return JointLabels(source.labels, target.labels)
    place = {name: i for i, name in enumerate(source.classes.names)}
    onto = np.array([place.setdefault(name, len(place)) for name in target.classes.names])
    return JointLabels(source.labels, onto[target.labels])


def with_samples(y: IntArray, least: int) -> IntArray:
    """Classes of which there are at least so many samples, in order."""
    labels, counts = np.unique(y[y >= 0], return_counts=True)
    return labels[counts >= least]


def largest_way(source: IntArray, target: IntArray, shots: tuple[int, int], queries: tuple[int, int]) -> int:
    """The most known classes of each domain that episodes can have, with an unknown one besides; 0 for none."""
    rich = [with_samples(y, s + q) for y, s, q in zip((source, target), shots, queries)]
    spare = [len(with_samples(y, q)) - 1 for y, q in zip((source, target), queries)]
    return max(0, min(len(rich[0]), len(rich[1]), len(np.union1d(*rich)) // 2, *spare))


def episode_batches(source: Domain, target: Domain, sampler: EpisodeSampler) -> Callable[[Run], Iterator[EpisodeBatch]]:
    """What `nn.train.train` reads: one episode after another, from the run's generator."""
    x, label = (tensor(source), tensor(target)), gan_labels(sampler.source, sampler.target)

    def stream(run: Run) -> Iterator[EpisodeBatch]:
        while True:
            seed = int(torch.randint(2**31 - 1, (1,), generator=run.generator))
            drawn = sampler.draw(np.random.default_rng(seed))
            yield EpisodeBatch(
                _side(x[0], label[0], drawn[0]),
                _side(x[1], label[1], drawn[1]),
            )

    return stream


def gan_labels(source: IntArray, target: IntArray) -> tuple[IntArray, IntArray]:
    """Numbers of the classes of the source from 0, then those of the target: each domain has its own (step 2)."""
    places = [np.unique(y, return_inverse=True) for y in (source, target)]
    return places[0][1], len(places[0][0]) + places[1][1]


def _side(x: Tensor, labels: IntArray, rows: Rows) -> Side:
    way, shots = rows.support.shape
    order = np.concatenate([rows.support.ravel(), rows.query.ravel(), rows.unknown.ravel()])
    n_known = rows.query.size
    places: NDArray[Any] = np.concatenate(
        [
            np.repeat(np.arange(way), shots),
            np.repeat(np.arange(way), rows.query.shape[1]),
            np.full(rows.unknown.size, UNKNOWN_LABEL),
        ]
    )
    return Side(x[order], torch.as_tensor(places), torch.as_tensor(labels[order]), rows.support.size, n_known)
