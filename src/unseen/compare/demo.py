"""The demo's data: emoji in two styles of drawing, or printed against handwritten digits.

No emoji is on both sides: where each sample has its counterpart, methods that move samples onto samples look better
than they are on data of one's own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.data.sources import SourceUnavailable, digits, download_size, emoji, in_common

STYLES = ("noto", "openmoji")
EACH = 12
"""Emoji of a class at most on either side: enough to see what adapting does, in less than a minute."""


def demo_data(
    data: str, source: str | None, target: str | None, say: Callable[[str], None], *, each: int = EACH
) -> tuple[Domain, Domain, str]:
    """The labelled domain, the other one, and whom to thank; at most `each` emoji of a class on either side.

    Sizes are said before anything is downloaded; without npm the digits take the place of the emoji, and that is said.
    """
    if data not in ("emoji", "digits"):
        raise ValueError(f"data must be emoji or digits; got {data!r}")
    if data == "emoji":
        styles = (source or STYLES[0], target or STYLES[1])
        size = download_size(styles)
        if size:
            say(f"downloading the drawings: {size / 2**20:.1f} MB")
        try:
            a, b = in_common(*(emoji(style) for style in styles))
        except SourceUnavailable as problem:
            say(f"{problem} Showing digits instead.")
        else:
            place = _place_in_class(a)
            first, few = place % 2 == 0, place < 2 * each
            return (
                a.take(np.flatnonzero(first & few)).replace(name=styles[0]),
                b.take(np.flatnonzero(~first & few)).replace(name=styles[1]),
                " ".join(dict.fromkeys(a.credits + b.credits)),
            )
    a, b = digits("printed"), digits("handwritten")
    return a, b, " ".join(dict.fromkeys(a.credits + b.credits))


def _place_in_class(domain: Domain) -> NDArray[np.int64]:
    """Which sample of its class each is, from 0, (n,)."""
    order = np.argsort(domain.labels, kind="stable")
    counts = np.bincount(domain.labels)
    place = np.empty(len(domain), dtype=np.int64)
    place[order] = np.arange(len(domain)) - np.repeat(np.cumsum(counts) - counts, counts)
    return place
