"""DistillWeighted's claim: a small student with few labels of one vendor's emoji, and a zoo of larger networks of other
vendors' emoji and other tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from torch import nn

from unseen.claims.base import Assertion, Claim, Experiment, at_least, at_most, better, not_worse
from unseen.claims.drawings import VENDORS
from unseen.claims.shifts import subgroups
from unseen.data.domain import Domain, concatenate
from unseen.evaluation.metrics.classification import accuracy
from unseen.methods.adaptation.distill_similar import DistillSimilar
from unseen.methods.base import Method
from unseen.methods.baselines.fixmatch import FixMatch
from unseen.nn.classifier import feature_classifier, train_source
from unseen.nn.zoo import n_parameters, rank_teachers
from unseen.runtime import reproducible

Table = dict[str, dict[str, float]]

SHOTS = 3
"""Labels per class of the target."""
WIDTH, TEACHER_WIDTH = 32, 256
"""Hidden features of the student and of the sources."""
NEARBY = {"people & body", "animals & nature", "food & drink", "smileys & emotion"}
METRICS = ("parc", "leep", "h-score", "knn", "cka")


def halves(style: str) -> tuple[Domain, Domain]:
    """A vendor's emoji that sources learn, and those of the target: no emoji is in both, whoever draws it."""
    domain = subgroups(style)
    codes = domain.columns["emoji"].tolist()
    own = np.array([hashlib.sha256(f"zoo {code}".encode()).digest()[0] % 2 == 0 for code in codes])
    return domain.take(own), domain.take(~own)


def relabeled(domain: Domain, keys: Any) -> Domain:
    """The samples with the classes that `keys` tell apart."""
    return domain.replace(y=np.unique(np.asarray(keys), return_inverse=True)[1], classes=None)


def tasks(vendors: tuple[str, ...], seed: int) -> dict[str, Domain]:
    """What the sources learnt, by name: the target's classes from two vendors, coarser ones, parts of them, and tasks
    that have little or nothing to do with them."""
    rng = np.random.default_rng(seed)
    a, b, c, d = (halves(vendor)[0] for vendor in vendors)
    living = [np.isin(part.columns["group"], list(NEARBY)) for part in (c, d)]
    everyone = concatenate([a, b, c, d], name="all vendors")
    some = everyone.take(rng.permutation(len(everyone))[: len(a)])
    return {
        "subgroups a": relabeled(a, a.labels),
        "subgroups b": relabeled(b, b.labels),
        "groups c": relabeled(c, c.columns["group"]),
        "living c": relabeled(c.take(living[0]), c.labels[living[0]]),
        "things d": relabeled(d.take(~living[1]), d.labels[~living[1]]),
        "vendors": relabeled(some, some.columns["domain"]),
        "letters d": relabeled(d, [name[0] for name in d.columns["name"].tolist()]),
        "random b": relabeled(b, rng.integers(0, 20, len(b))),
    }


def zoo(vendors: tuple[str, ...], seed: int) -> dict[str, nn.Module]:
    """The networks: no data of theirs is used from here on."""
    trained: dict[str, nn.Module] = {}
    for name, source in tasks(vendors, seed).items():
        with reproducible(seed):
            start = feature_classifier(source.n_features, int(source.labels.max()) + 1, TEACHER_WIDTH)
            trained[name] = train_source(start, source, epochs=15)
    return trained


def target(style: str, seed: int) -> tuple[Domain, Domain, Domain]:
    """Few labelled samples, unlabeled ones, and the exam (two fifths of the others)."""
    domain = halves(style)[1]
    domain = relabeled(domain, domain.labels)
    order = np.random.default_rng(seed).permutation(len(domain))
    few = np.concatenate([order[domain.labels[order] == label][:SHOTS] for label in np.unique(domain.labels)])
    others = order[~np.isin(order, few)]
    n = round(0.4 * len(others))
    return domain.take(few), domain.take(others[n:]).unlabeled(), domain.take(others[:n])


def run(case: str, seed: int) -> Table:
    """All arms on one target. The case is `SPLIT STYLE`, the vendor of the target; the sources are of the others."""
    split, style = case.split()
    vendors = tuple(vendor for vendor in VENDORS[split] if vendor != style)
    support, unlabeled, exam = target(style, seed)
    teachers = zoo(vendors, seed)
    ranked = rank_teachers(teachers, support, METRICS, n_dims=32).set_index("name")  # type: ignore[arg-type]
    nearest = str(rank_teachers(teachers, support).name[0])
    small: Mapping[str, Any] = {"random_state": seed, "width": WIDTH}

    def graded(method: Method) -> float:
        return accuracy(exam.labels, method.predict(exam))

    def distilled(names: Any, model: Any = None, **settings: Any) -> DistillSimilar:
        method = DistillSimilar(**{**small, **settings})
        return method.fit(
            support=support, target=unlabeled, teachers={name: teachers[name] for name in names}, model=model
        )

    alone = {name: graded(distilled([name], sources="nearest")) for name in teachers}
    weighted = distilled(teachers)
    found = {
        "labels alone": graded(distilled(teachers, labels=1.0)),
        "fixmatch": graded(FixMatch(**small).fit(support=support, target=unlabeled)),
        "fine-tuned": graded(distilled(teachers, model=teachers[nearest], labels=1.0)),
        "nearest": alone[nearest],
        "weighted": graded(weighted),
        "equal": graded(distilled(teachers, power=0.0)),
        "random source": float(np.mean(list(alone.values()))),
        "decoy": alone["random b"],
        "worst source": min(alone.values()),
        "best source": max(alone.values()),
    }
    table = {arm: {"accuracy": value} for arm, value in found.items()}
    for metric in METRICS:
        scores = ranked[metric].loc[list(alone)].to_numpy()
        table.setdefault(metric, {})["rank correlation"] = float(spearmanr(scores, list(alone.values())).statistic)
    table["weighted"]["decoy's share"] = weighted.weights_["random b"]
    table["weighted"]["parameters"] = n_parameters(weighted.network_)
    table["nearest"]["parameters"] = n_parameters(teachers[nearest])
    for name, value in alone.items():
        table[f"from {name}"] = {"accuracy": value, "similarity": float(ranked["parc"].loc[name])}
    return table
