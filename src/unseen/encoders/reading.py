"""Samples read for an encoder, in one process or several: an error says of which sample."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from unseen.data.decoded import is_kept, once
from unseen.data.domain import Domain, Lazy
from unseen.data.duplicates import look
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


def read_ready(domain: Domain, positions: IntArray, preprocess: Any) -> list[Any]:
    """Samples as a preprocessing takes them; of pictures that are kept (`unseen.data.decoded`) the pixels.

    Such a preprocessing has a method `ready`, from a sample to what its batches are made of, and a text `key`.
    """
    if not (is_kept() and hasattr(preprocess, "ready") and isinstance(domain.x, Lazy)):
        return list(read_samples(domain, positions))
    lazy = domain.x

    def pixels(i: int) -> Any:
        sample = next(read_samples(domain, np.array([i])))
        look(domain, i, lambda: sample)  # whoever asks for it later need not decode the picture again
        return preprocess.ready(sample)

    return [
        once(
            preprocess.key, partial(lazy.digest, int(i)), partial(pixels, int(i)), lambda kept: int(kept.values.nbytes)
        )
        for i in positions
    ]


def id_of(domain: Domain, position: int) -> str:
    """Return what people call a sample."""
    assert domain.ids is not None
    return str(domain.ids[position])
