"""Rows that are read where they are asked for: some rows of an array, or several arrays one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 8192
"""Rows that are looked at together."""
SHORTEST = 1e-12
"""A row that is not longer has no direction."""


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Some rows of an array, in any order, so that they are never copied all at once."""

    x: Rows
    index: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: Any) -> NDArray[np.floating] | Tensor:
        return self.x[self.index[rows]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the table."""
        return (len(self.index), *self.x.shape[1:])

    @property
    def ndim(self) -> int:
        """Two."""
        return 2

    @property
    def dtype(self) -> Any:
        """Of the array that they are rows of."""
        return self.x.dtype


@dataclasses.dataclass(frozen=True, eq=False)
class Stack:
    """Arrays (n_i, d) of one width as one of (sum n_i, d); each stays where it is, mapped from disk perhaps.

    Parameters
    ----------
    parts : sequence of array (n_i, d)
        At least one.

    Raises
    ------
    ValueError
        If there is none, or their widths differ.
    """

    parts: Sequence[NDArray[np.floating]]

    def __post_init__(self) -> None:
        widths = sorted({part.shape[1:] for part in self.parts})
        if len(widths) != 1 or len(widths[0]) != 1:
            raise ValueError(f"arrays of one shape (n, d) but for n are stacked, at least one; got rows of {widths}")

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum([len(part) for part in self.parts])]).astype(np.int64)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the table."""
        return int(self._starts[-1]), self.parts[0].shape[1]

    @property
    def ndim(self) -> int:
        """Two."""
        return 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that holds the values of all parts."""
        return np.result_type(*(part.dtype for part in self.parts))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> NDArray[np.floating]:
        """The rows of a slice or of an array of positions, copied."""
        at = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        out = np.empty((len(at), self.shape[1]), dtype=self.dtype)
        which = np.searchsorted(self._starts, at, side="right") - 1
        for k in np.unique(which):
            mask = which == k
            out[mask] = self.parts[k][at[mask] - self._starts[k]]
        return out


Rows = NDArray[np.floating] | Tensor | Part | Stack
"""Rows of any float type, also an array that is mapped from disk, some rows of one, or several."""


def blocks(n: int, size: int | None = None) -> Iterator[slice]:
    """Consecutive pieces of at most `size` rows, `BLOCK` if absent."""
    size = BLOCK if size is None else size
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def floats(rows: NDArray[np.floating] | Tensor) -> Float[Tensor, "b d"]:
    """Rows as float32, copied."""
    if isinstance(rows, Tensor):
        return rows.detach().float().clone()
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is found by its length
        return torch.from_numpy(np.array(rows, dtype=np.float32))


def unit(rows: NDArray[np.floating] | Tensor) -> Float[Tensor, "b d"]:
    """Rows as float32 of unit length, copied; a row of zeros stays one."""
    vectors = floats(rows)
    return vectors / vectors.norm(dim=1, keepdim=True).clamp_min(SHORTEST)


def directed(x: Rows) -> Bool[np.ndarray, " n"]:
    """Which rows have a direction in float32, (n,): not zeros, and not so large that their length overflows.

    Raises
    ------
    ValueError
        If a value is NaN or infinite; the message names the row.
    """
    good = np.empty(len(x), dtype=bool)
    for rows in blocks(len(x)):
        raw = x[rows]
        lengths = floats(raw).norm(dim=1).numpy()
        good[rows] = np.isfinite(lengths) & (lengths > SHORTEST)
        for i in np.flatnonzero(~np.isfinite(lengths)):
            if not np.isfinite(np.asarray(raw[i])).all():
                raise ValueError(f"vectors must be finite; row {rows.start + int(i)} holds NaN or infinity")
    return good


def copies(x: Rows) -> Bool[np.ndarray, " n"]:
    """Which rows equal one before them in float32, value for value, (n,); found by a hash, then compared."""
    if not len(x):
        return np.zeros(0, dtype=bool)
    words = -(-x.shape[1] // 2)
    odd = np.random.default_rng(0).integers(0, 2**63, words, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    hashes = np.empty(len(x), dtype=np.uint64)
    for rows in blocks(len(x)):
        block = np.zeros((rows.stop - rows.start, 2 * words), dtype=np.float32)
        block[:, : x.shape[1]] = floats(x[rows]).numpy() + np.float32(0)  # adding 0 makes -0 the same as 0
        bits = block.view(np.uint64)
        bits ^= bits >> np.uint64(32)  # round numbers end in zeros, which a product alone would keep
        bits *= np.uint64(0x9E3779B97F4A7C15)
        bits ^= bits >> np.uint64(29)
        hashes[rows] = np.einsum("ij,j->i", bits, odd)
    order = np.argsort(hashes, kind="stable")
    new = np.r_[True, hashes[order][1:] != hashes[order][:-1]]
    first = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
    later, ahead = order[~new], first[~new]
    out = np.zeros(len(x), dtype=bool)
    for some in blocks(len(later)):
        same = (floats(x[later[some]]) == floats(x[ahead[some]])).all(dim=1)
        out[later[some]] = same.numpy()
    return out
