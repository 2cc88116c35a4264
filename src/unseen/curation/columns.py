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
import logging
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
from unseen.files import read_object
from unseen.runtime import replacing

logger = logging.getLogger(__name__)

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
    derived : mapping of name to array (n,)
        Further columns of numbers, by row, that filters and counts can use; one that the collection has itself counts.
    """

    batches: Sequence[pa.RecordBatch]
    rank: IntArray | None = None
    derived: Mapping[str, FloatArray] = dataclasses.field(default_factory=dict)

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
        """Those of them that hold numbers, and those that are derived."""
        stored = tuple(
            name
            for name in self.names
            if pa.types.is_floating(kind := self.batches[0].schema.field(name).type) or pa.types.is_integer(kind)
        )
        return (*stored, *(name for name in self.derived if name not in self.names))

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Those that hold words which rows share: not the keys, nor the captions, nor lists."""
        return tuple(
            name
            for name in self.names
            if name not in (*self.numeric, *_UNLIKE) and _is_word(self.batches[0].schema.field(name).type)
        )

    def take(self, rows: Sequence[int] | IntArray, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """What is said of rows, a dictionary each, in their order.

        Raises
        ------
        IndexError
            If there is no such row.
        ValueError
            If there is no such column.
        """
        return self.table(rows, names).to_pylist()

    def table(self, rows: Sequence[int] | IntArray, names: Sequence[str] | None = None) -> pa.Table:
        """What is said of rows as a table in their order; errors as in `take`."""
        names = self.names if names is None else names
        for name in names:
            self._need(name)
        places = self._places(rows)
        parts = np.searchsorted(self._starts, places, side="right") - 1
        whole = [self.batches[0].slice(0, 0).select(list(names))]
        order = np.argsort(parts, kind="stable")
        for part in np.unique(parts).tolist():
            inside = pa.array(places[parts == part] - self._starts[part])
            whole.append(self.batches[part].select(list(names)).take(inside))
        result = pa.Table.from_batches(whole)
        return result.take(pa.array(np.argsort(order, kind="stable"))) if len(whole) > 2 else result

    def sizes(self, rows: Sequence[int] | IntArray) -> IntArray:
        """Bytes of the pictures of rows, (k,); 0 where there is none."""
        sizes = pa.chunked_array([batch.column("size") for batch in self.batches])
        return pc.fill_null(sizes, 0).to_numpy()[self._places(rows)].astype(np.int64)

    def place(self, row: int) -> tuple[int, int]:
        """Where the bytes of a picture lie in its shard: the private columns."""
        place = int(self._places([row])[0])
        part = int(np.searchsorted(self._starts, place, side="right")) - 1
        batch = self.batches[part]
        return tuple(batch.column(name)[place - int(self._starts[part])].as_py() for name in _PLACES)

    def numbers(self, name: str) -> FloatArray:
        """A column of numbers by row, float (n,), of 64 bits where 32 are too few; nothing is nan. It is kept."""
        if name not in self.numeric:
            raise ValueError(f"{name!r} is no column of numbers; there are: {', '.join(self.numeric) or 'none'}")
        return self._cached(name)

    def values(self, name: str) -> tuple[list[str], IntArray]:
        """The values of a column of words, the most frequent first, and which one each row has, (n,); nothing is ""."""
        if name not in self.words:
            listed = ", ".join(self.words) or "none"
            if numbers := self.numeric:
                example = f"{name if name in numbers else numbers[0]}=LEAST:GREATEST"
                listed += f"; those of numbers take a range, {example}, with one end or both: {', '.join(numbers)}"
            raise ValueError(f"{name!r} is no column of words; there are: {listed}")
        return self._cached(name)

    def strings(self, name: str) -> pa.ChunkedArray:
        """A column of strings by row, not kept."""
        column = pa.chunked_array([batch.column(name) for batch in self.batches])
        return column if self.rank is None else column.take(pa.array(self.rank))

    @cached_property
    def _kept(self) -> dict[str, Any]:
        return {}

    def _cached(self, name: str) -> Any:
        if name not in self.names:
            return self.derived[name]
        if name not in self._kept:
            column = pa.chunked_array([batch.column(name) for batch in self.batches])
            self._kept[name] = self._numbers(column) if name in self.numeric else self._coded(column)
        return self._kept[name]

    def _numbers(self, column: pa.ChunkedArray) -> FloatArray:
        wide = pa.types.is_float64(column.type) or (pa.types.is_integer(column.type) and column.type.bit_width > 16)
        values = pc.fill_null(column.cast(pa.float64() if wide else pa.float32(), safe=False), np.nan).to_numpy()
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
        try:
            places = np.asarray(rows, dtype=np.int64).reshape(-1)
        except OverflowError as error:
            raise IndexError(f"rows must lie in [0, {len(self)})") from error
        if len(places) and (places.min() < 0 or places.max() >= len(self)):
            raise IndexError(f"rows must lie in [0, {len(self)}); got {int(places.min())} to {int(places.max())}")
        return places if self.rank is None else np.asarray(self.rank[places], dtype=np.int64)

    def _need(self, name: str) -> None:
        if name not in self.names:
            raise ValueError(f"there is no column {name!r}; there are: {', '.join(self.names)}")


def caption_lengths(columns: Columns) -> FloatArray:
    """Characters of every caption, (n,); 0 where there is none."""
    if not columns.batches:
        return np.zeros(0, np.float32)
    return pc.fill_null(pc.utf8_length(columns.strings("text")), 0).to_numpy().astype(np.float32)


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
    tables = _tables(collection, rank)
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
    content = {"format": FORMAT, "rows": len(collection), "order": collection.order, "reordered": rank is not None}
    with replacing(record) as temporary:
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")


def open_columns(collection: Collection) -> Columns:
    """The columns, mapped from disk; made anew if they are not there or not of the collection as it is now.

    Where they were reordered and the rows are the same, they stay so. Where they cannot be written, they are in memory.
    """
    file, record, places = _paths(collection)
    content: Mapping[str, Any] = read_object(record) if record.is_file() else {}
    if (content.get("format"), content.get("order")) != (FORMAT, collection.order) or _newer(collection, file):
        rank = _kept_rank(collection, content, places)
        try:
            write_columns(collection, rank)
        except OSError as error:
            logger.warning("the columns cannot be written, so they are kept in memory: %s", error)
            tables = _tables(collection, rank)
            return Columns([batch for table in tables for batch in table.combine_chunks().to_batches()], rank)
        content = read_object(record)
    with pa.memory_map(str(file)) as source:
        reader = pa.ipc.open_file(source)
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
    rank = np.load(places, mmap_mode="r", allow_pickle=False) if content["reordered"] else None
    return Columns([batch for batch in batches if len(batch)], rank)


def is_reordered(collection: Collection) -> bool:
    """Whether the columns were put into the order of an index's lists."""
    record = _paths(collection)[1]
    return record.is_file() and bool(read_object(record).get("reordered"))


def _is_word(kind: pa.DataType) -> bool:
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_boolean, pa.types.is_temporal)
    return any(check(kind) for check in text)


