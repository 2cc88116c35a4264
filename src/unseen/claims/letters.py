"""Printed letters for claims, as ink or as features of a pretrained network; a case names letters and fonts."""

from __future__ import annotations

import functools

import numpy as np

from unseen.claims.worlds import lite0, numbered, on_paper
from unseen.data.domain import Domain
from unseen.data.sources import characters

FAMILIES = ("DejaVuSans", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral", "cm")
"""Families of the fonts of matplotlib, by what the names of their files start with."""


def family_of(font: str) -> str:
    """The family that a font belongs to."""
    return max((family for family in FAMILIES if font.startswith(family)), key=len)


@functools.cache
def letters(text: str, copies: int, size: int = 16) -> Domain:
    """Ink of letters, 0 for paper and 1 for ink, (n, 1, size, size), with columns `font` and `family`."""
    domain = characters(text, size=size, copies=copies)
    families = np.array([family_of(font) for font in domain.columns["font"].tolist()])
    ink = domain.x.reshape(-1, 1, size, size).astype(np.float32)
    return domain.replace(x=ink, kind="image", columns={**domain.columns, "family": families})


@functools.cache
def in_family(text: str, family: str, copies: int) -> Domain:
    """EfficientNet-Lite0's features of letters, black on white, in all fonts of one family, (n, 1280)."""
    domain = of_family(text, family, copies)
    return lite0(on_paper(domain, domain.x[:, 0]))


def numbered_family(text: str, family: str, copies: int) -> Domain:
    """The same by their numbers, for what is drawn of `in_family`."""
    return numbered(of_family(text, family, copies))


def of_family(text: str, family: str, copies: int, size: int = 64) -> Domain:
    """The ink of letters in all fonts of one family, (n, 1, size, size)."""
    if family not in FAMILIES:
        raise ValueError(f"family must be of {', '.join(FAMILIES)}; got {family!r}")
    domain = letters(text, copies, size)
    return domain.take(domain.columns["family"] == family).replace(name=family)
