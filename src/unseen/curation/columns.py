"""`Columns`: what is said of every pair, by column and mapped from disk, so that a row costs microseconds.

    index/columns.arrow      all rows of all columns, uncompressed
    index/columns.json       the order that they were made from
    index/columns.npy        where each row stands, if they were put into the order of an index's lists

A row of a Parquet file costs its whole column; here it costs one page. Rows whose vectors lie in one list of an index
are found together, so that reordering by lists lets a query read few pages.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unseen.curation.collection import Collection
from unseen.data.typing import FloatArray, IntArray
from unseen.runtime import replacing

FORMAT = 1
_PLACES = ("offset", "size")
_UNLIKE = ("uid", "url", "text", "sha256")


def is_private(name: str) -> bool:
    """Whether a column stays on this machine: where a picture's bytes lie, and names that begin with an underscore."""
    return name.startswith("_") or name in _PLACES


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of a collection, in memory only as far as they are read.

    Attributes
    ----------
    batches : sequence of pa.RecordBatch
        Mapped from disk.
    rank : array (n,) or None
        Where each row of the collection stands; None if in its own place.
    """

    batches: Sequence[pa.RecordBatch]
    rank: IntArray | None = None

    def __len__(self) -> int:
        return int(self._starts[-1])

    @cached_property
    def _starts(self) -> IntArray:
        return np.concatenate([[0], np.cumsum([len(batch) for batch in self.batches])]).astype(np.int64)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns that may be shown."""
        return tuple(name for name in self.batches[0].schema.names if not is_private(name)) if self.batches else ()

    @cached_property
    def numeric(self) -> tuple[str, ...]:
        """Those of them that hold numbers."""
        return tuple(
            name
            for name in self.names
            if pa.types.is_floating(kind := self.batches[0].schema.field(name).type) or pa.types.is_integer(kind)
        )

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Those that hold words which rows share: not the keys, nor the captions."""
        return tuple(name for name in self.names if name not in self.numeric and name not in _UNLIKE)

    def take(self, rows: Sequence[int] | IntArray, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """What is said of rows, a dictionary each, in their order.

        Raises
        ------
        IndexError
            If there is no such row.
        ValueError
            If there is no such column.
        """
        names = self.names if names is None else names
        for name in names:
            self._need(name)
        places = self._places(rows)
        parts = np.searchsorted(self._starts, places, side="right") - 1
        out: list[dict[str, Any]] = [{} for _ in places]
        for part in np.unique(parts).tolist():
            at = np.flatnonzero(parts == part)
            inside = pa.array(places[at] - self._starts[part])
            told = self.batches[part].select(list(names)).take(inside).to_pylist()
            for i, row in zip(at.tolist(), told):
                out[i] = row
        return out

    def place(self, row: int) -> tuple[int, int]:
        """Where the bytes of a picture lie in its shard: the private columns."""
        place = int(self._places([row])[0])
        part = int(np.searchsorted(self._starts, place, side="right")) - 1
        batch = self.batches[part]
        return tuple(batch.column(name)[place - int(self._starts[part])].as_py() for name in _PLACES)

    def numbers(self, name: str) -> FloatArray:
        """A column of numbers by row, float (n,); nothing is nan. It is kept."""
        if name not in self.numeric:
            raise ValueError(f"{name!r} is no column of numbers; there are: {', '.join(self.numeric) or 'none'}")
        return self._cached(name)

    def values(self, name: str) -> tuple[list[str], IntArray]:
        """The values of a column of words, the most frequent first, and which one each row has, (n,); nothing is ""."""
        if name not in self.words:
            words = self.words
            raise ValueError(f"{name!r} is no column of words; there are: {', '.join(words) or 'none'}")
        return self._cached(name)

    @cached_property
    def _kept(self) -> dict[str, Any]:
        return {}

    def _cached(self, name: str) -> Any:
        if name not in self._kept:
            column = pa.chunked_array([batch.column(name) for batch in self.batches])
            self._kept[name] = self._numbers(column) if name in self.numeric else self._coded(column)
        return self._kept[name]

    def _numbers(self, column: pa.ChunkedArray) -> FloatArray:
        values = pc.fill_null(column.cast(pa.float32(), safe=False), np.nan).to_numpy()
        return self._by_row(values)

    def _coded(self, column: pa.ChunkedArray) -> tuple[list[str], IntArray]:
        coded = pc.fill_null(column.cast(pa.large_string()), "").dictionary_encode().combine_chunks()
        coded = coded.chunk(0) if isinstance(coded, pa.ChunkedArray) else coded
        words, codes = coded.dictionary.to_pylist(), coded.indices.to_numpy()
        order = np.argsort(-np.bincount(codes, minlength=len(words)), kind="stable")
        position = np.empty(len(words), np.int32)
        position[order] = np.arange(len(words))
        return [words[i] for i in order], self._by_row(position[codes])

    def _by_row(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self.rank is None else values[self.rank]

    def _places(self, rows: Sequence[int] | IntArray) -> IntArray:
        found = np.asarray(rows, dtype=np.int64).reshape(-1)
        if len(found) and (found.min() < 0 or found.max() >= len(self)):
            raise IndexError(f"rows must lie in [0, {len(self)}); got {int(found.min())} to {int(found.max())}")
        return found if self.rank is None else np.asarray(self.rank[found], dtype=np.int64)

    def _need(self, name: str) -> None:
        if name not in self.names:
            raise ValueError(f"there is no column {name!r}; there are: {', '.join(self.names)}")


def write_columns(collection: Collection, rank: IntArray | None = None) -> None:
    """Write the columns of a collection beside its indices, all or nothing.

    Parameters
    ----------
    collection : Collection
    rank : array (n,), optional
        Where each row shall stand (`Index.ranks`).
    """
    file, record, places = _paths(collection)
    if not collection.shards:
        raise ValueError(f"{collection.folder.name} holds no shard yet")
    file.parent.mkdir(parents=True, exist_ok=True)
    tables = [_large(collection.shards[0].table())] if len(collection.shards) == 1 else _alike(collection)
    if rank is not None:
        order = np.empty(len(rank), np.int64)
        order[rank] = np.arange(len(rank))
        tables = [pa.concat_tables(tables).take(pa.array(order))]
    record.unlink(missing_ok=True)
    with (
        replacing(file) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, tables[0].schema) as writer,
    ):
        for table in tables:
            writer.write_table(table.combine_chunks())
    if rank is None:
        places.unlink(missing_ok=True)
    else:
        with replacing(places) as temporary:
            np.save(temporary, np.asarray(rank, np.int64))
    told = {"format": FORMAT, "rows": len(collection), "order": collection.order, "reordered": rank is not None}
    with replacing(record) as temporary:
        temporary.write_text(json.dumps(told) + "\n", encoding="utf-8")


def open_columns(collection: Collection) -> Columns:
    """The columns, mapped from disk; made anew if they are not there or not of the collection as it is now."""
    file, record, places = _paths(collection)
    told: Mapping[str, Any] = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    if (told.get("format"), told.get("order")) != (FORMAT, collection.order) or _newer(collection, file):
        write_columns(collection)
        told = json.loads(record.read_text(encoding="utf-8"))
    with pa.memory_map(str(file)) as source:
        reader = pa.ipc.open_file(source)
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
    rank = np.load(places, mmap_mode="r", allow_pickle=False) if told["reordered"] else None
    return Columns([batch for batch in batches if len(batch)], rank)


def _paths(collection: Collection) -> tuple[Path, Path, Path]:
    folder = collection.folder / "index"
    return folder / "columns.arrow", folder / "columns.json", folder / "columns.npy"


def _newer(collection: Collection, file: Path) -> bool:
    """Whether a table of the collection was written after the columns: scores may have been added."""
    if not file.is_file():
        return True
    made = file.stat().st_mtime_ns
    return any((shard.folder / "pairs.parquet").stat().st_mtime_ns > made for shard in collection.shards)


def _alike(collection: Collection) -> list[pa.Table]:
    """The tables of all shards with the same columns of the same types."""
    whole = _large(collection.table())
    starts = collection.starts
    return [whole.slice(int(a), int(b - a)) for a, b in zip(starts, starts[1:])]


def _large(table: pa.Table) -> pa.Table:
    """The table with strings that may be longer than 2 GiB together."""
    fields = [
        pa.field(field.name, pa.large_string()) if pa.types.is_string(field.type) else field for field in table.schema
    ]
    return table.cast(pa.schema(fields)).replace_schema_metadata(None)
