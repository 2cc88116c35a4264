"""Emoji that claims develop on and confirm on: two halves that share neither a vendor nor an emoji."""

from __future__ import annotations

import hashlib

import numpy as np

from unseen.data.domain import Domain
from unseen.data.sources import emoji, in_common

VENDORS = {
    "development": ("noto", "twemoji", "openmoji", "fluent-emoji-flat", "emojione"),
    "confirmation": ("noto-v1", "fluent-emoji", "fluent-emoji-high-contrast", "emojione-v1", "emojione-monotone"),
}


def drawn(split: str, n: int | None = None) -> tuple[Domain, ...]:
    """The emoji of a split as each of its vendors draws them, in one order.

    Which split an emoji belongs to is a bit of its hash.

    Parameters
    ----------
    split : {"development", "confirmation"}
    n : int, optional
        Take the `n` with the smallest hashes, without symbols (arrows, letters, squares); all, in Unicode's order, if
        absent.
    """
    styles = in_common(*(emoji(vendor, level="emoji") for vendor in VENDORS[split]))
    hashes = [hashlib.sha256(code.encode()).hexdigest() for code in styles[0].columns["emoji"].tolist()]
    own = np.array([int(h, 16) % 2 == (split == "confirmation") for h in hashes])
    chosen = np.flatnonzero(own)
    if n is not None:
        pictured = np.flatnonzero(own & (styles[0].columns["group"] != "symbols")).tolist()
        chosen = np.array(sorted(pictured, key=hashes.__getitem__)[:n])
    return tuple(style.take(chosen) for style in styles)
