"""Figures of a collection, stream by stream, as LAION-5B's paper gives them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

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
    flagged = dict(collection.told.get("heads", {}))
    table = collection.table(["text", "language", "similarity", "width", "height", "size", *flagged])
    columns = {name: np.array(table[name].to_pylist(), dtype=object) for name in table.column_names}
    streams = np.array([stream_of(code) for code in columns["language"]], dtype=object)
    codes, counts = np.unique(columns["language"].astype(str), return_counts=True)
    order = np.lexsort((codes, -counts))[:FIRST]
    return {
        "all": _figures(columns, np.ones(len(streams), dtype=bool), flagged),
        **{stream: _figures(columns, streams == stream, flagged) for stream in STREAMS},
        "languages": {str(codes[i]): int(counts[i]) for i in order},
        "bytes": int(sum(columns["size"])) if len(streams) else 0,
    }


def _figures(columns: dict[str, Any], mask: Any, flagged: dict[str, float]) -> dict[str, Any]:
    n = int(mask.sum())
    if not n:
        return {"pairs": 0}
    width, height = (columns[name][mask].astype(np.int64) for name in ("width", "height"))
    found: dict[str, Any] = {
        "pairs": n,
        "mean_text_length": float(np.mean([len(text) for text in columns["text"][mask]])),
        "mean_similarity": float(columns["similarity"][mask].astype(float).mean()),
        "large_share": float(((width > LARGE) & (height > LARGE)).mean()),
        "median_width": float(np.median(width)),
        "median_height": float(np.median(height)),
    }
    for name, threshold in flagged.items():
        scores = columns[name][mask].astype(float)
        found[f"share_{name}"] = float((scores > threshold).mean())
    return found
