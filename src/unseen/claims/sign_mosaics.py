"""Mosaics of signs, where it is known what is shown where: classes are sets of three of ten signs."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from unseen.claims import worlds
from unseen.claims.folds import Fold
from unseen.claims.frequency_ladder import mnist
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import FloatArray, IntArray

SHOWN, CELLS = 3, 9
"""Digits of a class, and cells of a picture; the others hold digits whose pixels are shuffled."""
LETTERS = {"capitals": "ABCDEFGHJK", "small": "abdefghkmn"}
"""Ten signs of a style of printed letters; digits are the signs of the other styles."""


def mosaics(case: str, world: str, each: int) -> Fold:
    """Classes are sets of three of ten signs; a picture shows each of them in one of its nine cells.

    The column `place` holds the cell of each digit, -1 where it is not shown, (n, 10).

    Parameters
    ----------
    case : str
        Style of the signs, and a number: "handwritten", "printed" or "mnist" digits, "capitals" or "small" letters.
        Tests show other pictures of the signs than the source.
    world : {"plain", "uneven", "apart", "together", "alike"}
        "uneven": seen classes have from a quarter to four times as many pictures, as many in all; "together": two
        digits occur together in all eight seen classes that have both and in one class each alone, while every unseen
        class has one of them; "apart": the same unseen classes, and seen ones drawn from all others; "alike": sets of
        six digits only, so that every class differs from nine others of 20 in one digit.
    each : int
        Pictures of a seen class.
    """
    style, number = case.split()
    rng = np.random.default_rng(int(number))
    sets = np.array(list(itertools.combinations(range(6 if world == "alike" else 10), SHOWN)))
    has = (sets[:, :, None] == np.arange(10)).any(axis=1)
    new, seen = _split(has, world, rng)
    kept = np.r_[seen, new]
    shown, names = signs(style), tuple(LETTERS.get(style, worlds.NUMBERS))
    classes = ClassSpace(
        names=tuple("".join(map(str, sets[k])) for k in kept), attributes=has[kept], attribute_names=names,
        seen=np.arange(len(seen)),
    )  # fmt: skip
    counts = np.full(len(seen), each)
    if world == "uneven":
        shares = np.geomspace(1, 24, len(seen))[rng.permutation(len(seen))]
        counts = np.maximum(1, np.round(shares / shares.mean() * each)).astype(np.int64)
        counts[counts.argmax()] += each * len(seen) - counts.sum()
    inks = [(shown.x[part], shown.labels[part]) for part in np.array_split(rng.permutation(len(shown)), 2)]
    members = sets[kept]
    known, first = np.arange(len(seen)), len(seen)
    return Fold(
        _pictures(np.repeat(known, counts), members, inks[0], classes, rng),
        _pictures(np.repeat(known, 4), members, inks[1], classes, rng),
        _pictures(np.repeat(np.arange(first, len(kept)), 20), members, inks[1], classes, rng),
        classes,
    )


def signs(style: str) -> Domain:
    """Pictures of ten signs, 8 x 8, which are the classes."""
    if style in LETTERS:
        return worlds.characters(LETTERS[style])
    return mnist() if style == "mnist" else worlds.digits(style)


def _split(has: NDArray[np.bool_], world: str, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Unseen sets and seen ones."""
    if world == "alike":
        order = rng.permutation(len(has))
        return order[:5], order[5:]
    if world in ("plain", "uneven"):
        order = rng.permutation(len(has))[:60]
        return order[:15], order[15:]
    number = has[:, 0].astype(int) + has[:, 1]
    apart, both, neither = (np.flatnonzero(number == n) for n in (1, 2, 0))
    new = rng.permutation(apart)[:15]
    if world == "apart":
        return new, rng.permutation(np.setdiff1d(np.arange(len(has)), new))[:45]
    rest = np.setdiff1d(apart, new)
    lone = [rng.choice(rest[has[rest, digit]]) for digit in (0, 1)]
    return new, np.r_[both, lone, rng.permutation(neither)[: 45 - len(both) - len(lone)]]


def _pictures(
    y: IntArray, sets: IntArray, ink: tuple[FloatArray, IntArray], classes: ClassSpace, rng: np.random.Generator
) -> Domain:
    """A picture for each label: cells of 8 x 8 pixels as regions, and their mean as the features of the whole."""
    pixels, digit = ink
    cells, place = np.empty((len(y), CELLS, 64), dtype=np.float32), np.full((len(y), 10), -1)
    for picture, where, label in zip(cells, place, y):
        order = rng.permutation(CELLS)
        for cell, shown in zip(order, sets[label]):
            picture[cell] = pixels[rng.choice(np.flatnonzero(digit == shown))]
            where[shown] = cell
        for cell in order[SHOWN:]:
            picture[cell] = rng.permutation(pixels[rng.integers(len(pixels))])
    return Domain(x=cells.mean(axis=1), y=y, classes=classes, columns={"regions": cells, "place": place})
