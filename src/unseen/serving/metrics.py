"""Counts and times of one server, in the format of Prometheus."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATHS = ("/", "/predict", "/health", "/metrics", "/model", "/docs", "/openapi.json")
"""Paths that are counted by name; a stranger's are `other`, so that they cannot fill the memory."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        common: dict[str, Any] = {"registry": self.registry, "namespace": "unseen"}
        self.requests = Counter("requests", "Requests answered.", ("path", "status"), **common)
        self.seconds = Histogram("request_seconds", "Time to the answer.", ("path",), buckets=_SECONDS, **common)
        self.samples = Counter("samples", "Samples predicted.", **common)
        self.unknown = Counter("unknown_samples", "Samples that the model called unknown.", **common)
        self.under_way = Gauge("samples_under_way", "Samples waiting or being predicted.", **common)
        self.batch = Histogram("batch_samples", "Samples of a batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128), **common)
        self.predict = Histogram("batch_seconds", "Time of the network per batch.", buckets=_SECONDS, **common)

    def batch_seen(self, samples: int, seconds: float) -> None:
        """Count one batch of the network."""
        self.samples.inc(samples)
        self.batch.observe(samples)
        self.predict.observe(seconds)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count one request."""
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """All metrics as text."""
        return generate_latest(self.registry)


class Answered(Protocol):
    """What counts answers."""

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count one request."""
        ...


def _below(path: str, prefix: str) -> bool:
    """Whether a path lies below one that ends in a slash."""
    return prefix != "/" and prefix.endswith("/") and path.startswith(prefix)


class Measured:
    """Counts the answers of an application, and forbids browsers to guess their type or to keep them."""

    def __init__(self, app: ASGIApp, metrics: Answered, paths: Sequence[str] = PATHS) -> None:
        self.app, self.metrics, self.paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = next((known for known in self.paths if scope["path"] == known or _below(scope["path"], known)), "other")
        began = time.perf_counter()

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-content-type-options"] = "nosniff"
                headers.setdefault("cache-control", "no-store")
                self.metrics.answered(path, message["status"], time.perf_counter() - began)
            await send(message)

        try:
            await self.app(scope, receive, told)
        except Exception:  # the answer to it is made outside of this
            self.metrics.answered(path, 500, time.perf_counter() - began)
            raise
