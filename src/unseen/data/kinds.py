"""What samples of each kind are called."""

from __future__ import annotations

KINDS = {
    "image": ("picture", "pictures"),
    "text": ("text", "texts"),
    "features": ("vector of numbers", "vectors of numbers"),
    "audio": ("sound", "sounds"),
    "clip": ("video", "videos"),
    "series": ("time series", "time series"),
    "node": ("node of a graph", "nodes of a graph"),
    "points": ("point cloud", "point clouds"),
}
"""One sample, and several, of each kind."""


def samples_of(kind: str) -> str:
    """What several samples of a kind are called; a kind without such words is called as it is."""
    return KINDS.get(kind, (kind, kind))[1]
