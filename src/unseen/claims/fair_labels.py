"""Few labels beside what an expert does with them: logistic regression on frozen features; many pairs, for rates."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unseen.claims.label_pools import CONTROL, MARGIN, TWO_STAGES, Data, Table, graded, pools, without_labels
from unseen.claims.letters import in_family
from unseen.claims.shifts import source_model, subgroups
from unseen.data.domain import Domain
from unseen.data.few_shot import few_shot_split
from unseen.methods.adaptation.fewshot_sfda import FewShotSFDA
from unseen.nn.classifier import Classifier
from unseen.nn.logistic import fit_logistic

COPIES = 12
"""Pictures of a letter in a font."""
SHOTS = (1, 3)
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of the L2 penalty, of which the support chooses by cross-validation."""
SHARES = (0.0, 0.5)
"""What the support weighs in the loss: as many samples as it has, or half of the whole; the support chooses, too."""


def domains(case: str) -> tuple[Domain, Domain]:
    """Features of source and target of `letters TEXT FAMILY FAMILY` or `emoji STYLE STYLE`."""
    kind, *words = case.split()
    if kind == "emoji":
        return subgroups(words[0]), subgroups(words[1])
    text, *families = words
    source, target = (in_family(text, family, COPIES) for family in families)
    return source, target


def run(case: str, seed: int) -> Table:
    """Adaptation without labels, and arms that read the same few labels, on one pair and one exam.

    `harm` is as in `without_labels`; `below` is 1 where a method is below the source model by more than the margin,
    with other classes in the target or with other shares, whatever it is in the control.
    """
    pair = pools(*domains(case), seed)
    model = source_model(pair.source, seed)
    table, base = without_labels(model, pair, seed), graded(model, pair.exam)
    for row in (row for row in table.values() if "harm" in row):
        row["below"] = float(any(base - row[name] > MARGIN for name in CONTROL))
    for shots in SHOTS:
        split = few_shot_split(pair.target.labels, shots, seed=seed)
        support = pair.target.take(np.concatenate([split.train, split.validation]))
        support = support.take(support.labels < pair.known)
        tuned: Any = FewShotSFDA().set_params(random_state=seed, **TWO_STAGES).fit(model=model, support=support)
        arms: dict[str, Classifier] = {
            "lp-ft": tuned.network_,
            "logistic": logistic(pair, support),
            "logistic, support alone": logistic(pair._replace(source=pair.source.take(slice(0))), support),
        }
        for arm, network in arms.items():
            value = graded(network, pair.exam)
            below = float(base - value > MARGIN)
            table[f"{arm} {shots}"] = {**dict.fromkeys(pair.pools, value), "harm": below, "below": below}
    return table


def logistic(pair: Data, support: Domain) -> Classifier:
    """Logistic regression on the features of source and support, penalty and weight by cross-validation on the support.

    A fold holds one sample of each class; the least loss on all folds wins.
    """
    x = torch.as_tensor(np.concatenate([pair.source.x, support.x])).float()
    y, n = np.concatenate([pair.source.labels, support.labels]), len(pair.source)
    folds = [n + np.flatnonzero(fold) for fold in one_of_each(support.labels)]
    candidates = [(penalty, share) for share in (SHARES if n else SHARES[:1]) for penalty in PENALTIES]

    def fit(rows: NDArray[np.int64], penalty: float, share: float) -> Classifier:
        weights = torch.ones(len(rows))
        mine = torch.as_tensor(rows >= n)
        if share:
            weights[mine] *= share / (1 - share) * float((~mine).sum() / mine.sum())
        return fit_logistic(x[rows], y[rows], pair.known, C=penalty, weights=weights)

    def loss(penalty: float, share: float) -> float:
        found = []
        for fold in folds:
            network = fit(np.setdiff1d(np.arange(len(x)), fold), penalty, share)
            with torch.no_grad():
                found.append(float(torch.nn.functional.cross_entropy(network(x[fold]), torch.as_tensor(y[fold]))))
        return float(np.mean(found))

    return fit(np.arange(len(x)), *min(candidates, key=lambda one: loss(*one)))


def one_of_each(y: NDArray[np.int64]) -> list[NDArray[np.bool_]]:
    """Folds that hold the first, second, ... sample of every class; classes are of one size."""
    place = np.zeros(len(y), dtype=np.int64)
    for label in np.unique(y):
        own = np.flatnonzero(y == label)
        place[own] = np.arange(len(own))
    return [place == k for k in range(int(place.max()) + 1)]
