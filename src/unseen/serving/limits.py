"""`Limits`: how much one server takes on."""

from __future__ import annotations

import dataclasses

FILES = ("image", "clip", "audio")
"""Kinds of which a sample is a file that only a program can read: base64 in JSON."""
SENT = (*FILES, "series")
"""Kinds of which a sample may be a file of a form."""
MOST_NUMBER = 3e38
"""Size of a number; float32 has none that is much larger."""
MAX_TEXT = 20_000
"""Characters of one text; a tokenizer reads all of them before it cuts."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request may bring, and how much is under way at once.

    Memory stays below about ``held + decoded + (processors) * 12 * pixels``.

    Parameters
    ----------
    bytes : int, >= 1
        Length of a request's body.
    pixels : int, >= 1
        Width times height of one picture; more are refused before they are decoded.
    batch : int, >= 1
        Samples of one request.
    queue : int, >= batch
        Samples under way in all requests; more wait.
    requests : int, >= 1
        Requests to `/predict` under way, whose bodies have arrived; more wait.
    waiting : int, >= 0
        Requests that wait, their bodies in memory; more are answered with 503.
    deadline : float, > 0
        Seconds that a request waits, for its turn and for room for its samples; then it is answered with 503.
    decoded : int, >= 1
        Bytes that samples under way take once they are decoded and prepared; a request that has more alone is answered
        with 413, others with 503.
    wait : float in [0, 1]
        Seconds that a sample waits for others to be predicted with.
    seconds : float, > 0
        Time within which a body must have arrived.

    Raises
    ------
    ValueError
        If a limit is outside its range.
    """

    bytes: int = 16 * 2**20
    pixels: int = 50_000_000
    batch: int = 64
    queue: int = 256
    requests: int = 64
    waiting: int = 1024
    deadline: float = 10.0
    decoded: int = 2 * 2**30
    wait: float = 0.004
    seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("bytes", "pixels", "batch", "requests", "decoded"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.queue < self.batch:
            raise ValueError(f"queue must be at least batch, {self.batch}; got {self.queue}")
        if not 0 <= self.wait <= 1:
            raise ValueError(f"wait must lie in [0, 1] seconds; got {self.wait}")
        if self.waiting < 0:
            raise ValueError(f"waiting must be at least 0; got {self.waiting}")
        if not self.deadline > 0:
            raise ValueError(f"deadline must be positive; got {self.deadline}")
        if not self.seconds > 0:
            raise ValueError(f"seconds must be positive; got {self.seconds}")

    @property
    def held(self) -> int:
        """Bytes that all bodies may have together, those that are still arriving among them; more get 503."""
        return self.requests * self.bytes
