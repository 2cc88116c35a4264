"""Pairs of domains with a target as assumed, with other classes in it, or with other shares; adaptation without labels.

Claims about few labels measure against these; a pool differs from its control in one thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from unseen.claims.arms import of_classes
from unseen.claims.base import Result
from unseen.data.domain import Domain
from unseen.data.few_shot import few_shot_split, unbalanced
from unseen.data.samplers import steps
from unseen.evaluation.metrics.classification import mean_class_accuracy
from unseen.methods.adaptation.sfda2 import SFDA2
from unseen.methods.base import Method
from unseen.methods.baselines.aad import AaD
from unseen.methods.baselines.shot import SHOT
from unseen.nn.classifier import Classifier, outputs

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
