"""DistillWeighted's claim: a small network, few labels, and a zoo of larger ones of tasks near and far; 16 x 16 pixels."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from torch import nn

from unseen.claims.base import Assertion, Claim, Experiment, at_least, at_most, better, not_worse
from unseen.claims.meta_dmoe import Style, digits, drawn
from unseen.data.domain import Domain
from unseen.evaluation.metrics.classification import accuracy
from unseen.methods.adaptation.distill_similar import DistillSimilar
from unseen.methods.base import Method
from unseen.methods.baselines.fixmatch import FixMatch
from unseen.nn.classifier import train_source
from unseen.nn.convnet import small_convnet
from unseen.nn.zoo import n_parameters, rank_teachers
from unseen.runtime import reproducible

Table = dict[str, dict[str, float]]
Pictures = tuple[np.ndarray, np.ndarray]
"""Ink (n, 16, 16) in [0, 1], and labels."""

SHOTS, UNLABELED, EXAM = 2, 300, 300
"""Labels per class of the target, its unlabeled samples, and those of the exam."""
WIDTH, TEACHER_WIDTH = 48, 24
"""Hidden features of the student; channels of the sources' first layer."""
METRICS = ("parc", "leep", "h-score", "knn", "cka")
LETTERS = ("ABCDEFGHKLMN", "abdefghkmnqr", "PRSTUVWXYZ")
"""Of targets in development and confirmation, and of a source."""
STYLES: Mapping[str, Style] = {
    "turned": Style(turn=25.0),
    "inverted": Style(inverted=True, blur=0.7),
    "slanted": Style(slant=0.6, noise=0.1),
    "pale": Style(pale=True, noise=0.1, turn=-15.0),
    "turned back": Style(turn=-35.0, noise=0.1),
    "slanted back": Style(slant=-0.6, blur=0.7),
    "stretched": Style(stretch=1.5, noise=0.1),
    "squeezed": Style(stretch=0.7, pale=True),
    "inverted and turned": Style(inverted=True, turn=15.0, noise=0.1),
}


# -- data ----------------------------------------------------------------------------------------------------


@functools.cache
def letters(text: str, half: int) -> Pictures:
    """Printed letters in half of the fonts."""
    from unseen.data.sources import characters

    domain = characters(text, size=16, copies=8)
    fonts = domain.columns["font"].tolist()
    own = np.array([int(hashlib.sha256(str(font).encode()).hexdigest(), 16) % 2 == half for font in fonts])
    return np.asarray(domain.x)[own].reshape(-1, 16, 16), domain.labels[own]


@functools.cache
def emoji(vendor: str) -> Pictures:
    """A vendor's emoji without colours, and their groups."""
    from unseen.data.sources import emoji as read

    domain = read(vendor)
    ink = [1 - np.asarray(picture.convert("L").resize((16, 16))) / 255 for picture in domain.x]
    return np.stack(ink), np.unique(domain.columns["group"], return_inverse=True)[1]


def tasks(half: int, rng: np.random.Generator) -> dict[str, Pictures]:
    """What the sources learnt, by name, of pictures that the target does not have."""
    hand, y = digits("handwritten", half)
    printed, z = digits("printed", half)
    symbols, groups = emoji("noto" if half else "twemoji")
    quarters = rng.integers(0, 4, len(symbols))
    turned = np.stack([np.rot90(x, k) for x, k in zip(symbols, quarters)])
    return {
        "handwritten": (hand, y),
        "turned": (drawn(hand, Style(turn=60.0), rng), y),
        "inverted": (drawn(hand, Style(inverted=True), rng), y),
        "printed": (printed, z),
        "letters": letters(LETTERS[2], half),
        "parity": (hand, y % 2),
        "emoji": (symbols, groups),
        "turns": (turned, quarters),
        "random": (hand, rng.integers(0, 10, len(y))),
    }


