"""Samples read for an encoder, in one process or several: an error says of which sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unseen.data.domain import Domain
from unseen.data.typing import IntArray

FLUSH = 64
"""Batches after which features go to disk, so that a run that is cut off keeps them."""


def read_samples(domain: Domain, positions: IntArray) -> Iterator[Any]:
    """Yield samples; an error of reading says of which one."""
    for i in positions:
        try:
            yield domain.x[int(i)]
        except Exception as error:
            error.add_note(f"while reading sample {id_of(domain, i)!r} of {domain.name!r}")
            raise


def id_of(domain: Domain, position: int) -> str:
    """Return what people call a sample."""
    assert domain.ids is not None
    return str(domain.ids[position])
