"""Few-shot worlds whose queries are hard: drawings, letters and stamps, and simple arms that see what a method sees."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unseen import encoders
from unseen.claims import arms
from unseen.claims.drawings import drawn, of_split
from unseen.claims.letters import letters
from unseen.claims.worlds import hashed, on_paper, stamps
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, concatenate
from unseen.data.simulate.hard import HARD, harder, varied
from unseen.methods.base import Method
from unseen.methods.baselines.linear_probe import LinearProbe
from unseen.methods.baselines.prototypes import Prototypes

ENCODER = "efficientnet-lite0?size=128&layer=5&regions=4"
"""Its fifth map, 4 x 4 positions of 320 values; a sample's feature is their mean."""
CONDITIONS = ("clean", *HARD)
LEARNT, NEW, COPIES = 340, 60, 2
"""Emoji of a split to learn from, at most, and others to name; changed copies of each picture, as many as
`unseen episodes` makes."""
LETTERS = {"development": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "confirmation": "abcdefghijklmnopqrstuvwxyz"}
EACH = 12
"""Pictures of a letter, or of a folder of stamps, at most; folders have `LEAST` at least."""
LEAST = 9


class World(NamedTuple):
    """Classes to learn from, with changed copies of their pictures; others, as they are and as they are asked about."""

    source: Domain
    copies: Domain
    novel: Domain
    asked: Mapping[str, Domain]


# -- data --------------------------------------------------------------------------------------------------


def pictures(case: str) -> Domain:
    """Classes to name; a case is `SPLIT KIND`: emoji of five vendors, letters in fonts, folders of stamps."""
    split, kind = case.split()
    return {"emoji": lambda: emoji(split)[1], "letters": lambda: _letters(LETTERS[split]), "stamps": _stamps}[kind]()


def emoji(split: str) -> tuple[Domain, Domain]:
    """Emoji to learn from and others to name; classes are the emoji themselves, each as five vendors draw it."""
    styles = drawn(split, LEARNT + NEW)
    names = tuple(styles[0].columns["name"].tolist())
    parts = []
    learnt = min(LEARNT, len(names) - NEW)  # the confirmation's five vendors share fewer
    for some in (slice(0, learnt), slice(learnt, learnt + NEW)):
        classes = ClassSpace(names=names[some])
        drawings = [
            style.take(some).replace(y=np.arange(len(classes)), classes=classes, columns={}) for style in styles
        ]
        parts.append(concatenate(drawings, name=f"emoji, {split}"))
    return parts[0], parts[1]


def _letters(text: str) -> Domain:
    ink = letters(text, 1, 64)
    return few_of_each(on_paper(ink, ink.x[:, 0]).replace(columns={}, name=f"letters {text}"))


def _stamps() -> Domain:
    whole = stamps()
    folders, counts = np.unique(whole.columns["folder"], return_counts=True)
    rich = folders[counts >= LEAST]
    kept = whole.take(np.isin(whole.columns["folder"], rich))
    y = np.searchsorted(rich, kept.columns["folder"])
    return few_of_each(kept.replace(y=y, classes=ClassSpace(names=tuple(rich.tolist())), columns={}, name="stamps"))


def few_of_each(domain: Domain) -> Domain:
    """At most `EACH` pictures of a class, drawn."""
    return domain.take(arms.few_of_each(domain.labels, EACH))


@functools.cache
def learnt_from(split: str) -> tuple[Domain, Domain]:
    """The emoji of a split to learn from and their changed copies, encoded."""
    source, copies = shown(split)
    return encoded(source), encoded(copies)


def shown(split: str) -> tuple[Domain, Domain]:
    """The same as pictures."""
    source = emoji(split)[0]
    return source, varied(source, COPIES, random_state=hashed(split) % 1000)


def queries_of(case: str) -> tuple[Domain, dict[str, Domain]]:
    """What is to be named, as it is and as it is asked about in each condition, as pictures."""
    novel, seed = pictures(case), hashed(case) % 2**31
    return novel, {name: novel if name == "clean" else harder(novel, name, random_state=seed) for name in CONDITIONS}


def drawn_world(case: str, seed: int) -> list[Any]:
    """What a cell draws."""
    novel, queries = queries_of(case)
    learnt = shown(case.split()[0])
    some = [domain.take([0]) for domain in (*learnt, *queries.values())]
    names = [domain.classes for domain in (learnt[0], novel)]
    return [some, names, [domain.y for domain in (*learnt, novel)], ways_of(len(novel), seed)]


def ways_of(n: int, seed: int) -> NDArray[np.int64]:
    """In which of the hard ways each of n pictures is asked about, where it is in one."""
    return np.random.default_rng(seed).integers(len(HARD), size=n)


