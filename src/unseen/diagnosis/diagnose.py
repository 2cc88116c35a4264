"""`diagnose`: what kind of shift there is between source and target, before any method is tried."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from unseen.data.domain import Domain
from unseen.data.duplicates import Leakage
from unseen.diagnosis.components import reduced
from unseen.diagnosis.consistency import class_consistency
from unseen.diagnosis.discrepancy import mmd
from unseen.diagnosis.domain_classifier import DomainAUC, domain_auc
from unseen.diagnosis.geometry import distances
from unseen.diagnosis.label_shift import LabelShift, label_shift
from unseen.diagnosis.reading import Line, read

log = logging.getLogger(__name__)

SAMPLES = 2000
"""Of each side, at most."""
SMALLEST = 20
"""A side with fewer samples is not diagnosed."""


class Brought(Protocol):
    """What `diagnose` reads of the inputs of a comparison."""

    source: Domain | None
    target: Domain | None
    held_out: Domain | None
    leakage: tuple[Leakage, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Diagnosis:
    """Figures about two domains that need no label of the target.

    Attributes
    ----------
    samples : dict
        How many samples of each side were looked at.
    domains : DomainAUC
    shares : LabelShift or None
        None where the source has fewer than two classes with two samples.
    distance, consistency : dict
        See `geometry.distances` (and `mmd`) and `consistency.class_consistency`.
    duplicates : dict
        Samples of the target that stand in the labelled data: `equal`, `near`, `of` how many.
    classes : tuple of str
    """

    samples: dict[str, int]
    domains: DomainAUC
    shares: LabelShift | None
    distance: dict[str, float | None]
    consistency: dict[str, float]
    duplicates: dict[str, int]
    classes: tuple[str, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """Each figure with what it means for the choice of a method."""
        return read(self._figures())

    def to_json(self) -> dict[str, Any]:
        """Everything in plain numbers and sentences, as it stands in `results.json`."""
        return {**self._figures(), "lines": [line._asdict() for line in self.lines]}

    def _figures(self) -> dict[str, Any]:
        return {
            "samples": self.samples,
            "domain_classifier": self.domains._asdict(),
            "label_shift": None if self.shares is None else self.shares.to_json(self.classes),
            "distance": self.distance,
            "consistency": self.consistency,
            "duplicates": self.duplicates,
        }


def diagnose(inputs: Brought, *, seed: int = 0) -> Diagnosis | None:
    """Look at source and target before any work.

    Parameters
    ----------
    inputs : Inputs
        As `compare` prepares them: features, labels of the source, none of the target.
    seed : int
        Of folds, draws and of the part that is looked at.

    Returns
    -------
    Diagnosis or None
        None where there is no source or no target, or a side has fewer than 20 samples.
    """
    source, target = inputs.source, inputs.target
    if source is None or target is None or min(len(source), len(target)) < SMALLEST:
        return None
    held_out = 0 if inputs.held_out is None else len(inputs.held_out)
    return measure(source, target, leakage=inputs.leakage, size=len(target) + held_out, seed=seed)


def measure(
    source: Domain, target: Domain, *, leakage: Sequence[Leakage] = (), size: int | None = None, seed: int = 0
) -> Diagnosis:
    """The figures for two domains of features; labels of the target are not read.

    Parameters
    ----------
    source : Domain
        Features with labels, at least 20 samples. Of more than 2,000, that many are drawn.
    target : Domain
        Features of the same width.
    leakage : sequence of Leakage
        What `unseen.data.duplicates.leakage` found.
    size : int, optional
        Number of target samples that `leakage` was looked for in.
    seed : int

    Raises
    ------
    ValueError
        If a side is too small, or widths differ.
    """
    for name, domain in (("source", source), ("target", target)):
        if len(domain) < SMALLEST:
            raise ValueError(f"{name} must have at least {SMALLEST} samples to be diagnosed; got {len(domain)}")
    if source.n_features != target.n_features:
        raise ValueError(f"source and target must have one width; got {source.n_features} and {target.n_features}")
    source, target = _part(source, seed), _part(target, seed)
    y = source.labels
    names = source.classes.names if source.classes is not None else tuple(map(str, range(int(y.max()) + 1)))
    a, b = (np.asarray(domain.x, dtype=np.float32) for domain in (source, target))
    equal = {match.exam for leak in leakage for match in leak.exact}
    near = {match.exam for leak in leakage for match in leak.near} - equal
    components = reduced(a, b, seed=seed)
    return Diagnosis(
        samples={"source": len(source), "target": len(target)},
        domains=domain_auc(a, b, seed=seed),
        shares=label_shift(a, y, b, len(names), seed=seed, components=components),
        distance={"mmd": mmd(*components), **distances(a, y, b)},
        consistency=class_consistency(a, y, b),
        duplicates={"equal": len(equal), "near": len(near), "of": len(target) if size is None else size},
        classes=names,
    )


def _part(domain: Domain, seed: int) -> Domain:
    """At most `SAMPLES` samples in an order that depends on their content and the seed alone."""
    order = domain.canonical_order()
    return domain.take(order[np.random.default_rng(seed).permutation(len(domain))[:SAMPLES]])
