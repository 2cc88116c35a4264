"""An index on disk: JSON and two Parquet files in a folder of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unseen.files import read_json
from unseen.runtime import replacing_folder

FORMAT = 1
TOLD, POSTINGS, ORDER = "index.json", "postings.parquet", "order.parquet"


def save(index: Any, folder: Path) -> None:
    """See `ConceptIndex.save`; an old index is moved aside, and removed once the new one is in its place."""
    _check(folder)
    with replacing_folder(folder) as part:
        lists = pa.LargeListArray.from_arrays(pa.array(index.offsets), pa.array(index.samples.astype(np.int64)))
        pq.write_table(pa.table({"word": pa.array(index.lexicon, pa.string()), "samples": lists}), part / POSTINGS)
        if index.stream is not None and index.starts is not None:
            order = pa.LargeListArray.from_arrays(pa.array(index.starts), pa.array(index.stream))
            pq.write_table(pa.table({"words": order}), part / ORDER)
        kept = None if index.kept is None else sorted(index.kept)
        record = {"format": FORMAT, "n": index.n, "lemmas": index.lemmas, "whole": index.whole, "kept": kept}
        (part / TOLD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _check(folder: Path) -> None:
    """Refuse to replace what is not an index, or holds more than one."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or folder.is_symlink():
        raise ValueError(f"{folder} is no folder; name a new folder for the index")
    names = {path.name for path in folder.iterdir()}
    if not names <= {TOLD, POSTINGS, ORDER} or not {TOLD, POSTINGS} <= names:
        raise ValueError(f"{folder} holds something else than an index; name a new folder for the index")
    _told(folder)


def _told(folder: Path) -> dict[str, Any]:
    try:
        record = read_json(folder / TOLD)
    except FileNotFoundError as error:
        raise ValueError(f"{folder} is no index of concepts: it has no {TOLD}") from error
    except ValueError as error:
        raise ValueError(f"{folder} is no index of concepts: its {TOLD} is no JSON: {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        of = record.get("format") if isinstance(record, dict) else None
        raise ValueError(f"{folder} is of format {of!r}; this version reads {FORMAT}")
    return record


def load(folder: Path) -> dict[str, Any]:
    """What `ConceptIndex` is made of, by the names of its fields; see `ConceptIndex.load`."""
    record = _told(folder)
    table = pq.read_table(folder / POSTINGS).combine_chunks()
    offsets, samples = _ragged(table["samples"])
    stream = starts = None
    if (folder / ORDER).exists():
        starts, stream = _ragged(pq.read_table(folder / ORDER).combine_chunks()["words"])
    lexicon = tuple(table["word"].to_pylist())
    kept = record.get("kept")
    return {
        "lexicon": lexicon,
        "offsets": offsets,
        "samples": samples,
        **{name: record[name] for name in ("n", "lemmas", "whole")},
        "stream": stream,
        "starts": starts,
        "kept": None if kept is None else frozenset(kept),
    }


def _ragged(column: pa.ChunkedArray) -> tuple[NDArray[Any], NDArray[Any]]:
    """Offsets and values of lists."""
    pieces = column.chunks
    lengths = [piece.value_lengths().to_numpy() for piece in pieces]
    values = [piece.flatten().to_numpy() for piece in pieces]
    kind = values[0].dtype if values else np.int64
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths]))]).astype(np.int64)
    return offsets, np.concatenate([np.zeros(0, kind), *values])