@functools.cache
def world(case: str) -> World:
    """A case, encoded. Whatever is to be named, emoji are learnt from: the paper, too, learns once, from ImageNet."""
    novel, queries = queries_of(case)
    return World(
        *learnt_from(case.split()[0]), encoded(novel), {name: encoded(domain) for name, domain in queries.items()}
    )


def encoded(domain: Domain) -> Domain:
    """Features and maps, in single precision."""
    return encoders.get(ENCODER).encode(domain, precision="fp32")


def read(case: str) -> list[Domain]:
    """What a case reads, for a stamp."""
    drawings = of_split(case, "name", n=LEARNT + NEW)
    return drawings if case.endswith("emoji") else [*drawings, pictures(case)]


# -- arms --------------------------------------------------------------------------------------------------


class Rule:
    """Something with `predict`, as an episode asks it."""

    def __init__(self, scores: Callable[[Domain], Tensor]) -> None:
        self.scores = scores

    def predict(self, query: Domain) -> NDArray[np.int64]:
        """The class with the largest score."""
        return self.scores(query).argmax(dim=1).numpy()


Fit = Callable[[Domain], Any]
"""From the labelled handful of an episode to something with `predict`."""


def means_of(values: Tensor, y: NDArray[np.int64]) -> Tensor:
    """The mean over the samples of each class, at unit length."""
    label = torch.as_tensor(y)
    sums = torch.zeros(int(label.max()) + 1, values.shape[1]).index_add_(0, label, values)
    return F.normalize(sums, dim=1)


def doing_nothing(support: Domain) -> Rule:
    """The encoder's features as they are: the class whose mean has the largest cosine."""
    means = means_of(torch.as_tensor(support.x), support.labels)
    return Rule(lambda query: F.normalize(torch.as_tensor(query.x), dim=1) @ means.T)


def nearest_maps(support: Domain) -> Rule:
    """Positions of the query and of each support: the mean over the query's of the largest cosine, best support."""
    maps = F.normalize(torch.as_tensor(support.columns["regions"]), dim=2)
    y = torch.as_tensor(support.labels)

    def scores(query: Domain) -> Tensor:
        queries = F.normalize(torch.as_tensor(query.columns["regions"]), dim=2)
        near = torch.einsum("qtc,muc->qmtu", queries, maps).amax(dim=3).mean(dim=2)
        return torch.stack([near[:, y == label].amax(dim=1) for label in range(int(y.max()) + 1)], dim=1)

    return Rule(scores)


def whitened(given: World) -> Fit:
    """What the source and its changed copies say of variance within a class is divided out; then the nearest mean.

    The shrinkage of the within-class covariance is that of Ledoit and Wolf.
    """
    from sklearn.covariance import LedoitWolf

    x = np.concatenate([given.source.x, given.copies.x]).astype(np.float64)
    y = np.concatenate([given.source.labels, given.copies.labels])
    centres = np.stack([x[y == label].mean(axis=0) for label in range(int(y.max()) + 1)])
    within = LedoitWolf(assume_centered=True).fit(x - centres[y]).covariance_
    values, vectors = np.linalg.eigh(within)
    basis = torch.as_tensor(vectors / np.sqrt(values.clip(1e-12)), dtype=torch.float32)
    mean = torch.as_tensor(x.mean(axis=0), dtype=torch.float32)

    def seen(domain: Domain) -> Tensor:
        return F.normalize((torch.as_tensor(domain.x) - mean) @ basis, dim=1)

    def fit(support: Domain) -> Rule:
        means = means_of(seen(support), support.labels)
        return Rule(lambda query: seen(query) @ means.T)

    return fit


def with_hard_copies(method: Callable[[], Method], given: World) -> Fit:
    """A method on the handful and on copies of it that are hard in all four ways; it knows how queries may be hard."""
    place = {row.tobytes(): i for i, row in enumerate(given.novel.x)}

    def fit(support: Domain) -> Any:
        rows = np.array([place[row.tobytes()] for row in support.x])
        x = np.concatenate([support.x, *(given.asked[name].x[rows] for name in HARD)])
        y = np.tile(support.labels, 1 + len(HARD))
        return method().fit(support=Domain(x=x, y=y, classes=support.classes))

    return fit


def simple_arms(given: World) -> dict[str, Fit]:
    """Arms that learn no network; each was as free to be chosen as the method."""
    return {
        "nothing": doing_nothing,
        "prototypes": lambda support: Prototypes().fit(support=support),
        "logistic": lambda support: LinearProbe().fit(support=support),
        "nearest maps": nearest_maps,
        "whitened": whitened(given),
        "prototypes, hard copies": with_hard_copies(Prototypes, given),
        "logistic, hard copies": with_hard_copies(LinearProbe, given),
    }
