"""`SearchSpace`: what a search needs to know of a space of architectures."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from torch import nn

A = TypeVar("A")


class SearchSpace(abc.ABC, Generic[A]):
    """A finite set of architectures, each with a text of its own.

    Attributes
    ----------
    name : str
    slots : tuple of str
        Every parametric layer (Conv2d, Linear) that a network of the space can have, as its path in the network, in the
        order of the supernet. A network has some of them; statistics of the others are zero.
    """

    name: ClassVar[str]
    slots: tuple[str, ...]

    @abc.abstractmethod
    def __len__(self) -> int:
        """How many architectures there are."""

    @abc.abstractmethod
    def at(self, index: int) -> A:
        """The architecture of a number in [0, len)."""

    @abc.abstractmethod
    def parse(self, text: str) -> A:
        """The architecture of a text; `ValueError` says what is wrong with it."""

    @abc.abstractmethod
    def neighbours(self, architecture: A) -> list[A]:
        """All architectures that differ by one choice."""

    @abc.abstractmethod
    def build(self, architecture: A | str, *, n_classes: int, channels: int = 1, size: int = 8) -> nn.Module:
        """The untrained network for pictures (channels, size, size)."""

    def __iter__(self) -> Iterator[A]:
        return (self.at(i) for i in range(len(self)))

    def sample(self, n: int, seed: int) -> list[A]:
        """`n` different architectures, drawn uniformly."""
        if not 1 <= n <= len(self):
            raise ValueError(f"n must lie in [1, {len(self)}], the size of the space {self.name}; got {n}")
        return [self.at(int(i)) for i in np.random.default_rng(seed).choice(len(self), n, replace=False)]

    def mutate(self, architecture: A, rng: np.random.Generator) -> A:
        """A neighbour, drawn uniformly."""
        near = self.neighbours(architecture)
        return near[int(rng.integers(len(near)))]


def check_picture(n_classes: int, channels: int, size: int, least: int) -> None:
    """`ValueError` unless a network can be built for such pictures."""
    for name, value, low in (("n_classes", n_classes, 2), ("channels", channels, 1), ("size", size, least)):
        if value < low:
            raise ValueError(f"{name} must be at least {low}; got {value}")


def digit(index: int, choices: Sequence[Any]) -> tuple[int, Any]:
    """Split a number by the last of its choices: what is left, and the choice."""
    return index // len(choices), choices[index % len(choices)]


def number(word: str, prefix: str, choices: Sequence[int], text: str) -> int:
    """The number behind a prefix, one of `choices`; `ValueError` shows the text that it stands in."""
    value = word.removeprefix(prefix)
    if not word.startswith(prefix) or value not in map(str, choices):
        raise ValueError(f"{word!r} in {text!r} must be {prefix} and one of {', '.join(map(str, choices))}")
    return int(value)
