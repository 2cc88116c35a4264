"""Few labels beside what an expert does with them: logistic regression on frozen features; many pairs, for rates."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from unseen.claims import worlds
from unseen.claims.arms import timed
from unseen.claims.base import Result
from unseen.claims.drawings import of_vendors
from unseen.claims.label_pools import MARGIN, UNLABELED, adapted, graded, pools, support_of
from unseen.claims.letters import in_family, letters
from unseen.claims.shifts import source_model, subgroups
from unseen.data.domain import Domain, Lazy
from unseen.data.samplers import hold_out
from unseen.data.shifts import craft
from unseen.methods.adaptation.fewshot_sfda import FewShotSFDA
from unseen.nn.classifier import Classifier
from unseen.nn.logistic import fit_logistic

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


def domains(case: str) -> tuple[Domain, Domain]:
    """Features of source and target of `letters TEXT FAMILY FAMILY`, `stamps STYLE STYLE` or `emoji VENDOR VENDOR`.

    The halves of the stamps share no picture.
    """
    kind, *words = case.split()
    if kind == "letters":
        return in_family(words[0], words[1], COPIES), in_family(words[0], words[2], COPIES)
    if kind == "stamps":
        source, target = (crafted_stamps(style) for style in words)
        first, second = hold_out(source.labels, 0.5, 0)
        return source.take(first), target.take(second)
    return subgroups(words[0]), subgroups(words[1])


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
    place = np.zeros(len(y), dtype=np.int64)
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        place[rows] = np.arange(len(rows))
    return [place == k for k in range(int(place.max()) + 1)]
