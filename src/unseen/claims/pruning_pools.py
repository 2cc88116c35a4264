"""Pools that look like the web: few classes are many and full of near-copies, the others are rare and diverse."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from unseen.claims import drawings, worlds
from unseen.data.domain import Domain
from unseen.nn.rows import unit

NOISE = 0.11
"""Of each copy, in standard deviations of all values: 0.04 for handwritten digits with pixels in [0, 1]."""
EPS = 0.02
"""Of the deduplication. Two noisy copies are 0.012 apart where values have a mean of 0, less where they have not."""
FEWEST = 8
"""Emoji of a subgroup in a split, at least; a vendor draws each of them once."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pool:
    """A redundant pool to choose from, with balanced samples to choose a temperature on and to grade on.

    Samples are unit vectors, (n, d); `origin` says which original each one of the pool is, or is a copy of.
    """

    x: NDArray[np.float32]
    y: Int[np.ndarray, " n"]
    origin: Int[np.ndarray, " n"]
    validation: NDArray[np.float32]
    validation_y: Int[np.ndarray, " v"]
    test: NDArray[np.float32]
    test_y: Int[np.ndarray, " t"]


@functools.cache
def features(case: str) -> Domain:
    """The samples of a case, a vector each: ink of characters, or EfficientNet-Lite0's features of emoji."""
    if case == "handwritten digits":
        return worlds.digits("handwritten")
    if case == "printed digits":
        return worlds.digits("printed")
    if case == "printed capitals":
        return worlds.characters("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 5)
    if case == "printed small letters":
        return worlds.characters("abdefghknpqrty")
    return emoji_features(case.removeprefix("emoji of "))


@functools.cache
def emoji_features(split: str) -> Domain:
    """Emoji of the vendors of a split, with their subgroups as classes; those of small subgroups are out."""
    x, first = drawings.features(split), drawings.drawn(split)[0].columns
    _, y, counts = np.unique(first["subgroup"], return_inverse=True, return_counts=True)
    kept = np.flatnonzero(counts[y] >= FEWEST)
    columns = {key: np.tile(first[key][kept], len(x)) for key in ("name", "keywords", "subgroup")}
    columns["vendor"] = np.repeat(np.arange(len(x)), len(kept))
    label = np.unique(y[kept], return_inverse=True)[1]
    return Domain(x=x[:, kept].reshape(len(x) * len(kept), -1), y=np.tile(label, len(x)), columns=columns, name=split)


def web_like(
    y: Int[np.ndarray, " n"], rng: np.random.Generator, times: tuple[int, int] = (12, 4), tail: float = 0.7
) -> Int[np.ndarray, " m"]:
    """Positions of a pool: classes are ranked at random; rank r keeps (1 + r)^-tail of its samples, 8 at least.

    The samples of the first three tenths of the ranks stand `times[0]` times, those of the next three `times[1]` times.
    """
    classes = rng.permutation(np.unique(y))
    out = []
    for rank, label in enumerate(classes):
        members = rng.permutation(np.flatnonzero(y == label))
        members = members[: max(8, round((1 + rank) ** -tail * len(members)))]
        often = times[0] if rank < 0.3 * len(classes) else times[1] if rank < 0.6 * len(classes) else 1
        out.append(np.repeat(members, often))
    return np.concatenate(out)


def pool(case: str, seed: int) -> Pool:
    """A pool of a case: a third of each class, evenly, for the exam, a ninth to choose on, a web-like rest."""
    data, rng = features(case), np.random.default_rng([seed, 7])
    y = data.labels
    fewest = int(np.bincount(y).min())
    exam, choice = max(fewest // 3, 4), max(fewest // 9, 2)
    shuffled = [rng.permutation(np.flatnonzero(y == label)) for label in np.unique(y)]
    test = np.concatenate([members[:exam] for members in shuffled])
    held = np.concatenate([members[exam : exam + choice] for members in shuffled])
    left = np.concatenate([members[exam + choice :] for members in shuffled])
    origin = left[web_like(y[left], rng)]
    x = data.x[origin].astype(np.float32)
    first = np.zeros(len(origin), dtype=bool)
    first[np.unique(origin, return_index=True)[1]] = True
    noise = NOISE * float(data.x.std()) * rng.normal(size=x.shape).astype(np.float32)
    x = np.where(first[:, None], x, x + noise)
    order = rng.permutation(len(x))
    return Pool(
        _unit(x[order]), y[origin][order], origin[order], _unit(data.x[held]), y[held], _unit(data.x[test]), y[test]
    )


def _unit(x: NDArray[np.floating]) -> NDArray[np.float32]:
    return unit(x).numpy()


def nearest_neighbour(
    x: NDArray[np.float32], y: Int[np.ndarray, " n"], test: NDArray[np.float32], truth: Int[np.ndarray, " t"]
) -> float:
    """Accuracy of the class of the nearest sample by cosine."""
    return float((y[(test @ x.T).argmax(axis=1)] == truth).mean())
