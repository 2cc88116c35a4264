"""What a fitted candidate shows without the exam: its label-free scores."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen import catalogue, methods, plugins
from unseen.catalogue import Given
from unseen.compare.inputs import Inputs
from unseen.compare.shared_fits import Fits
from unseen.data.domain import Domain
from unseen.data.typing import IntArray
from unseen.methods.base import Method, signatures
from unseen.validation import (
    certainty,
    cross_validated,
    density_ratio,
    embedded_validation,
    information_maximization,
    leave_out,
    nearest_means,
    nearest_neighbours,
    reverse_validation,
    soft_neighbourhood_density,
    source_validation,
)
from unseen.validation.reverse import Learner

Cell = dict[str, Any]
"""What is known of one candidate with one seed: predictions, figures and the method itself, by name."""

SOURCE, SUPPORT = "source validation", "support validation"
INFORMATION, DENSITY = "information maximization", "neighbourhood density"
EMBEDDED, REVERSE, CERTAINTY = "embedded validation", "reverse validation", "certainty"
NEIGHBOURS = "reverse validation by neighbours"
BACK: dict[str, Learner] = {REVERSE: nearest_means, NEIGHBOURS: nearest_neighbours}
"""What learns back from the predicted target."""
AGREEMENT, ENSEMBLE = "agreement", "ensemble validation"
CLASSWISE, HELD_OUT_CLASSES = "class-wise validation", "accuracy of held-out classes"
SIDES = "class-wise validation on each side"
CRAFTED = "crafted validation"
LABELS_RIGHT = "labels right"

_MOST = 10_000  # samples of each domain that are learnt back from and asked
_LOWEST = -30.0  # a log-probability below it counts as this


def validated(
    cell: Cell, inputs: Inputs, given: Given, check: Domain | None, slug: str, preset: str, fits: Fits
) -> Cell:
    """The cell with `validators` by name; of a cell read from disk they are made again.

    Parameters
    ----------
    cell : dict
        A fitted candidate with its predictions, as `run_cell` makes it.
    given : Given
        What it was fitted on.
    check : Domain or None
        Labelled source samples that it was not fitted on.
    fits : Fits
        Of candidates that share theirs.
    """
    return {**cell, "validators": _validators(cell, inputs, given, check, slug, preset, fits)}


def _validators(
    cell: Cell, inputs: Inputs, given: Given, check: Domain | None, slug: str, preset: str, fits: Fits
) -> dict[str, float]:
    scores = {}
    if check is not None:
        scores[SOURCE] = source_validation(cell["check"], check.labels)
    p = cell["adapted"]["raw"] if "adapted" in cell else None
    if p is not None and len(p) > 1:
        scores[INFORMATION] = information_maximization(p)
        scores[DENSITY] = soft_neighbourhood_density(p)
        scores[CERTAINTY] = certainty(p)
        scores |= {name: float(plugins.load("validators", name)(p)) for name in plugins.found("validators")}
    if p is not None and check is not None:
        scores[EMBEDDED] = _embedded(cell, given.inputs["source"], check)
    if p is not None and inputs.source is not None and not len(inputs.classes.unseen):
        plain = inputs.one_view or inputs
        target, predicted = _thinned(_table(plain.target), cell["adapted"]["prediction"])
        source, y = _thinned(_table(plain.source), inputs.source.labels)
        scores |= {name: reverse_validation(target, predicted, source, y, learner) for name, learner in BACK.items()}
    if cell["seed"] in inputs.crafted:
        scores[CRAFTED] = _on_copies(cell["method"], inputs.crafted[cell["seed"]])
    if "classwise" in cell:
        scores[CLASSWISE], scores[HELD_OUT_CLASSES] = cell["classwise"]
    if "sides" in cell:  # cells of older runs have none
        scores[SIDES] = cell["sides"]
    if inputs.support is not None:
        right = _on_support(cell["method"], inputs.support, given, slug, preset, cell["seed"], fits)
        if len(right):
            scores[SUPPORT] = float(right.mean())
    return scores


def _embedded(cell: Cell, learned: Domain, check: Domain) -> float:
    """Embedded validation, where samples are what the candidate makes of them: its log-probabilities."""
    method = cell["method"]
    source, held = (_scores(method.source_decision_function(part)) for part in (learned, check))
    target = torch.log(cell["adapted"]["raw"]).clamp_min(_LOWEST)
    right = cell["check"].argmax(dim=1).numpy() == check.labels
    return embedded_validation(right, density_ratio(source, target, held))


def _on_copies(method: Method, copies: Domain) -> float:
    """Mean over families of the accuracy on the copies of each, which are samples of domains never seen."""
    right = method.decision_function(copies).argmax(dim=1).numpy() == copies.labels
    family = copies.columns["family"]
    return float(np.mean([right[family == name].mean() for name in np.unique(family)]))


def _scores(scores: Tensor) -> Tensor:
    return torch.log_softmax(scores.float(), dim=1).clamp_min(_LOWEST)


def _table(domain: Domain | None) -> Tensor:
    assert domain is not None
    return torch.as_tensor(np.require(domain.x, requirements="W")).float()  # torch warns of what cannot be written


def _thinned(x: Tensor, y: IntArray) -> tuple[Tensor, IntArray]:
    """At most `_MOST` samples, drawn at random: every k-th could all be of one class."""
    if len(x) <= _MOST:
        return x, y
    kept = np.random.default_rng(0).permutation(len(x))[:_MOST]
    return x[torch.as_tensor(kept)], y[kept]


def learner_of(source: Domain) -> str:
    """Which reverse validation learns back as the source's own classes are learnt best."""
    x, y = _thinned(_table(source), source.labels)
    return max(BACK, key=lambda name: cross_validated(BACK[name], x, y)) if len(x) > 1 else REVERSE


def learns_from_support(slug: str) -> bool:
    """Whether a method reads the support, where there is one."""
    return any("support" in (*way.required, *way.optional) for way in signatures(methods.get(slug)))


def fits_of(slug: str, support: Domain | None) -> int:
    """How often a candidate is fitted for a seed: once, and once without each part of the support that grades it."""
    if support is None or not learns_from_support(slug):
        return 1
    return 1 + sum(1 for _ in leave_out(support.labels))


def _on_support(
    method: Method, support: Domain, given: Given, slug: str, preset: str, seed: int, fits: Fits
) -> NDArray[np.bool_]:
    """Whether support samples are predicted right by what has not learnt from them; empty if no class has two."""
    parts = list(leave_out(support.labels))
    if not parts:
        return np.zeros(0, dtype=bool)
    learns = learns_from_support(slug) and "support" in given.inputs
    right = []
    for i, (learn, grade) in enumerate(parts):
        if learns:
            fewer = {**given.inputs, "support": support.take(learn)}
            rest = dataclasses.replace(given, inputs=fewer)
            method = fits.fit(f"without part {i} of the support", rest, catalogue.make(slug, preset, seed))
        part = support.take(grade)
        right.append(method.decision_function(part).argmax(dim=1).numpy() == part.labels)
    return np.concatenate(right)