def as_domain(ink: np.ndarray, y: np.ndarray) -> Domain:
    """Pictures with one channel."""
    return Domain(x=ink[:, None].astype(np.float32), y=y.astype(np.int64), kind="image")


@functools.cache
def zoo(half: int, seed: int) -> dict[str, nn.Module]:
    """The networks: no data of theirs is used from here on."""
    rng = np.random.default_rng(seed)
    trained: dict[str, nn.Module] = {}
    for name, (ink, y) in tasks(half, rng).items():
        chosen = rng.permutation(len(y))[:900]
        with reproducible(seed):
            start = small_convnet(int(y.max()) + 1, 1, TEACHER_WIDTH)
            trained[name] = train_source(start, as_domain(ink[chosen], y[chosen]), epochs=12, learning_rate=0.1)
    return trained


def target(kind: str, style: str, half: int, split: str, seed: int) -> tuple[Domain, Domain, Domain]:
    """Few labelled samples, unlabeled ones, and the exam."""
    own = letters(LETTERS[split == "confirmation"], half) if kind == "letters" else digits(kind, half)
    rng = np.random.default_rng(seed)
    domain = as_domain(drawn(own[0], STYLES[style], rng), own[1])
    order = rng.permutation(len(domain))
    few = np.concatenate([order[domain.labels[order] == label][:SHOTS] for label in np.unique(domain.labels)])
    others = order[~np.isin(order, few)]
    exam, rest = others[:EXAM], others[EXAM : EXAM + UNLABELED]
    return domain.take(few), domain.take(rest).unlabeled(), domain.take(exam)


# -- arms ----------------------------------------------------------------------------------------------------


def run(case: str, seed: int) -> Table:
    """All arms on one target. The case is `SPLIT KIND STYLE`; targets and sources are of two halves of the pictures."""
    split, kind, style = case.split(" ", 2)
    half = int(split == "confirmation")
    support, unlabeled, exam = target(kind, style, half, split, seed)
    teachers = zoo(1 - half, seed)
    ranked = rank_teachers(teachers, support, METRICS).set_index("name")
    nearest = str(ranked["parc"].idxmax())
    small: dict[str, Any] = {"random_state": seed, "width": WIDTH}

    def graded(method: Method) -> float:
        return accuracy(exam.labels, method.predict(exam))

    def distilled(names: Iterable[str], model: nn.Module | None = None, **settings: Any) -> DistillSimilar:
        method = DistillSimilar(**small | settings)
        own = {name: teachers[name] for name in names}
        return method.fit(support=support, target=unlabeled, teachers=own, model=model)

    alone = {name: graded(distilled([name], metric="leep")) for name in teachers}
    weighted = distilled(teachers)
    found = {
        "labels alone": graded(distilled(teachers, labels=1.0)),
        "fixmatch": graded(FixMatch(**small).fit(support=support, target=unlabeled)),
        "fine-tuned": graded(distilled(teachers, model=teachers[nearest], labels=1.0)),
        "nearest": alone[nearest],
        "weighted": graded(weighted),
        "equal": graded(distilled(teachers, power=0.0)),
        "random source": float(np.mean(list(alone.values()))),
        "decoy": alone["random"],
        "worst source": min(alone.values()),
        "best source": max(alone.values()),
    }
    table = {arm: {"accuracy": value} for arm, value in found.items()}
    for metric in METRICS:
        scores = ranked[metric].loc[list(alone)].to_numpy()
        table[metric] = {"rank correlation": float(spearmanr(scores, list(alone.values())).statistic)}
    table["weighted"] |= {
        "decoy's share": weighted.weights_["random"],
        "parameters": n_parameters(weighted.network_),
    }
    table["nearest"]["parameters"] = n_parameters(teachers[nearest])
    for name, value in alone.items():
        table[f"from {name}"] = {"accuracy": value, "similarity": float(ranked["parc"].loc[name])}
    return table
