"""`Vectors`: the unit vectors of one side of a collection, read from disk by row, and searched exactly."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from unseen.curation.collection import Collection, Side
from unseen.data.typing import FloatArray, IntArray

BoolArray = NDArray[np.bool_]

ALONE = 8
"""Part of the rows, one in so many, below which those that may be found are read one by one."""

DIGESTED = 512
"""Rows from which vectors are known again."""

BLOCK = 32_768
"""Vectors that are in memory at once while all are gone through."""


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Unit vectors in shards, as one table of (n, d) whose rows stay on disk.

    Parameters
    ----------
    parts : sequence of array (n_i, d)
        Of the shards, in their order.
    """

    parts: Sequence[NDArray[np.floating]]

    @classmethod
    def of(cls, collection: Collection, side: Side) -> Vectors:
        """Those of a collection; `ValueError` if it has none, or if shards differ in width or from its encoder."""
        if not collection.shards:
            raise ValueError(f"{collection.folder.name} holds no shard yet")
        parts = [shard.embeddings(side) for shard in collection.shards]
        widths = {part.shape[1] for part in parts}
        if len(widths) > 1 or (collection.encoder and widths != {collection.encoder.dim}):
            named = f", the encoder gives {collection.encoder.dim}" if collection.encoder else ""
            raise ValueError(f"the vectors of {side}s are {sorted(widths)} wide{named}: they are not of one encoder")
        return cls(parts)

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.parts[0].shape[1])

    @property
    def starts(self) -> IntArray:
        """First row of every part, and the number of rows."""
        return np.concatenate([[0], np.cumsum([len(part) for part in self.parts])]).astype(np.int64)

    def take(self, rows: IntArray) -> NDArray[np.float32]:
        """Vectors of rows, (k, d), in their order."""
        rows = np.asarray(rows, dtype=np.int64)
        if len(self.parts) == 1:
            return self.parts[0][rows].astype(np.float32)
        out = np.empty((len(rows), self.dim), dtype=np.float32)
        starts = self.starts
        part_of = np.searchsorted(starts, rows, side="right") - 1
        order = np.argsort(rows, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(part_of[order])) + 1):
            if len(group):
                part = int(part_of[group[0]])
                out[group] = self.parts[part][rows[group] - starts[part]]
        return out

    def digest(self, rows: int | None = None) -> str:
        """SHA-256 over some hundred spaced vectors among the first `rows`: whether they were made anew shows in it."""
        at = np.unique(np.linspace(0, (len(self) if rows is None else rows) - 1, DIGESTED).astype(np.int64))
        return hashlib.sha256(np.ascontiguousarray(self.take(at), dtype="<f4").tobytes()).hexdigest()

    def places(self, first: int = 0, size: int = BLOCK) -> list[tuple[int, int]]:
        """Part and position of the beginning of every block from row `first` on."""
        return [
            (part, at)
            for part, start in enumerate(self.starts[:-1].tolist())
            for at in range(max(0, first - start), len(self.parts[part]), size)
        ]

    def block(self, place: tuple[int, int], size: int = BLOCK) -> NDArray[np.float32]:
        """The vectors of a block."""
        part, at = place
        return np.asarray(self.parts[part][at : at + size], dtype=np.float32)

    def exact(
        self, queries: FloatArray, k: int, *, within: BoolArray | None = None
    ) -> tuple[NDArray[np.float32], IntArray]:
        """The k nearest rows of every query by going through all vectors.

        Parameters
        ----------
        queries : array (m, d)
            Unit vectors.
        k : int, >= 1
        within : array of n bools, optional
            Rows that may be found.

        Returns
        -------
        similarity, rows : array (m, k)
            The nearest first; fewer than k leave -inf and -1 at the end.
        """
        asked = torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32))
        best = torch.full((len(asked), k), -torch.inf)
        neighbours = torch.full((len(asked), k), -1, dtype=torch.int64)
        for allowed, block in self._allowed(within):
            rows = torch.from_numpy(allowed)
            similarity = asked @ torch.from_numpy(block).T
            top, at = similarity.topk(min(k, len(block)), dim=1)
            best, order = torch.cat([best, top], dim=1).topk(k, dim=1)
            neighbours = torch.cat([neighbours, rows[at]], dim=1).gather(1, order)
        return best.numpy(), neighbours.masked_fill(best == -torch.inf, -1).numpy()

    def above(
        self, query: FloatArray, threshold: float, *, within: BoolArray | None = None
    ) -> tuple[FloatArray, IntArray]:
        """All rows at least as similar to a query (d,) as `threshold`, the nearest first: similarities and rows."""
        asked = np.asarray(query, dtype=np.float32)
        kept: list[tuple[FloatArray, IntArray]] = [(np.empty(0, np.float32), np.empty(0, np.int64))]
        for rows, block in self._allowed(within):
            similarity = block @ asked
            good = similarity >= threshold
            kept.append((similarity[good], rows[good]))
        similarity, neighbours = (np.concatenate(column) for column in zip(*kept))
        order = np.argsort(-similarity, kind="stable")
        return similarity[order], neighbours[order]

    def _allowed(self, within: BoolArray | None) -> Iterator[tuple[IntArray, NDArray[np.float32]]]:
        """Blocks of the rows that may be found, with their rows; few of them are read alone."""
        if within is not None and ALONE * (chosen := np.flatnonzero(within)).size < len(self):
            for at in range(0, len(chosen), BLOCK):
                yield chosen[at : at + BLOCK], self.take(chosen[at : at + BLOCK])
            return
        starts = self.starts
        for place in self.places():
            block = self.block(place)
            rows = np.arange(len(block)) + starts[place[0]] + place[1]
            if within is None:
                yield rows, block
            elif (good := within[rows]).any():
                yield rows[good], block[good]
