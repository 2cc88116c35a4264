"""Emoji with CLDR's keywords as attributes and features of the regions of their drawings; a fifth of them is unseen."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen import encoders
from unseen.claims.drawings import VENDORS, drawn
from unseen.claims.folds import Fold, roles
from unseen.claims.worlds import numbered, space_of
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import FloatArray, IntArray

CLASSES, LEAST, FOLDS = 300, 5, 5
SIDE = 3
"""Regions along each side of a drawing."""


def attributes(columns: dict[str, NDArray[Any]]) -> tuple[FloatArray, tuple[str, ...]]:
    """CLDR's keywords and the subgroups that at least five of the emoji have, as 0 and 1, (n, A), and their names."""
    words = [{w.strip() for w in text.split(",") if w.strip()} for text in columns["keywords"].tolist()]
    groups = columns["subgroup"].tolist()
    often = [word for word, n in Counter(w for some in words for w in sorted(some)).items() if n >= LEAST]
    kinds = [kind for kind, n in Counter(groups).items() if n >= LEAST]
    table = [[w in some for w in often] + [kind == k for k in kinds] for some, kind in zip(words, groups)]
    names = (*often, *(f"kind: {kind.replace('-', ' ')}" for kind in kinds))
    return np.array(table, dtype=np.float32), names


@functools.cache
def attributed(split: str) -> tuple[tuple[Domain, ...], ClassSpace]:
    """The emoji that have an attribute, as each vendor draws them, and as classes."""
    styles = drawn(split, CLASSES)
    table, names = attributes(dict(styles[0].columns))
    kept = np.flatnonzero(table.any(axis=1))
    styles = tuple(style.take(kept) for style in styles)
    called = tuple(styles[0].columns["name"].tolist())
    return styles, ClassSpace(names=called, attributes=table[kept], attribute_names=names)


@functools.cache
def drawings(split: str) -> tuple[Domain, tuple[FloatArray, FloatArray]]:
    """Features and regions of the emoji that have an attribute, vendor after vendor; and lite-clip's, with the texts'.

    The splits share neither a vendor nor an emoji.
    """
    styles, classes = attributed(split)
    encoder = encoders.get(f"efficientnet-lite0?regions={SIDE}")
    parts = [encoder.encode(style, precision="fp32") for style in styles]
    columns = {"regions": np.concatenate([part.columns["regions"] for part in parts])}
    y = np.tile(np.arange(len(classes)), len(parts))
    whole = Domain(x=np.concatenate([part.x for part in parts]), y=y, classes=classes, columns=columns, name=split)
    tower = encoders.get("lite-clip")
    assert isinstance(tower, encoders.TwoTowerEncoder)
    described = ClassSpace(names=classes.names, descriptions=tuple(styles[0].columns["keywords"].tolist()))
    seen = np.concatenate([tower.encode(style, precision="fp32").x for style in styles])
    vectors = tower.embed(described).embeddings
    assert vectors is not None
    return whole, (seen, vectors)


def fold(case: str) -> tuple[Fold, IntArray]:
    """A fifth of the emoji is unseen; and where the drawings of unseen ones stand in `drawings`."""
    return fold_of(case, drawings(case.split()[0])[0])


def numbered_fold(case: str, seed: int) -> tuple[Fold, IntArray]:
    """The same of drawings by their numbers: what a cell draws."""
    styles, classes = attributed(case.split()[0])
    y = np.tile(np.arange(len(classes)), len(styles))
    return fold_of(case, numbered(Domain(x=y[:, None], y=y, classes=classes)))


def fold_of(case: str, whole: Domain) -> tuple[Fold, IntArray]:
    """The fold of some `drawings`."""
    split, number = case.split()
    classes, rng = space_of(whole), np.random.default_rng(0)
    n = len(classes)
    unseen = np.sort(np.array_split(rng.permutation(n), FOLDS)[int(number) % FOLDS])
    classes = classes.replace(seen=np.setdiff1d(np.arange(n), unseen))
    masks, whole = roles(len(VENDORS[split]), classes, rng), whole.replace(classes=classes)
    source, known, new = (whole.take(mask) for mask in masks)
    return Fold(source, known, new, classes), np.flatnonzero(masks[2])
