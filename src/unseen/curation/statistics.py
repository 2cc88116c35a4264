"""Figures of a collection, stream by stream, as LAION-5B's paper gives them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unseen.curation.collection import Collection
from unseen.methods.curation.laion.language import STREAMS, stream_of

LARGE = 256
"""Pixels that both sides of a picture exceed to be counted as large."""
FIRST = 20
"""Languages that are listed."""


def statistics(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Counts, mean lengths of captions, similarity, sizes, and the share above each score's threshold.

    Returns
    -------
    dict
        ``all`` and every stream (``en``, ``multi``, ``nolang``): ``pairs``, ``mean_text_length`` (characters),
        ``mean_similarity``, ``large_share`` (both sides above 256 pixels), ``median_width``, ``median_height`` and
        ``share_NAME`` for each score; ``languages``, the most frequent ones; ``bytes`` on disk.
    """
    collection = Collection.open(folder)
    flagged = dict(collection.facts.get("heads", {}))
    table = collection.table(["text", "language", "similarity", "width", "height", "size", *flagged])
    lengths = pc.utf8_length(table["text"])
    table = table.drop_columns(["text"]).append_column("length", lengths)
    counts = pc.value_counts(table["language"].combine_chunks()).to_pylist() if len(table) else []
    counts.sort(key=lambda entry: (-entry["counts"], entry["values"] or ""))
    streams = {
        stream: [entry["values"] for entry in counts if stream_of(entry["values"]) == stream] for stream in STREAMS
    }
    return {
        "all": _figures(table, flagged),
        **{
            stream: _figures(table.filter(pc.is_in(table["language"], pa.array(codes, pa.string()))), flagged)
            for stream, codes in streams.items()
        },
        "languages": {entry["values"] or "": entry["counts"] for entry in counts[:FIRST]},
        "bytes": pc.sum(table["size"]).as_py() or 0,
    }


def _figures(table: pa.Table, flagged: dict[str, float]) -> dict[str, Any]:
    n = len(table)
    if not n:
        return {"pairs": 0}
    width, height = (table[name].to_numpy() for name in ("width", "height"))
    figures: dict[str, Any] = {
        "pairs": n,
        "mean_text_length": pc.mean(table["length"]).as_py(),
        "mean_similarity": float(table["similarity"].to_numpy().mean(dtype=np.float64)),
        "large_share": float(((width > LARGE) & (height > LARGE)).mean()),
        "median_width": float(np.median(width)),
        "median_height": float(np.median(height)),
    }
    for name, threshold in flagged.items():
        figures[f"share_{name}"] = float((table[name].to_numpy().astype(np.float64) > threshold).mean())
    return figures
