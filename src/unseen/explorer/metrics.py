"""Counts and times of one explorer, in the format of Prometheus."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

SCRIPTS = ("app", "common", "filters", "legend", "map", "results")
"""Of the page."""

PATHS = (
    "/", *(f"/{name}.js" for name in SCRIPTS), "/style.css", "/health", "/metrics", "/api/indices", "/api/knn",
    "/api/browse", "/api/metadata", "/api/picture/", "/api/facets", "/api/passing", "/api/tags", "/api/export",
    "/api/map", "/api/points", "/api/colours",
)  # fmt: skip
"""Paths that are counted by name; a stranger's are `other`."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one explorer, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        common: dict[str, Any] = {"registry": self.registry, "namespace": "unseen_explorer"}
        self.requests = Counter("requests", "Requests answered.", ("path", "status"), **common)
        self.seconds = Histogram("request_seconds", "Time to the answer.", ("path",), buckets=_SECONDS, **common)
        self.search = Histogram("search_seconds", "Time of a search.", buckets=_SECONDS, **common)
        self.hits = Counter("hits", "Results given.", **common)
        self.removed = Counter("removed", "Results left out.", ("why",), **common)
        self.exported = Counter("exported_rows", "Rows exported.", **common)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count one request."""
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """All metrics as text."""
        return generate_latest(self.registry)
