"""Write a selection of a collection: Parquet, WebDataset shards, CSV, or a list of uids as DataComp takes it."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
from collections.abc import Sequence
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

Format = Literal["parquet", "csv", "uids", "webdataset"]

SUFFIXES: dict[str, Format] = {".parquet": "parquet", ".csv": "csv", ".npy": "uids", ".tar": "webdataset"}
"""Which format the name of a file means."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


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
        If nothing is selected, a row comes twice, or the format is not known.
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
    told = service.metadata(chosen)
    if similarity is not None:
        told = [row | {"query_similarity": float(value)} for row, value in zip(told, similarity)]
    target.parent.mkdir(parents=True, exist_ok=True)
    write = {"parquet": _parquet, "csv": _csv, "uids": _uids, "webdataset": _webdataset}
    if format not in write:
        raise ValueError(f"format must be one of {', '.join(write)}; got {format!r}")
    with replacing(target) as temporary:
        write[format](service, chosen, told, temporary)
    return target


def _parquet(_: RetrievalService, rows: IntArray, told: list[dict[str, Any]], file: Path) -> None:
    pq.write_table(pa.Table.from_pylist(told), file)


def _csv(_: RetrievalService, rows: IntArray, told: list[dict[str, Any]], file: Path) -> None:
    """A table for spreadsheets: what they would run as a formula stands behind an apostrophe."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(told[0]))
        writer.writeheader()
        for row in told:
            writer.writerow({name: _harmless(value) for name, value in row.items()})


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _uids(_: RetrievalService, rows: IntArray, told: list[dict[str, Any]], file: Path) -> None:
    write_uids(file, [row["uid"] for row in told])


def _webdataset(service: RetrievalService, rows: IntArray, told: list[dict[str, Any]], file: Path) -> None:
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, row in zip(rows.tolist(), told):
            picture = service.picture(number)
            for ending, content in (
                (suffix_of(picture), picture),
                ("txt", (row.get("text") or "").encode()),
                ("json", json.dumps(row, ensure_ascii=False, default=str).encode()),
            ):
                info = tarfile.TarInfo(f"{row['uid']}.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
