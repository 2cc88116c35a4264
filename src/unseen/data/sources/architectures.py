"""Tables of architectures that this project trained itself: two search spaces, two data sets."""

from __future__ import annotations

import functools
from pathlib import Path

from unseen.data.architectures import ArchitectureTable, read_table

_FOLDER = Path(__file__).parent / "architectures"
_NAMES = ("cells-digits", "vits-digits", "cells-letters", "vits-letters")


def names() -> tuple[str, ...]:
    """What `architectures` has: search space and data."""
    return _NAMES


@functools.cache
def architectures(name: str) -> ArchitectureTable:
    """Return a table of networks that were trained for real, with statistics of the untrained ones.

    Parameters
    ----------
    name : {"cells-digits", "vits-digits", "cells-letters", "vits-letters"}
        200 convolutional cells or 100 small vision transformers (100 and 60 for letters), drawn from their spaces
        (`unseen.nn.search_spaces`), each trained with two seeds on half of scikit-learn's handwritten digits or of
        printed letters, 8 x 8 pixels, and graded on the other half. `about` says how, `unseen nas table` makes them.
    """
    if name not in _NAMES:
        raise ValueError(f"name must be one of {', '.join(_NAMES)}; got {name!r}")
    return read_table(_FOLDER / f"{name}.parquet")
