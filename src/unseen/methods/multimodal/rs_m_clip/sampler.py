"""Which caption of a picture is read, and in which language: drawn anew whenever the picture is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.pairs import Pairs
from unseen.data.translations import LANGUAGE
from unseen.nn.train import Run

GROUP = "group"
"""A column of pairs that says which of them show one picture; equal pictures do where it is absent."""


class Drawn(NamedTuple):
    """Pictures of a batch, and which pair each is read with."""

    picture: Tensor
    pair: Tensor


class LanguageSampler:
    """Draws a caption of each picture: first a language, then one of its captions in it.

    Parameters
    ----------
    picture, language : array (n,)
        Of each pair the number of its picture, from 0, and its language.
    source : str
        The language that captions were written in.
    p_source : float in [0, 1], optional
        Probability of the source language; the others share the rest alike. All alike if absent. Languages that a
        picture has no caption in are passed over.
    every : bool
        False reads only the first caption that a picture has in a language.
    """

    def __init__(
        self,
        picture: NDArray[np.integer],
        language: NDArray[Any],
        source: str,
        p_source: float | None = None,
        every: bool = True,
    ) -> None:
        self.languages: tuple[str, ...] = tuple(np.unique(language).tolist())
        codes = np.searchsorted(self.languages, language)
        n, m = int(picture.max()) + 1, len(self.languages)
        cell = picture * m + codes
        self.order = torch.as_tensor(np.argsort(cell, kind="stable"))
        counts = np.bincount(cell, minlength=n * m)
        self.start = torch.as_tensor(np.cumsum(counts) - counts).view(n, m)
        self.count = torch.as_tensor(counts if every else np.minimum(counts, 1)).view(n, m)
        there = torch.as_tensor(counts > 0).view(n, m).double()
        if p_source is None or source not in self.languages:
            weight = there
        else:
            column = self.languages.index(source)
            others = there.clone()
            others[:, column] = 0
            weight = others * (1 - p_source) / others.sum(dim=1, keepdim=True).clamp(min=1)
            weight[:, column] = there[:, column] * p_source
            nothing = weight.sum(dim=1) <= 0  # of a picture with the source alone, or without it
            weight[nothing] = there[nothing]
        self.up_to = (weight / weight.sum(dim=1, keepdim=True)).cumsum(dim=1)

    def __len__(self) -> int:
        return len(self.start)

    def draw(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """A pair of each picture."""
        u = torch.rand(len(pictures), 2, generator=generator, dtype=torch.float64)
        code = (u[:, :1] >= self.up_to[pictures]).sum(dim=1).clamp(max=len(self.languages) - 1)
        code = torch.where(self.count[pictures, code] > 0, code, self.count[pictures].argmax(dim=1))
        which = (u[:, 1] * self.count[pictures, code]).long()
        return self.order[self.start[pictures, code] + which]

    def batches(self, size: int) -> Callable[[Run], Iterator[Drawn]]:
        """One shuffled pass over the pictures per epoch, each once; full batches only."""
        n = len(self)
        size = min(size, n)

        def stream(run: Run) -> Iterator[Drawn]:
            order = torch.randperm(n, generator=run.generator)
            for begin in range(0, n - size + 1, size):
                pictures = order[begin : begin + size]
                yield Drawn(pictures, self.draw(pictures, run.generator))

        return stream


def languages_of(pairs: Pairs, source: str) -> NDArray[Any]:
    """The language of every caption, by the column `language`; the source's where there is none."""
    column = pairs.columns.get(LANGUAGE)
    if column is None:
        return np.full(len(pairs), source)
    return np.asarray(column, dtype=np.str_)


def pictures_of(pairs: Pairs, digests: Sequence[str] | NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each pair the number of its picture, in the order in which they come, and the first pair of each picture."""
    keys = pairs.columns[GROUP] if GROUP in pairs.columns else np.asarray(digests)
    _, first, number = np.unique(keys, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first))
    return place[number.reshape(-1)], np.sort(first)
