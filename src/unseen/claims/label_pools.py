"""Pairs of domains with a target as assumed, with other classes in it, or with other shares; adaptation without labels.

Claims about few labels measure against these; a pool differs from its control in one thing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from unseen.claims import worlds
from unseen.claims.arms import of_classes, timed
from unseen.claims.base import Result
from unseen.claims.drawings import of_vendors
from unseen.claims.letters import in_family, letters, numbered_family
from unseen.claims.shifts import numbered_subgroups, source_model, subgroups
from unseen.data.domain import Domain, Lazy
from unseen.data.few_shot import few_shot_split, unbalanced
from unseen.data.samplers import hold_out, steps
from unseen.data.shifts import craft
from unseen.evaluation.metrics.classification import mean_class_accuracy
from unseen.methods.adaptation.fewshot_sfda import FewShotSFDA
from unseen.methods.adaptation.sfda2 import SFDA2
from unseen.methods.base import Method
from unseen.methods.baselines.aad import AaD
from unseen.methods.baselines.shot import SHOT
from unseen.nn.classifier import Classifier, outputs
from unseen.nn.logistic import fit_logistic

PROBE, STEPS = 80, 200
"""Steps of the probe, and of the whole training of every arm; batches without labels hold twice as many samples."""
UNLABELED: Mapping[str, tuple[type[Method], Mapping[str, Any]]] = {
    "shot": (SHOT, {}),
    "aad": (AaD, {"learning_rate": 1e-2}),
    "sfda2": (SFDA2, {}),
}
"""Methods and settings; the rate of AaD is the better of two on the exams of development."""
TWO_STAGES: Mapping[str, Any] = {"probe_steps": PROBE, "steps": STEPS - PROBE}
LEAST = 20
"""Samples that a class has in both domains; smaller ones are left out."""
RAREST = 4
"""Samples of the rarest class where labels shift: three shots, and one to validate by."""
MARGIN = 0.03
"""How far below the source model an adapted one is worse than none."""
CONTROL: Mapping[str, str] = {"ood": "vanilla", "shift": "even"}
"""The pool that differs from each in nothing else."""


class Data(NamedTuple):
    """One pair of domains: what the source model learns, all of the target, its exam, and unlabeled pools by name."""

    source: Domain
    target: Domain
    known: int
    exam: Domain
    pools: dict[str, Domain]


def pools(source: Domain, target: Domain, seed: int) -> Data:
    """A source of 70 % of the classes, and a target of which a fifth of the known classes is the exam.

    `vanilla` is the rest of the known classes, `ood` these and the samples of all other classes; `shift` shrinks the
    known classes to unequal sizes, and `even` to equal ones, as many samples in all.
    """
    counts = [np.bincount(domain.labels) for domain in (source, target)]
    order = np.random.default_rng(seed).permutation(np.flatnonzero(np.minimum(*counts) >= LEAST))
    source, target = (of_classes(domain.replace(classes=None), order) for domain in (source, target))
    known = round(0.7 * len(order))
    held = few_shot_split(target.labels, 1, seed=seed, classes=target.classes).test
    pool = target.take(np.setdiff1d(np.arange(len(target)), held))
    closed = pool.take(pool.labels < known)
    shift = unbalanced(closed, np.bincount(closed.labels).min() / RAREST, reverse=True, seed=seed)
    share = [(len(shift) + place) // known for place in range(known)]
    rng = np.random.default_rng(seed)
    even = [rng.permutation(np.flatnonzero(closed.labels == label))[:n] for label, n in enumerate(share)]
    return Data(
        source=source.take(source.labels < known),
        target=target,
        known=known,
        exam=target.take(held[target.labels[held] < known]),
        pools={"vanilla": closed, "ood": pool, "even": closed.take(np.sort(np.concatenate(even))), "shift": shift},
    )


def support_of(pair: Data, shots: int, seed: int, draw: int | None = None) -> Domain:
    """`shots` labelled samples of every class that the source knows, and one more to choose by."""
    split = few_shot_split(pair.target.labels, shots, seed=seed, draw=draw, classes=pair.target.classes)
    support = pair.target.take(np.concatenate([split.train, split.validation]))
    return support.take(support.labels < pair.known)


def without_labels(model: Classifier, pair: Data, seed: int) -> Result:
    """The source model, methods that read a pool, and their best, mean and worst; metrics are named by the pool.

    `drop` is what a method loses against its control; `harm` is 1 where it is below the source model, but not in its
    control.
    """
    base = graded(model, pair.exam)
    table: Result = {"source": {**dict.fromkeys(pair.pools, base), "drop ood": 0.0, "drop shift": 0.0}}
    for arm in UNLABELED:
        table[arm] = {}
        for name, pool in pair.pools.items():
            table[arm][name] = graded(adapted(arm, model, pool, seed), pair.exam)
        row = table[arm]
        for name, control in CONTROL.items():
            row[f"drop {name}"] = row[control] - row[name]
            row[f"harm {name}"] = float(base - row[name] > MARGIN >= base - row[control])
        row["harm"] = max(row["harm ood"], row["harm shift"])
    rows = [table[arm] for arm in UNLABELED]
    table["best unlabeled"] = {name: max(row[name] for row in rows) for name in pair.pools}
    for name in CONTROL:
        for arm, metric, of in (("mean unlabeled", "drop", np.mean), ("any unlabeled", "harm", max)):
            table.setdefault(arm, {})[f"{metric} {name}"] = float(of([row[f"{metric} {name}"] for row in rows]))
    return table


def adapted(arm: str, model: Classifier, pool: Domain, seed: int) -> Classifier:
    """The source model after one of `UNLABELED` on a pool, for as many steps whatever its size."""
    method, settings = UNLABELED[arm]
    fitted: Any = method().set_params(random_state=seed, **settings)
    fitted.set_params(epochs=max(1, round(STEPS / steps(len(pool), fitted.batch_size))))
    network: Classifier = fitted.fit(model=model, target=pool).network_
    return network


def graded(network: Classifier, exam: Domain) -> float:
    """Accuracy of the mean class, in all pools alike."""
    return mean_class_accuracy(exam.labels, outputs(network, exam)[1].argmax(dim=1).numpy())


# -- what an expert does with few labels: logistic regression on frozen features; many pairs, for rates --

COPIES = 12
"""Pictures of a letter in a font."""
SIDE = 112
"""Pixels of a stamp's side."""
SHOTS = (1, 3)
POOLS = ("vanilla", "ood", "shift")
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of the L2 penalty, of which the support chooses by cross-validation."""
SHARES = (0.0, 0.5)
"""What the support weighs in the loss: as many samples as it has, or half of the whole; the support chooses, too."""


def read(case: str) -> list[Domain]:
    """What is read for a case, for a stamp."""
    kind, *words = case.split()
    if kind == "letters":
        return [letters(words[0], COPIES, 64)]
    return [worlds.stamps()] if kind == "stamps" else of_vendors(words, level="subgroup")


@functools.cache
def crafted_stamps(style: str) -> Domain:
    """EfficientNet-Lite0's features of Tux Paint's stamps, `plain` or changed in a family of `unseen.data.shifts`."""
    domain = worlds.stamps()
    small = [np.asarray(picture.convert("RGB").resize((SIDE, SIDE))) for picture in domain.x]
    pixels = np.stack(small).transpose(0, 3, 1, 2)
    pixels = pixels if style == "plain" else craft(pixels, style)
    shown = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    pictures = Lazy(range(len(shown)), lambda i: Image.fromarray(shown[i]))
    return worlds.lite0(domain.replace(x=pictures))


Seen = tuple[Callable[[str, str, int], Domain], Callable[[str], Domain], Callable[[str], Domain]]
"""How letters, stamps and emoji are seen."""
NUMBERS: Seen = numbered_family, lambda style: worlds.numbered(worlds.stamps()), numbered_subgroups
"""By their numbers, for what is drawn of them."""


def domains(case: str, seen: Seen | None = None) -> tuple[Domain, Domain]:
    """Source and target of `letters TEXT FAMILY FAMILY`, `stamps STYLE STYLE` or `emoji VENDOR VENDOR`.

    The halves of the stamps share no picture.
    """
    kind, *words = case.split()
    letters_, stamps, emoji = seen or (in_family, crafted_stamps, subgroups)
    if kind == "letters":
        return letters_(words[0], words[1], COPIES), letters_(words[0], words[2], COPIES)
    if kind == "stamps":
        source, target = (stamps(style) for style in words)
        first, second = hold_out(source.labels, 0.5, 0)
        return source.take(first), target.take(second)
    return emoji(words[0]), emoji(words[1])


def drawn_pools(case: str, seed: int) -> list[Any]:
    """What a cell draws: the pools of a case, and few labels."""
    pair = pools(*domains(case, NUMBERS), seed)
    return [pair, *(support_of(pair, shots, seed) for shots in SHOTS)]


def run(case: str, seed: int) -> Result:
    """Adaptation without labels in three pools, and arms that read the same few labels, from one model, on one exam.

    `below POOL` is 1 where an arm is below the source model by more than the margin, `below` where it is with other
    classes in the target or with other shares.
    """
    pair = pools(*domains(case), seed)
    model = source_model(pair.source, seed)
    values = {"source": dict.fromkeys(POOLS, graded(model, pair.exam))}
    for arm in UNLABELED:
        values[arm] = {name: graded(adapted(arm, model, pair.pools[name], seed), pair.exam) for name in POOLS}
    spent = {}
    for shots in SHOTS:
        for arm, learn in LABELED.items():
            support = support_of(pair, shots, seed)
            network, spent[f"{arm} {shots}"] = timed(functools.partial(learn, model, pair.source, support, seed))
            values[f"{arm} {shots}"] = dict.fromkeys(POOLS, graded(network, pair.exam))
    table: Result = {arm: row | below(row, values["source"]) for arm, row in values.items()}
    for arm, seconds in spent.items():
        table[arm]["processor"] = seconds
    best = {name: max(values[arm][name] for arm in UNLABELED) for name in POOLS}
    worst = {name: min(values[arm][name] for arm in UNLABELED) for name in POOLS}
    return table | {"best unlabeled": best, "any unlabeled": below(worst, values["source"])}


def below(row: Mapping[str, float], source: Mapping[str, float]) -> dict[str, float]:
    """Whether an arm is worse than doing nothing by more than the margin, in each pool, and where assumptions break."""
    worse = {f"below {name}": float(source[name] - row[name] > MARGIN) for name in POOLS}
    return worse | {"below": max(worse["below ood"], worse["below shift"])}


# -- arms that read labels -----------------------------------------------------------------------------------


def fine_tuned(model: Classifier, source: Domain, support: Domain, seed: int) -> Classifier:
    """A probe, then fine-tuning, as `FewShotSFDA` does by default; reads no source."""
    network: Classifier = FewShotSFDA().set_params(random_state=seed).fit(model=model, support=support).network_  # type: ignore[assignment]
    return network


def logistic(model: Classifier, source: Domain, support: Domain, seed: int) -> Classifier:
    """Logistic regression on the features of source and support, penalty and weight by cross-validation on the support.

    A fold holds one sample of each class; the least loss on all folds wins. No network is read.
    """
    x = torch.as_tensor(np.concatenate([source.x, support.x])).float()
    y, n = np.concatenate([source.labels, support.labels]), len(source)
    classes = len(np.unique(support.labels))
    folds = [n + np.flatnonzero(fold) for fold in one_of_each(support.labels)]
    candidates = [(penalty, share) for share in (SHARES if n else SHARES[:1]) for penalty in PENALTIES]

    def fit(rows: NDArray[np.int64], penalty: float, share: float) -> Classifier:
        weights = torch.ones(len(rows))
        mine = torch.as_tensor(rows >= n)
        if share:
            weights[mine] *= share / (1 - share) * float((~mine).sum() / mine.sum())
        return fit_logistic(x[rows], y[rows], classes, C=penalty, weights=weights)

    def loss(penalty: float, share: float) -> float:
        losses = []
        for fold in folds:
            network = fit(np.setdiff1d(np.arange(len(x)), fold), penalty, share)
            with torch.no_grad():
                losses.append(float(torch.nn.functional.cross_entropy(network(x[fold]), torch.as_tensor(y[fold]))))
        return float(np.mean(losses))

    return fit(np.arange(len(x)), *min(candidates, key=lambda candidate: loss(*candidate)))


def logistic_alone(model: Classifier, source: Domain, support: Domain, seed: int) -> Classifier:
    """The same without a source, of which fine-tuning has but the model."""
    return logistic(model, source.take(slice(0)), support, seed)


LABELED: Mapping[str, Callable[[Classifier, Domain, Domain, int], Classifier]] = {
    "lp-ft": fine_tuned,
    "logistic": logistic,
    "logistic, support alone": logistic_alone,
}


def one_of_each(y: NDArray[np.int64]) -> list[NDArray[np.bool_]]:
    """Folds that hold the first, second, ... sample of every class; classes are of one size."""
    place = pd.Series(y).groupby(y).cumcount().to_numpy()
    return [place == k for k in range(place.max() + 1)]
