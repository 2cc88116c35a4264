"""The demo's data: emoji in two styles of drawing, or printed against handwritten digits."""

from __future__ import annotations

from collections.abc import Callable

from unseen.data.domain import Domain
from unseen.data.sources import SourceUnavailable, digits, download_size, emoji, in_common

STYLES = ("noto", "openmoji")


def demo_data(
    data: str, source: str | None, target: str | None, say: Callable[[str], None]
) -> tuple[Domain, Domain, str]:
    """The labelled domain, the other one, and whom to thank.

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
            return (
                a.replace(name=styles[0]),
                b.replace(name=styles[1]),
                " ".join(dict.fromkeys(a.credits + b.credits)),
            )
    a, b = digits("printed"), digits("handwritten")
    return a, b, " ".join(dict.fromkeys(a.credits + b.credits))
