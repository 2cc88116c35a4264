"""Pools of emoji that nobody saw a drawing of: each drawing and mild variations of it, with names and keywords."""

from __future__ import annotations

import functools
import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen.claims import worlds
from unseen.claims.arms import rows_of_each
from unseen.claims.drawings import drawn, of_split
from unseen.claims.self_training import unopened
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.typing import FloatArray, IntArray

CLASSES, UNSEEN, COPIES, STYLES = 250, 50, 3, 5
POOL = 12
"""Pictures of each unseen class in the pool."""


class Drawings(NamedTuple):
    """Features (vendor, copy, class, d) and what is known of the classes."""

    x: NDArray[np.float32]
    names: tuple[str, ...]
    keywords: FloatArray
    embeddings: FloatArray


def varied(picture: Any, seed: list[int]) -> Any:
    """A mild variation: up to 25 degrees, 6% aside and 80% smaller, mirrored or not, other brightness and colour."""
    from PIL import Image, ImageEnhance

    rng, side, white = np.random.default_rng(seed), picture.width, (255, 255, 255)
    angle, size = rng.uniform(-25, 25), round(side * rng.uniform(0.8, 1.0))
    aside = tuple(rng.uniform(-0.06, 0.06, 2) * side)
    turned = picture.rotate(angle, resample=Image.Resampling.BILINEAR, translate=aside, fillcolor=white)
    canvas = Image.new("RGB", (side, side), white)
    canvas.paste(turned.resize((size, size)), ((side - size) // 2,) * 2)
    if rng.random() < 0.5:
        canvas = canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    canvas = ImageEnhance.Brightness(canvas).enhance(rng.uniform(0.8, 1.2))
    return ImageEnhance.Color(canvas).enhance(rng.uniform(0.6, 1.4))


def copy_of(style: Domain, copy: int) -> Domain:
    """One variation of every drawing of a vendor; copy 0 is the drawing itself."""
    pictures = style.x

    def digest(i: int) -> str:
        return hashlib.sha256(f"varied 1 {copy} {i} {pictures.digest(i)}".encode()).hexdigest()

    lazy = Lazy(range(len(style)), lambda i: varied(pictures[i], [copy, i]), digest)
    return style if copy == 0 else style.replace(x=lazy)


def keyword_vectors(texts: list[str], most: int = 50) -> FloatArray:
    """Which words that two classes share stand in each class's keywords, as their first principal components.

    Classes without such a word have the same vector: by keywords alone none tells them apart.
    """
    words = [set(text.lower().replace(",", " ").split()) for text in texts]
    vocabulary = sorted({w for bag in words for w in bag if sum(w in other for other in words) > 1})
    table = np.array([[w in bag for w in vocabulary] for bag in words], dtype=np.float64)
    u, s, _ = np.linalg.svd(table - table.mean(axis=0), full_matrices=False)
    return u[:, :most] * s[:most]


@functools.cache
def drawings(split: str) -> Drawings:
    """250 emoji by five vendors, each drawing and two variations of it.

    "development" and "confirmation" share neither vendor nor emoji; "unopened" has emoji that neither has.
    """
    styles = unopened(CLASSES) if split == "unopened" else drawn(split, CLASSES)
    x = np.array([[worlds.lite0(copy_of(style, copy)).x for copy in range(COPIES)] for style in styles])
    names, keywords = (styles[0].columns[column].tolist() for column in ("name", "keywords"))
    return Drawings(x, tuple(names), keyword_vectors(keywords), worlds.minilm(names))


def fold(split: str, number: int) -> tuple[Domain, Domain, ClassSpace]:
    """Drawings of the seen classes, all pictures of the unseen ones (a fifth), labelled, and the classes."""
    data = drawings(split)
    order = np.random.default_rng(0).permutation(CLASSES)
    unseen = np.sort(order[number * UNSEEN : (number + 1) * UNSEEN])
    seen = np.setdiff1d(np.arange(CLASSES), unseen)
    classes = ClassSpace(names=data.names, attributes=data.keywords, embeddings=data.embeddings, seen=seen)
    known, new = data.x[:, 0, seen], data.x[:, :, unseen]
    source = Domain(x=known.reshape(-1, known.shape[-1]), y=np.tile(seen, known.shape[0]))
    return source, Domain(x=new.reshape(-1, new.shape[-1]), y=np.tile(unseen, new.shape[0] * COPIES)), classes


def first_of_each(y: IntArray, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """n samples of each class at random."""
    chosen = np.zeros(len(y), dtype=bool)
    chosen[rows_of_each(y, n, rng)] = True
    return chosen


def pooled(case: str, seed: int) -> tuple[Domain, Domain, Domain, ClassSpace]:
    """A fold whose pool is twelve pictures of each unseen class, drawn by the seed; the others are `later` ones."""
    split, number = case.split()
    source, whole, classes = fold(split, int(number))
    chosen = first_of_each(whole.labels, POOL, np.random.default_rng(seed))
    return source, whole.take(chosen), whole.take(~chosen), classes


def read(case: str) -> list[Domain]:
    """The drawings of a fold and what is said of them, for a stamp."""
    if not case.startswith("unopened"):
        return of_split(case, "name", "keywords", n=CLASSES)
    styles = unopened(CLASSES)
    return [*styles, worlds.said(styles[0], "name", "keywords")]