def _kept_rank(collection: Collection, content: Mapping[str, Any], places: Path) -> IntArray | None:
    if not content.get("reordered") or content.get("order") != collection.order or not places.is_file():
        return None
    return np.load(places, allow_pickle=False)


def _tables(collection: Collection, rank: IntArray | None) -> list[pa.Table]:
    """All rows, in the order of `rank`."""
    tables = [_large(collection.shards[0].table())] if len(collection.shards) == 1 else _alike(collection)
    if rank is not None:
        order = np.empty(len(rank), np.int64)
        order[rank] = np.arange(len(rank))
        tables = [pa.concat_tables(tables).take(pa.array(order))]
    return tables


def _paths(collection: Collection) -> tuple[Path, Path, Path]:
    folder = collection.folder / "index"
    return folder / "columns.arrow", folder / "columns.json", folder / "columns.npy"


def _newer(collection: Collection, file: Path) -> bool:
    """Whether a table of the collection was written after the columns: scores may have been added."""
    if not file.is_file():
        return True
    written = file.stat().st_mtime_ns
    return any((shard.folder / "pairs.parquet").stat().st_mtime_ns > written for shard in collection.shards)


def _alike(collection: Collection) -> list[pa.Table]:
    """The tables of all shards with the same columns of the same types."""
    whole = _large(collection.table())
    starts = collection.starts
    return [whole.slice(int(a), int(b - a)) for a, b in zip(starts, starts[1:])]


def _large(table: pa.Table) -> pa.Table:
    """The table with strings that may be longer than 2 GiB together, and dictionaries as what they hold."""
    columns = []
    for column in table.columns:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        columns.append(column.cast(pa.large_string()) if pa.types.is_string(column.type) else column)
    return pa.table(columns, names=table.column_names)
