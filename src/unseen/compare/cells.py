"""The work of `compare`: every candidate on every seed, one cell each, written to disk as it is done."""

from __future__ import annotations

import dataclasses
import logging
import math
import shutil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen import catalogue
from unseen.catalogue import Given
from unseen.compare.inputs import Inputs
from unseen.compare.shared_fits import Fits
from unseen.compare.validators import Cell, validated
from unseen.data.classes import realign
from unseen.data.domain import Domain, concatenate
from unseen.data.samplers import hold_out
from unseen.data.typing import IntArray
from unseen.evaluation.metrics.zero_shot import base_to_new_scores
from unseen.evaluation.protocols.thresholds import entropy_threshold
from unseen.methods.base import UNKNOWN, Method
from unseen.nn.calibration import fit_temperature
from unseen.nn.information import normalized_entropy
from unseen.nn.state import load_state, save_state
from unseen.runtime import limited_threads, runtime
from unseen.validation import classwise_validation, pretended
from unseen.validation.classwise import FEWEST

log = logging.getLogger(__name__)

WHOLE = "all that is given"
MOST_SOFTENED = 1000.0
FLAT = 1.05
"""Probabilities say nothing where the largest is on the mean no more than so many times that of a guess."""
CHECKED = "on labelled samples that it had not learnt from its scores were hardly higher for the right class"
ESTIMATED = "it may be right hardly more often than a guess"
"""Why probabilities are softened to nothing: by labels, or by the estimate where there are none."""
PARTS = {"adapted": "target", "held out": "held_out"}


