"""The demo's data: emoji in two styles of drawing, or printed against handwritten digits.

No emoji is on both sides: where each sample has its counterpart, methods that move samples onto samples look better
than they are on data of one's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from unseen.data.domain import Domain
from unseen.data.sources import SourceUnavailable, digits, download_size, emoji, emoji_codes

STYLES = ("noto", "openmoji")
EACH = 10
"""Emoji of a class at most on either side: enough to see what adapting does, in less than a minute."""
EACH_DIGIT = 30
"""Pictures of a digit on either side, for the same reason; they are spread over fonts and writers."""


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
            known, new = _parted(emoji_codes(styles[0]), emoji_codes(styles[1]), each)
            a, b = emoji(styles[0], only=known), emoji(styles[1], only=new)
        except SourceUnavailable as problem:
            say(f"{problem} Showing digits instead.")
        else:
            return a, b, " ".join(dict.fromkeys(a.credits + b.credits))
    a, b = (_few(digits(kind), EACH_DIGIT) for kind in ("printed", "handwritten"))
    return a, b, "; ".join(dict.fromkeys(a.credits + b.credits))


def _few(domain: Domain, each: int) -> Domain:
    """`each` samples of every class, or all where there are fewer, evenly spaced in the order that they have."""
    labels = domain.labels
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    spaced = [rows[np.linspace(0, len(rows) - 1, min(each, len(rows))).round().astype(int)] for rows in members]
    return domain.take(np.sort(np.concatenate(spaced)))


def _parted(first: Mapping[str, str], second: Mapping[str, str], each: int) -> tuple[set[str], set[str]]:
    """Of the emoji that both have, by class, the first, third, ... and the others, at most `each` of a class."""
    members: dict[str, list[str]] = {}
    for code, kind in first.items():
        if code in second:
            members.setdefault(kind, []).append(code)
    few = [codes[: 2 * each] for codes in members.values()]
    return {code for codes in few for code in codes[::2]}, {code for codes in few for code in codes[1::2]}
