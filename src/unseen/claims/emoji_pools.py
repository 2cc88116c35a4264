"""Pools of emoji that nobody saw a drawing of: each drawing and mild variations of it, with names and keywords."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims import worlds
from unseen.claims.arms import rows_of_each
from unseen.claims.drawings import drawn, first_by_hash, of_split, pictured
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.sources import emoji, in_common
from unseen.data.typing import FloatArray, IntArray
from unseen.methods.zero_shot.tmv_hlp.views import moved_prototypes
from unseen.nn.graphs import neighbour_graph, propagate
from unseen.nn.semantic import cosines, hub_norms

CLASSES, UNSEEN, COPIES, STYLES = 250, 50, 3, 5
POOL = 12
"""Pictures of each unseen class in the pool."""


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


def styles_of(split: str) -> tuple[Domain, ...]:
    """250 emoji by five vendors."""
    return unopened(CLASSES) if split == "unopened" else drawn(split, CLASSES)


@functools.cache
def drawings(split: str) -> tuple[NDArray[np.float32], ClassSpace]:
    """Features of 250 emoji by five vendors, each drawing and two variations of it, (vendor, copy, class, d).

    "development" and "confirmation" share neither vendor nor emoji; "unopened" has emoji that neither has.
    """
    styles = styles_of(split)
    x = np.array([[worlds.lite0(copy_of(style, copy)).x for copy in range(COPIES)] for style in styles])
    classes = told(styles[0])
    return x, classes.replace(embeddings=worlds.minilm(classes.names))


def told(style: Domain) -> ClassSpace:
    """The emoji as classes, by name and keywords."""
    names, keywords = (style.columns[column].tolist() for column in ("name", "keywords"))
    return ClassSpace(names=names, attributes=keyword_vectors(keywords))


def numbered_drawings(split: str) -> tuple[NDArray[np.float32], ClassSpace]:
    """The same with pictures by their numbers, for what is drawn of `drawings`."""
    styles = styles_of(split)
    x = np.arange(len(styles) * COPIES * CLASSES, dtype=np.float32)
    return x.reshape(len(styles), COPIES, CLASSES, 1), told(styles[0])


def drawn_pool(case: str, seed: int) -> dict[str, Any]:
    """What a cell draws: the pool and all else of a fold, and some variations of drawings."""
    style = styles_of(case.split()[0])[0]
    return {"pool": pooled(case, seed, numbered_drawings), "varied": copy_of(style, 1).x[:3]}


def fold(
    split: str, number: int, of: Callable[[str], tuple[NDArray[np.float32], ClassSpace]] = drawings
) -> tuple[Domain, Domain, ClassSpace]:
    """Drawings of the seen classes, all pictures of the unseen ones (a fifth), labelled, and the classes."""
    x, classes = of(split)
    order = np.random.default_rng(0).permutation(CLASSES)
    unseen = np.sort(order[number * UNSEEN : (number + 1) * UNSEEN])
    seen = np.setdiff1d(np.arange(CLASSES), unseen)
    known, new = x[:, 0, seen], x[:, :, unseen]
    source = Domain(x=known.reshape(-1, known.shape[-1]), y=np.tile(seen, known.shape[0]))
    pool = Domain(x=new.reshape(-1, new.shape[-1]), y=np.tile(unseen, new.shape[0] * COPIES))
    return source, pool, classes.replace(seen=seen)


def first_of_each(y: IntArray, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """n samples of each class at random."""
    chosen = np.zeros(len(y), dtype=bool)
    chosen[rows_of_each(y, n, rng)] = True
    return chosen


def pooled(
    case: str, seed: int, of: Callable[[str], tuple[NDArray[np.float32], ClassSpace]] = drawings
) -> tuple[Domain, Domain, Domain, ClassSpace]:
    """A fold whose pool is twelve pictures of each unseen class, drawn by the seed; the others are `later` ones."""
    split, number = case.split()
    source, whole, classes = fold(split, int(number), of)
    chosen = first_of_each(whole.labels, POOL, np.random.default_rng(seed))
    return source, whole.take(chosen), whole.take(~chosen), classes


def read(case: str) -> list[Domain]:
    """The drawings of a fold and what is said of them, for a stamp."""
    if not case.startswith("unopened"):
        return of_split(case, "name", "keywords", n=CLASSES)
    styles = unopened(CLASSES)
    return [*styles, worlds.said(styles[0], "name", "keywords")]


# -- rivals: prototypes that move in both spaces of class vectors at once, and scores that spread --------

VENDORS = ("noto", "twemoji", "openmoji", "fluent-emoji", "emojione")
"""Who draws the emoji that no other experiment shows."""
SHARPNESS, NEIGHBOURS, ALPHA = 10.0, 5, 0.8
"""Of `spread`: the best of two, three and three that were tried on the ten opened folds."""


def unopened(n: int) -> tuple[Domain, ...]:
    """n emoji, no symbols, as five vendors draw them, without the n of each half of `unseen.claims.drawings`.

    They are those with the smallest hashes.
    """
    opened = {code for half in ("development", "confirmation") for code in drawn(half, n)[0].columns["emoji"].tolist()}
    styles = in_common(*(emoji(vendor, level="emoji") for vendor in VENDORS))
    fresh = np.array([code not in opened for code in styles[0].columns["emoji"].tolist()])
    return tuple(style.take(first_by_hash(styles[0], fresh & pictured(styles[0]), n)) for style in styles)


def joined(spaces: Sequence[Float[Tensor, "n _"]]) -> Float[Tensor, "n d"]:
    """Vectors in several spaces as vectors in one, in which each counts alike."""
    return torch.cat([F.normalize(space, dim=1) for space in spaces], dim=1)


class SelfTrained:
    """Prototypes moved once in one space, and the pool's scores, by which later samples are freed of hubs, too."""

    def __init__(self, pool: Float[Tensor, "n t"], prototypes: Float[Tensor, "c t"], k: int | None = None) -> None:
        self.prototypes = moved_prototypes(pool, prototypes, k)
        self.similar = cosines(pool, self.prototypes)
        self.norms = hub_norms(self.similar + 1)

    def scores(self, samples: Float[Tensor, "m t"]) -> Float[Tensor, "m c"]:
        """Similarities, hubs held down as in the pool."""
        return (cosines(samples, self.prototypes) + 1) / self.norms

    def spread(self, pictures: Float[Tensor, "n d"]) -> Float[np.ndarray, "n c"]:
        """The pool's scores, made equally large classes, spread over the graph of the nearest pictures."""
        logits = self.similar * SHARPNESS
        share = torch.softmax(logits, dim=1).mean(dim=0)
        labels = torch.softmax(logits - share.log(), dim=1).numpy()
        scaled = (pictures - pictures.mean(dim=0)) / (pictures.std(dim=0) + 1e-6)
        graph = neighbour_graph(F.normalize(scaled, dim=1), np.full(len(pictures), NEIGHBOURS))
        return propagate(functools.partial(graph.__matmul__), labels, ALPHA)
