"""Which samples are looked at, and what they may be: a uniform draw of rows, and the model's first few classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path

import numpy as np

from unseen.bundle import Bundle
from unseen.data.domain import Domain
from unseen.data.typing import IntArray

CHOICES = 5
"""Classes that stand beside a sample where all of them are too many."""

FEW = 8
"""So many classes stand beside every sample, in their own order."""


@dataclasses.dataclass(frozen=True)
class Question:
    """A sample to look at: where it is, the digest of its content, the classes to pick from, and how often a row with
    this content was drawn."""

    position: int
    id: str
    digest: str
    choices: tuple[str, ...]
    times: int = 1


def learned_by(model: Path) -> set[str]:
    """Digests of the labelled samples that a run folder's models learned from; empty for a model without a run.

    Parameters
    ----------
    model : Path
        A run folder, or the folder `model` in one.
    """
    files = [folder / "learned.txt" for folder in (model, model.resolve().parent)]
    return {digest for file in files if file.is_file() for digest in file.read_text(encoding="utf-8").split()}


def draw(target: Domain, n: int, *, seed: int = 0, learned: Collection[str] = ()) -> IntArray:
    """Positions of a uniformly random sample of the rows, (at most n,); names and order do not enter.

    Rows of equal content are drawn as others are, so that shares of the sample estimate shares of the rows.

    Parameters
    ----------
    target : Domain
    n : int, >= 1
    seed : int
    learned : collection of str
        Digests of what the model learned labels from; samples of equal content are never drawn.

    Raises
    ------
    ValueError
        If no sample is left to draw.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    digests = target.digests()
    rows = np.argsort(digests, kind="stable")  # in the order of contents
    rows = rows[~np.isin(digests[rows], list(learned))]
    if not len(rows):
        raise ValueError(f"target must hold samples that the model did not learn from; all {len(target)} are known")
    return np.random.default_rng(seed).permutation(rows)[:n]


def ask(model: Bundle, target: Domain, n: int = 60, *, seed: int = 0, learned: Collection[str] = ()) -> list[Question]:
    """Draw samples and put classes beside each, in an order that does not tell what the model chose.

    All classes, or of more than `FEW` the model's most probable `CHOICES`. Rows of equal content are one question,
    which knows how many of them were drawn.

    Parameters
    ----------
    model : Bundle
    target : Domain
        Samples as the model reads them, labels or not.
    n, seed, learned
        See `draw`.
    """
    drawn = draw(target, n, seed=seed, learned=learned)
    digests, first, times = np.unique(target.take(drawn).digests(), return_index=True, return_counts=True)
    order = np.argsort(first)  # as they were drawn
    positions, digests, times = drawn[first[order]], digests[order], times[order]
    part = target.take(positions)
    assert part.ids is not None
    if len(model.classes) <= FEW:
        every = tuple(model.classes.names)
        return [
            Question(int(at), str(part.ids[i]), str(digests[i]), every, int(times[i])) for i, at in enumerate(positions)
        ]
    table = model.predict(part, top=CHOICES)
    columns = [name for name in table.columns if name.startswith("class_")]
    rng = np.random.default_rng(seed)
    questions = []
    for i, row in enumerate(table.to_dict("records")):
        names = [str(row[name]) for name in columns]
        if row["class"] not in names:  # a method's own decision that is not among its largest scores
            names[-1] = str(row["class"])
        choices = tuple(names[k] for k in rng.permutation(len(names)))
        questions.append(Question(int(positions[i]), str(part.ids[i]), str(digests[i]), choices, int(times[i])))
    return questions
