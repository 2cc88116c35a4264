"""Emoji that claims develop on and confirm on: two halves that share neither a vendor nor an emoji."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from unseen.claims.worlds import hashed, lite0, minilm, numbered, said
from unseen.data.domain import Domain
from unseen.data.sources import emoji, in_common

VENDORS = {
    "development": ("noto", "twemoji", "openmoji", "fluent-emoji-flat", "emojione"),
    "confirmation": ("noto-v1", "fluent-emoji", "fluent-emoji-high-contrast", "emojione-v1", "emojione-monotone"),
}


@functools.cache
def by(vendor: str, level: str = "emoji") -> Domain:
    """The emoji that a vendor draws; classes are the emoji themselves, or 29 subgroups."""
    return emoji(vendor, level=level)


@functools.cache
def drawn(split: str, n: int | None = None) -> tuple[Domain, ...]:
    """The emoji of a split as each of its vendors draws them, in Unicode's order; the split is a bit of their hash.

    With `n` those with the smallest hashes, without symbols (arrows, letters, squares).
    """
    styles = in_common(*(by(vendor) for vendor in VENDORS[split]))
    mask = of_half(styles[0], split)
    chosen = np.flatnonzero(mask) if n is None else first_by_hash(styles[0], mask & pictured(styles[0]), n)
    return tuple(style.take(chosen) for style in styles)


def pictured(domain: Domain) -> NDArray[np.bool_]:
    """Which emoji are no symbols, (n,)."""
    return domain.columns["group"] != "symbols"


def first_by_hash(domain: Domain, mask: NDArray[np.bool_], n: int, salt: str = "") -> NDArray[np.int64]:
    """The n of some emoji with the smallest hashes of their code points after `salt`."""
    codes = domain.columns["emoji"].tolist()
    return np.array(sorted(np.flatnonzero(mask).tolist(), key=lambda i: hashed(salt + codes[i]))[:n])


def readable(groups: Iterable[str]) -> tuple[str, ...]:
    """Unicode's words for groups and subgroups, without hyphens."""
    return tuple(str(name).replace("-", " ") for name in groups)


def of_half(domain: Domain, split: str) -> NDArray[np.bool_]:
    """Which emoji belong to a split, (n,)."""
    odd = split == "confirmation"
    return np.array([hashed(code) % 2 == odd for code in domain.columns["emoji"].tolist()])


def half_of(vendor: str, split: str) -> Domain:
    """The emoji of a split as a vendor draws them."""
    style = by(vendor)
    return style.take(np.flatnonzero(of_half(style, split)))


@functools.cache
def seen_by(vendor: str, split: str) -> Domain:
    """The same as EfficientNet-Lite0's features."""
    return lite0(half_of(vendor, split))


def numbered_half(vendor: str, split: str) -> Domain:
    """The same by their numbers, for what is drawn of `seen_by`."""
    return numbered(half_of(vendor, split))


@functools.cache
def features(split: str, n: int | None = None) -> NDArray[np.float32]:
    """EfficientNet-Lite0's features of `drawn`, (vendors, n, 1280)."""
    return np.stack([lite0(style).x for style in drawn(split, n)])


@functools.cache
def described(split: str, n: int | None = None) -> NDArray[np.float32]:
    """MiniLM's vectors of the names of `drawn` with their keywords, (n, 384)."""
    columns = drawn(split, n)[0].columns
    return minilm([f"{name}: {words}" for name, words in zip(columns["name"], columns["keywords"])])


# -- for stamps --------------------------------------------------------------------------------------------


def of_vendors(vendors: Sequence[str], *columns: str, level: str = "emoji") -> list[Domain]:
    """What some vendors draw, and what columns say of it."""
    return _with_words([by(vendor, level) for vendor in vendors], columns)


def of_split(case: str, *columns: str, n: int | None = None) -> list[Domain]:
    """What the vendors of the split that a case names first draw, and what columns say of it."""
    return _with_words(drawn(case.replace("/", " ").split()[0], n), columns)


def _with_words(styles: Sequence[Domain], columns: Sequence[str]) -> list[Domain]:
    return [*styles, *(said(style, *columns) for style in styles if columns)]
