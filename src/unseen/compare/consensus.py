"""A candidate made of others: what unlike methods agree on, learnt by one model."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unseen import methods
from unseen.compare.asked import CONSENSUS
from unseen.compare.cells import PARTS, run_cell
from unseen.compare.fits import split
from unseen.compare.inputs import Inputs
from unseen.compare.validators import Cell
from unseen.data.typing import FloatArray
from unseen.files import read_json
from unseen.methods.base import signatures
from unseen.methods.baselines.consensus import OPINIONS
from unseen.runtime import limited_threads, replacing

SLUG, HEARD = CONSENSUS, "heard.json"
MEMBERS = ("standardize", "coral", "ot", "shot", "aad", "propagate")
"""Unlike ways to use an unlabeled target. Where there are two views of pictures, what reads both counts twice, and so
does `propagate`. Members and weights were chosen by looking at all families of docs/choosing.md."""

BESIDE = ("source-only", "prototypes", "glc")
"""What runs beside the members if nothing is asked for: doing nothing, a simple rival, and what rejects unknowns."""

NAMED = ("describe", "propagate-names", "self-train-names")
"""The same where classes are given by names alone: what names say, what their neighbours make of it, and class vectors
that move to samples (benchmarks/shifts/names.py)."""

LABELLED = ("linear-probe",)
"""What runs beside a consensus that is named where labels of the support are all that there is."""

BESIDE_NAMED = ("describe-centred",)

FEWEST = 3
"""Fewer members have no majority."""

FEWEST_LABELS = 9
"""From so many labels of the support on they are learnt from, where a pretrained encoder made the features. With fewer,
one or two a class of two to eight classes, what is chosen without them was better on the mean, and in fewer cases worse
by more than a point, also of families that had no part in choosing this number (docs/choosing.md)."""

Pair = tuple[str, str]


def of_labels_alone(inputs: Inputs) -> bool:
    """Whether a consensus has labels of the support to learn from, and nothing else (benchmarks/shifts/few_labels.py).

    What it is made of then is part of it: no candidate is heard.
    """
    return inputs.support is not None and inputs.source is None and inputs.model is None


def members(pairs: Iterable[Pair]) -> dict[Pair, int]:
    """Which of the candidates are heard, and how often; none if their methods are too few.

    Those of `NAMED` are heard where too few of `MEMBERS` run.
    """
    pairs = list(pairs)
    weights = {"default": 1, "views": 2}
    heard = {(slug, preset): weights[preset] for slug, preset in pairs if slug in MEMBERS and preset in weights}
    if ("propagate", "views") in heard:
        heard |= {pair: 2 * weight for pair, weight in heard.items() if pair[0] == "propagate"}
    if len({slug for slug, _ in heard}) < FEWEST:
        heard = {(slug, preset): 1 for slug, preset in pairs if slug in NAMED and preset == "default"}
    return heard if len(heard) >= FEWEST else {}


def all_heard(pairs: Iterable[Pair]) -> bool:
    """Whether all methods that a consensus was studied with are heard."""
    return {slug for slug, _ in members(pairs)} in (set(MEMBERS), set(NAMED))


def has_part(slug: str, preset: str, *, named: bool = False, labelled: bool = True) -> bool:
    """Whether a candidate is heard, is one of those `BESIDE` it, or learns from labels, which may overrule it.

    Where labels are too few to overrule anything, `labelled` is False.
    """
    if named:
        return slug in BESIDE_NAMED or (slug in NAMED and preset == "default")
    heard = (slug in MEMBERS and preset in ("default", "views")) or (slug in BESIDE and preset == "default")
    return heard or (labelled and any("support" in way.required for way in signatures(methods.get(slug))))


def pair_of(pairs: Sequence[Pair], inputs: Inputs) -> Pair | None:
    """The consensus of these candidates as a candidate; None where there can be none."""
    if inputs.target is None or len(inputs.classes.unseen):
        return None
    if of_labels_alone(inputs):
        if inputs.teachers is not None:  # what learns from them was never compared with it
            return None
        return (SLUG, "default") if len(np.unique(inputs.support.labels)) > 1 else None  # type: ignore[union-attr]
    if (inputs.source is None and not inputs.named) or inputs.model is not None or not members(pairs):
        return None
    return SLUG, "views" if any(preset == "views" for _, preset in members(pairs)) else "default"


def too_few_labels(inputs: Inputs) -> bool:
    """Whether there are labels of the support that a consensus neither learns from nor is overruled by.

    Where they are all that is known of a class, there are never too few: without them it is never predicted.
    """
    support, source = inputs.support, inputs.source
    if support is None or len(support) >= FEWEST_LABELS or inputs.encoder is None or of_labels_alone(inputs):
        return False
    return source is None or not len(np.setdiff1d(support.labels, source.labels))


def without_few_labels(inputs: Inputs) -> Inputs:
    """The inputs that a consensus learns from."""
    return dataclasses.replace(inputs, support=None) if too_few_labels(inputs) else inputs


def with_opinions(inputs: Inputs, cells: Mapping[Pair, Sequence[Cell]], seed: int | None = None) -> Inputs:
    """The inputs with what the members think of each sample of the target; the mean of all seeds if `seed` is None."""
    if of_labels_alone(inputs):
        return inputs
    heard = members(cells)
    weights = np.array(list(heard.values()), dtype=np.float32)

    def mean(label: str) -> FloatArray:
        seeds = range(len(next(iter(cells.values())))) if seed is None else (seed,)
        opinions = [np.mean([cells[pair][s][label]["raw"].numpy() for s in seeds], axis=0) for pair in heard]
        together: FloatArray = np.average(opinions, axis=0, weights=weights)
        return together

    changed: dict[str, Any] = {}
    for label, part in PARTS.items():
        domain = getattr(inputs, part)
        if domain is not None:
            changed[part] = domain.replace(columns={**domain.columns, OPINIONS: mean(label)})
    return dataclasses.replace(inputs, **changed)


@limited_threads()
def consensus_cells(
    inputs: Inputs, pair: Pair, cells: Mapping[Pair, Sequence[Cell]], folder: Path | None
) -> list[Cell]:
    """The consensus of each seed, as a candidate like any other."""
    seen, results = inputs.seen_by(*pair), list[Cell]()
    seeds = len(next(iter(cells.values())))
    for seed in range(seeds):
        if results and of_labels_alone(inputs):  # no candidate is heard, and nothing is drawn: seeds do not differ
            results.append({**results[0], "seed": seed})
            continue
        seed_inputs = with_opinions(seen, cells, seed)
        given, check = split(without_few_labels(seed_inputs), seed)
        results.append(run_cell(seed_inputs, given, check, *pair, seed, None if folder is None else folder / "cells"))
    return results


def forget_consensus_of_others(folder: Path, heard: Mapping[Pair, int]) -> None:
    """Remove the cells of a consensus of other members than `heard`, which an earlier call left in a run's folder.

    A member that could not be fitted then may be fitted now.
    """
    file, names = folder / HEARD, sorted(":".join(pair) for pair in heard)
    known = [str(name) for name in read_json(file)] if file.exists() else None
    if known == names or not heard:
        return
    if known is not None:
        for cell in folder.glob(f"{SLUG}-*"):
            shutil.rmtree(cell)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(file) as part:
        part.write_text(json.dumps(names), encoding="utf-8")


def unanimous(cells: Mapping[Pair, Sequence[Cell]]) -> float | None:
    """Share of the target's samples on which all methods say the same, mean over seeds; None without a consensus.

    A method that was run on several views says what the mean of its probabilities does.
    """
    heard = members(cells)
    if not heard:
        return None
    slugs = sorted({slug for slug, _ in heard})
    shares = []
    for seed in range(len(next(iter(cells.values())))):
        p = {slug: [cells[pair][seed]["adapted"]["raw"] for pair in heard if pair[0] == slug] for slug in slugs}
        labels = torch.stack([torch.stack(views).mean(dim=0).argmax(dim=1) for views in p.values()])
        shares.append(float((labels == labels[0]).all(dim=0).float().mean()))
    return float(np.mean(shares))
