"""Write a selection of a collection: Parquet, WebDataset shards, CSV, or a list of uids as DataComp takes it."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unseen.curation.collection import suffix_of
from unseen.curation.retrieval import RetrievalService
from unseen.curation.uids import write_uids
from unseen.data.typing import FloatArray, IntArray
from unseen.runtime import replacing
from unseen.spreadsheets import harmless

Format = Literal["parquet", "csv", "uids", "webdataset"]

SUFFIXES: dict[str, Format] = {".parquet": "parquet", ".csv": "csv", ".npy": "uids", ".tar": "webdataset"}
"""Which format the name of a file means."""

BLOCK = 4_096
"""Rows that are in memory at once."""

_PLAIN = re.compile(r"[\w-]+")


def format_of(file: str | os.PathLike[str]) -> Format:
    """The format that a file's name means; `ValueError` if none."""
    suffix = Path(file).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"export must name a file that ends in {', '.join(SUFFIXES)}; got {str(file)!r}")
    return SUFFIXES[suffix]


def export_subset(
    service: RetrievalService,
    rows: Sequence[int] | IntArray,
    file: str | os.PathLike[str],
    *,
    format: Format | None = None,
    similarity: FloatArray | None = None,
) -> Path:
    """Write rows of a collection in their order, all or nothing.

    Parameters
    ----------
    service : RetrievalService
    rows : sequence of int
        Rows of the collection, each once.
    file : path
        Its ending says the format: .parquet and .csv hold the columns, .npy the uids (sorted, two uint64 each, as
        DataComp's), .tar pictures, captions and columns as a WebDataset shard.
    format : optional
        Instead of the ending.
    similarity : array (k,), optional
        Cosine of each row with what it was found by, as the column `query_similarity`.

    Raises
    ------
    ValueError
        If nothing is selected, a row comes twice, the format is not known, or, in .npy and .tar, two rows share a uid,
        or, in .tar, a uid is no word that can name a file.
    IndexError
        If there is no such row.
    """
    target = Path(file)
    format = format_of(target) if format is None else format
    chosen = np.asarray(rows, dtype=np.int64).reshape(-1)
    if not len(chosen) or len(np.unique(chosen)) != len(chosen):
        raise ValueError(f"rows must hold at least one row, each once; got {len(chosen)}")
    if similarity is not None and len(similarity) != len(chosen):
        raise ValueError(f"similarity must have a value for each of {len(chosen)} rows; got {len(similarity)}")
    write = {"parquet": _parquet, "csv": _csv, "uids": _uids, "webdataset": _webdataset}
    if format not in write:
        raise ValueError(f"format must be one of {', '.join(write)}; got {format!r}")
    if format in ("uids", "webdataset"):
        _check_uids(service, chosen, plain=format == "webdataset")
    blocks = _blocks(service, chosen, similarity)
    first = next(blocks)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        write[format](service, chosen, itertools.chain([first], blocks), temporary)
    return target


def _blocks(service: RetrievalService, rows: IntArray, similarity: FloatArray | None) -> Iterator[pa.Table]:
    """What is said of rows, some thousand at a time, with the types that the collection has."""
    kept = {field.name: field.type for field in pq.read_schema(service.collection.shards[0].folder / "pairs.parquet")}
    for at in range(0, len(rows), BLOCK):
        table = service.columns.table(rows[at : at + BLOCK])
        fields = [
            field.with_type(pa.string())
            if pa.types.is_large_string(field.type) and not pa.types.is_large_string(kept.get(field.name, pa.string()))
            else field
            for field in table.schema
        ]
        table = table.cast(pa.schema(fields))
        if similarity is not None:
            table = table.append_column(
                "query_similarity", pa.array(np.asarray(similarity[at : at + BLOCK], np.float64))
            )
        yield table


def _check_uids(service: RetrievalService, rows: IntArray, *, plain: bool) -> None:
    """Raise `ValueError` if rows share a uid, or one cannot name a file."""
    seen: dict[Any, int] = {}
    uids = service.columns.table(rows, ["uid"])["uid"].to_pylist()
    for row, uid in zip(rows.tolist(), uids):
        if plain and not _PLAIN.fullmatch(uid or ""):
            raise ValueError(f"the uid of row {row} is no plain word, so it can name no file: {uid!r}")
        if uid in seen:
            raise ValueError(f"rows {seen[uid]} and {row} have the same uid, {uid!r}; leave one of them out")
        seen[uid] = row


def _parquet(_: RetrievalService, rows: IntArray, blocks: Iterator[pa.Table], file: Path) -> None:
    first = next(blocks)
    with pq.ParquetWriter(file, first.schema) as writer:
        for table in itertools.chain([first], blocks):
            writer.write_table(table)


def _csv(_: RetrievalService, rows: IntArray, blocks: Iterator[pa.Table], file: Path) -> None:
    """A table for spreadsheets: what they would run as a formula stands behind an apostrophe."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = None
        for table in blocks:
            if writer is None:
                writer = csv.DictWriter(stream, fieldnames=table.column_names)
                writer.writeheader()
            writer.writerows({name: harmless(value) for name, value in row.items()} for row in table.to_pylist())


def _uids(service: RetrievalService, rows: IntArray, _: Iterator[pa.Table], file: Path) -> None:
    write_uids(file, service.columns.table(rows, ["uid"])["uid"].to_pylist())


def _webdataset(service: RetrievalService, rows: IntArray, blocks: Iterator[pa.Table], file: Path) -> None:
    records = (row for table in blocks for row in table.to_pylist())
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, row in zip(rows.tolist(), records):
            picture = service.picture(number)
            for ending, content in (
                (suffix_of(picture), picture),
                ("txt", (row.get("text") or "").encode()),
                ("json", json.dumps(row, ensure_ascii=False, default=str).encode()),
            ):
                info = tarfile.TarInfo(f"{row['uid']}.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
