"""What is made of a picture more than once in a job is kept for its while: decoding is slower than what follows."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

Made = TypeVar("Made")

ROOM = 512 << 20
"""Bytes that are kept; what comes then is made again each time. A picture of 224 pixels takes 150,528."""


@dataclasses.dataclass
class Kept:
    """Results by what they are and by the digest of the picture."""

    room: int
    results: dict[tuple[str, str], Any] = dataclasses.field(default_factory=dict)


_kept: contextvars.ContextVar[Kept | None] = contextvars.ContextVar("unseen_decoded", default=None)


@contextlib.contextmanager
def keeping() -> Iterator[None]:
    """Keep what `once` makes while the block (or a function that is decorated with it) runs, or until `forget`."""
    token = _kept.set(Kept(ROOM))
    try:
        yield
    finally:
        _kept.reset(token)


def forget() -> None:
    """Let go of what is kept, and keep nothing more."""
    kept = _kept.get()
    if kept is not None:
        kept.results.clear()
        kept.room = 0


def is_kept() -> bool:
    """Whether anything is kept here."""
    kept = _kept.get()
    return kept is not None and kept.room > 0


def once(what: str, digest: Callable[[], str], make: Callable[[], Made], size: Callable[[Made], int]) -> Made:
    """What `make` gives, within `keeping` once for all pictures of a digest.

    Parameters
    ----------
    what : str
        Names what is made, with everything that it depends on beside the picture.
    digest : callable () -> str
        Of the picture's content; it is asked only where things are kept.
    make : callable () -> value
        Nobody may change what it gives.
    size : callable (value) -> int
        Bytes of a value.
    """
    kept = _kept.get()
    if kept is None or not kept.room:
        return make()
    key = (what, digest())
    if key not in kept.results:
        value = make()
        if size(value) > kept.room:
            return value
        kept.room -= size(value)
        kept.results[key] = value
    result: Made = kept.results[key]
    return result
