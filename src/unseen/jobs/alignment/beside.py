"""The simple alternatives that `unseen align` trains beside a method: a linear map, and LiT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unseen.data.pairs import Pairs
from unseen.jobs.alignment.report import Report
from unseen.methods.multimodal.attached import OTHER, Attached
from unseen.methods.multimodal.cwcl import CWCL
from unseen.methods.multimodal.ridge_map import RidgeMap
from unseen.runtime import runtime

SAVED = "aligned"
"""What the report calls the model that is saved."""
RIDGE, LIT = "ridge map", "lit"
"""What it calls those beside."""
RIDGE_ROWS = 20_000
"""Pairs that the ridge map learns from at most, drawn at random."""


def simple_arms(method: Attached, learn: Pairs, folder: Path) -> dict[str, Attached]:
    """A linear map, which each process finds, and one pair each, on which all that a launcher started train together.

    Parameters
    ----------
    method : Attached
        What they stand beside, fitted; itself is not trained once more.
    learn : Pairs
    folder : path
        Where the trainings of the call keep their checkpoints.
    """
    shared: dict[str, Any] = {"frozen": method.frozen, "asked": method.asked}
    arms: dict[str, Attached] = {}
    if type(method) is not RidgeMap and isinstance(getattr(learn, OTHER[method.frozen]).x, np.ndarray):
        arms[RIDGE] = RidgeMap(**shared).fit(pairs=_some(learn, RIDGE_ROWS, method.random_state))
    if not (isinstance(method, CWCL) and method.weights == "identity"):
        as_is = method.get_params() if isinstance(method, CWCL) else shared | {"random_state": method.random_state}
        with runtime(folder=folder):  # by its name, lit, in which it stands apart
            arms[LIT] = CWCL(**{**as_is, "weights": "identity", "both_sides": False}).fit(pairs=learn)
    return arms


def rows_drawn(arms: dict[str, Attached], learn: Pairs) -> int:
    """How many pairs the ridge map learnt from, drawn at random; 0 where it learnt from all, or there is none."""
    return RIDGE_ROWS if RIDGE in arms and len(learn) > RIDGE_ROWS else 0


def best_first(arms: dict[str, Attached], report: Report) -> dict[str, Attached]:
    """The arms, of which the one that finds most of the held-out pairs is saved; what the report has of them, too."""
    best = max(arms, key=lambda name: report.recall[name]["mean"])
    if best == SAVED:
        return arms
    names = {SAVED: best, "cwcl": SAVED} | {name: name for name in arms if name not in (SAVED, best)}
    report.method = best
    report.recall = {name: report.recall[old] for name, old in names.items()}
    report.structure = {name: report.structure[old] for name, old in names.items() if old in report.structure}
    return {name: arms[old] for name, old in names.items()}


def _some(pairs: Pairs, most: int, seed: int) -> Pairs:
    """At most so many pairs, drawn at random, in their order."""
    if len(pairs) <= most:
        return pairs
    return pairs.take(np.sort(np.random.default_rng(seed).permutation(len(pairs))[:most]))