def split_source(source: Domain, seed: int, share: float = 0.2) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which samples to learn from and which to hold out: `share` of each class that has at least two, by seed."""
    return hold_out(source.labels, share, seed)


def key_of(slug: str, preset: str, seed: int) -> str:
    """The folder of a cell, inside that of all cells."""
    return f"{slug}-{preset}-seed{seed}"


@limited_threads()
def run_cell(
    inputs: Inputs, given: Given, check: Domain | None, slug: str, preset: str, seed: int, folder: Path | None,
    fits: Fits | None = None,
) -> Cell:  # fmt: skip
    """Fit one candidate with one seed, or read what an earlier run wrote; predictions, scores and seconds.

    `check` are labelled samples that the fit does not see: they calibrate, and they are source validation. `fits` are
    those of candidates of the same seed that this one shares its fits with (`catalogue.sharing`).
    """
    fits = Fits() if fits is None else fits
    key = key_of(slug, preset, seed)
    if folder is not None and (folder / key).exists():
        cell: Cell = load_state(folder / key)
        fits.keep(WHOLE, cell["method"], cell["seconds"])
        return validated(cell, inputs, given, check, slug, preset, fits)
    with runtime(folder=None if folder is None else folder / "checkpoints" / key):
        method = fits.fit(WHOLE, given, catalogue.make(slug, preset, seed))
    cell = {"seconds": fits.seconds[WHOLE], "seed": seed, "method": method}
    cell.update(calibration(method, check))
    cell |= _predictions(method, inputs, cell)
    if can_pretend(given):
        cell["classwise"], cell["sides"] = _pretend(given, check, slug, preset, seed, fits)
    if folder is not None:
        save_state(folder / key, cell)
        shutil.rmtree(folder / "checkpoints" / key, ignore_errors=True)
    return validated(cell, inputs, given, check, slug, preset, fits)


@limited_threads()
def refit_cell(inputs: Inputs, cell: Cell, slug: str, preset: str, folder: Path | None) -> Cell:
    """A candidate once more with the seed of `cell`, on all labelled source samples; its predictions.

    What is held out of the target stays so whether or not there are labels to grade it: a run is the same with sealed
    labels and with none, and either goes on where the other was killed. Temperature and threshold stay those of `cell`,
    which were measured on samples that it had not learnt from.
    """
    key, seed = f"{slug}-{preset}-refit", cell["seed"]  # "-whole" of older runs may hold what has seen held-out samples
    if folder is not None and (folder / key).exists():
        return load_state(folder / key)
    with runtime(folder=None if folder is None else folder / "checkpoints" / key):
        given = inputs.given(inputs.source, seed)
        method = given.fit(catalogue.make(slug, preset, seed))
    whole: Cell = {"seed": seed, "method": method, **{key: cell[key] for key in ("temperature", "threshold")}}
    whole |= _predictions(method, inputs, whole)
    if folder is not None:
        save_state(folder / key, whole)
        shutil.rmtree(folder / "checkpoints" / key, ignore_errors=True)
    return whole


def _predictions(method: Method, inputs: Inputs, scaled: Cell) -> Cell:
    """What a method says of each part of the target, at the temperature and threshold of `scaled`."""
    parts = {label: getattr(inputs, name) for label, name in PARTS.items()}
    return {
        label: _predict(method, part, scaled["temperature"], scaled["threshold"], pool=part is inputs.target)
        for label, part in parts.items()
        if part is not None
    }


def can_pretend(given: Given) -> bool:
    """Whether seen classes can play unseen ones: there are some to spare, and no model has learnt them before."""
    classes = given.inputs.get("classes")
    enough = classes is not None and len(classes.unseen) > 0 and len(classes.seen) >= FEWEST
    return enough and given.inputs.get("model") is None and "support" not in given.inputs


def _pretend(
    given: Given, check: Domain | None, slug: str, preset: str, seed: int, fits: Fits
) -> tuple[tuple[float, float], float]:
    """Class-wise validation: fit the candidate once more without some of the seen classes, and ask it about them; and
    how well it tells either side's classes among themselves.

    The pool of what it is asked, all samples of the held-out classes and `check` of the others, is its target. Where
    no sample of the others was spared, it is asked about those that it learnt from: too easy, but a candidate that
    never names a seen class is told from one that does. A candidate that the smaller problem is too small for scores 0,
    with a warning.
    """
    source = given.inputs["source"]
    space, order = pretended(given.inputs["classes"], seed)
    held = order[len(space.seen) :]
    if not len(held):
        log.warning("no class can be held out without losing a word: class-wise validation says nothing")
        return (0.0, 0.0), 0.0
    kept, gone = ~np.isin(source.labels, held), np.isin(source.labels, held)
    others = source.take(kept) if check is None else check
    pool = concatenate([others, source.take(gone)], name="pretended")
    parts = {"source": source.take(kept), "target": pool}
    parts = {word: part.with_labels(realign(part.labels, part.classes, space), space) for word, part in parts.items()}
    inputs = {"source": parts["source"], "classes": space}
    if "target" in given.inputs:
        inputs["target"] = parts["target"].unlabeled()
    try:
        pretence = dataclasses.replace(given, inputs=inputs)
        method = fits.fit("without some classes", pretence, catalogue.make(slug, preset, seed))
    except ValueError as error:
        log.warning(
            "%s cannot be fitted without the held-out classes and scores 0 in their validation: %s", slug, error
        )
        return (0.0, 0.0), 0.0
    truth, asked = parts["target"].labels, parts["target"]
    among_all = classwise_validation(truth, _labels(method, asked, pool=True), space.seen)
    scores = torch.log_softmax(method.decision_function(asked), dim=1).numpy()
    return among_all, base_to_new_scores(truth, scores, space.seen)["h"]


def calibration(method: Method, check: Domain | None) -> Cell:
    """Temperature, threshold and probabilities from labelled samples that were held out; neutral without any.

    The temperature is at least 1: a model is not made surer for samples of another domain.
    """
    if check is None:
        return {"temperature": 1.0, "threshold": 1.0}
    scores = method.source_decision_function(check)
    y = torch.as_tensor(check.labels)
    if int(y.max()) >= scores.shape[1] or not torch.isin(scores.argmax(dim=1), y).any():
        return {"temperature": 1.0, "threshold": 1.0, "check": torch.softmax(scores, dim=1)}  # it never predicts these
    temperature = max(1.0, fit_temperature(scores, y))
    p = torch.softmax(scores / temperature, dim=1)
    return {"temperature": temperature, "threshold": entropy_threshold(p), "check": p}


def says_nothing(cell: Cell, p: Tensor | None, name: str, why: str = CHECKED) -> str:
    """A sentence where probabilities of a softened model are as good as equal for all classes; else empty.

    `p` are some that the model gave at the temperature of `cell`, (n, c); without them the temperature tells.
    """
    if cell["temperature"] <= 1:
        return ""
    if p is None or not len(p):
        flat = cell["temperature"] > 0.99 * MOST_SOFTENED
    else:
        flat = p.shape[1] > 1 and float(p.max(dim=1).values.mean()) <= FLAT / p.shape[1]
    if not flat:
        return ""
    return (
        f"the probabilities of {name} say nothing: they are softened (temperature {cell['temperature']:,.4g}) until "
        f"all classes are as good as equally likely, since {why}; which class it names first is all that is left, so "
        "look at what it names before you use it, or give more labels"
    )


def as_sure_as(cell: Cell, inputs: Inputs, accuracy: float, check: Tensor | None = None) -> Cell:
    """The cell at the temperature, at least 1, at which it is as sure of the target on the mean as it may be right.

    Where no sample has a label, nothing else says how sure a cosine makes; and what has learnt a label for each sample
    of the target is nearly sure of all of them, right or wrong, which samples held out of the source do not tell.
    `check` are the probabilities of these, by which the threshold of unknown samples is found anew.
    """
    assert inputs.target is not None
    scores = cell["method"].decision_function(inputs.target).double()
    low, high = 0.0, math.log(MOST_SOFTENED)
    for _ in range(40):
        middle = (low + high) / 2
        sure = float(torch.softmax(scores / math.exp(middle), dim=1).max(dim=1).values.mean())
        low, high = (middle, high) if sure > accuracy else (low, middle)
    softened = {**cell, "temperature": math.exp(low)}
    if check is not None and cell["threshold"] < 1:
        logits = check.clamp_min(torch.finfo(check.dtype).tiny).log() * cell["temperature"]
        softened["threshold"] = entropy_threshold(torch.softmax(logits / softened["temperature"], dim=1))
    return softened | _predictions(cell["method"], inputs, softened)


def as_saved(cell: Cell, inputs: Inputs) -> Cell:
    """The cell with what its model says of each sample by itself, which is all that it says once it is saved.

    Where the method labelled the pool of its fit together, those labels are kept beside it under `together`, with
    unknown ones called so (`rejecting`) and without (`prediction`).
    """
    adapted = cell.get("adapted")
    if adapted is None or inputs.target is None or not labels_together(cell["method"], inputs.target):
        return cell
    alone = _predict(cell["method"], inputs.target, cell["temperature"], cell["threshold"], pool=False)
    return {**cell, "adapted": {**alone, "together": {kind: adapted[kind] for kind in ("prediction", "rejecting")}}}


def labels_together(method: Method, part: Domain) -> bool:
    """Whether a method gave a part its labels together, as the pool of its fit."""
    together = vars(method).get("transduction_")
    return together is not None and len(together) == len(part)


def _labels(method: Method, part: Domain, *, pool: bool) -> IntArray:
    """What a method says of a part: of its pool the labels that it gave together, if it did, else one by one."""
    return vars(method)["transduction_"] if pool and labels_together(method, part) else method.predict(part)


def _predict(method: Method, part: Domain, temperature: float, threshold: float, *, pool: bool) -> Cell:
    """What a part is taken for, among the known classes and with unknown ones called so."""
    scores = method.decision_function(part)
    p = torch.softmax(scores / temperature, dim=1)
    labels = _labels(method, part, pool=pool)
    if method.card.rejects:
        prediction, rejecting = scores.argmax(dim=1).numpy(), labels
    else:
        prediction, rejecting = labels, np.where(normalized_entropy(p).numpy() > threshold, UNKNOWN, labels)
    log_p, raw = torch.log_softmax(scores / temperature, dim=1), torch.softmax(scores, dim=1)
    return {"p": p, "log_p": log_p, "raw": raw, "prediction": prediction, "rejecting": rejecting}
