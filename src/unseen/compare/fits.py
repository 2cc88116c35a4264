"""All fits of a comparison, candidates x seeds, here or on Ray."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unseen import catalogue
from unseen.catalogue import Given
from unseen.compare.cells import key_of, refit_cell, run_cell, split_source
from unseen.compare.clips import for_other_processes
from unseen.compare.inputs import Inputs
from unseen.compare.shared_fits import Fits
from unseen.compare.validators import Cell, fits_of
from unseen.data.domain import Domain
from unseen.nn.remembered import Memory, remembering
from unseen.nn.state import pack, unpack
from unseen.runtime import current
from unseen.scale import Engine, each

FAILED = "failed"
"""In the place of a cell: why its candidate could not be fitted."""
NOTHING = ("source-only", "describe")
"""Doing nothing, which others stand beside: without it there is no comparison."""
Job = tuple[int, tuple[tuple[str, str], ...]]
"""A seed, and candidates as (slug, preset) that one fit serves."""


@dataclasses.dataclass
class Work:
    """What all fits share; what depends on the seed alone is made once per process and seed.

    `memory` keeps what several candidates compute from the same samples. With `spare`, a candidate that what is given
    turns out not to fit is told of, and the others go on.
    """

    inputs: Inputs
    folder: Path | None
    spare: bool = False
    memory: Memory = dataclasses.field(default_factory=Memory)
    _parts: dict[tuple[int, int], tuple[Given, Domain | None]] = dataclasses.field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """What travels to another process: not what was made here, whose networks cannot."""
        return self.__dict__ | {"memory": Memory(), "_parts": {}}

    def part(self, inputs: Inputs, seed: int) -> tuple[Given, Domain | None]:
        """What is given for one seed, in one view, and the labelled samples that it does not hold."""
        key = (seed, id(inputs))
        if key not in self._parts:
            self._parts = {kept: part for kept, part in self._parts.items() if kept[0] == seed}
            self._parts[key] = split(inputs, seed)
        return self._parts[key]


def split(inputs: Inputs, seed: int) -> tuple[Given, Domain | None]:
    """What is given for one seed, and the labelled source samples that it does not hold."""
    if inputs.source is None:
        return inputs.given(None, seed), None
    learn, aside = split_source(inputs.source, seed)
    if not aside.any():
        return inputs.given(inputs.source, seed), None
    return inputs.given(inputs.source.take(learn), seed), inputs.source.take(aside)


def run_all(
    inputs: Inputs,
    candidates: tuple[tuple[str, str], ...],
    seeds: int,
    folder: Path | None,
    engine: Engine,
    failed: dict[tuple[str, str], str] | None = None,
    *,
    named: bool = False,
) -> dict[tuple[str, str], list[Cell]]:
    """All cells, by candidate in the order of the seeds; a cell that stands in `folder` is read.

    Of each seed the longest fits come first, so that none is alone at the end; of equal ones those of both views, which
    other processes take from the front: what they train on the source is then seldom trained here, too.

    A candidate that raises a `ValueError` is left out, with its reason in `failed`, where that is given and another one
    is left; one that does more than nothing, where candidates were `named`.

    Neither truth nor raw samples leave this process for another one, but for clips that candidates learn from, cut and
    without names; `folder`, if given, must be one that all machines see. A model or teachers that are given keep the
    work in this process: not every network travels. So do clips on a GPU, which has room for one network, and clips for
    which there is none (`compare.clips.for_other_processes`).
    """
    cells: dict[tuple[str, str], list[Cell]] = {pair: [] for pair in candidates}
    groups = sorted(catalogue.sharing(candidates), key=lambda pairs: (-_cost(pairs[0], inputs), pairs[0][1] != "views"))
    jobs: list[Job] = [(seed, pairs) for seed in range(seeds) for pairs in groups]
    if engine.name == "process" and not (inputs.model is None and inputs.teachers is None):
        engine = dataclasses.replace(engine, workers=1)
    on_clips = [job for job in jobs if inputs.seen_by(*job[1][0]).whole]
    spread = engine.name == "ray" or engine.helpers(len(jobs)) > 0
    with contextlib.ExitStack() as stack:
        portable = None
        if spread and current().device == "cpu" and not all(_is_done(folder, job) for job in on_clips):
            portable = stack.enter_context(for_other_processes(inputs, engine))
        local = on_clips if portable is None else []
        for part, at in (([job for job in jobs if job not in local], engine), (local, Engine(workers=1))):
            results = _run(inputs if portable is None else portable, part, folder, at, failed is not None)
            for group, (_, pairs) in zip(results, part):  # what is made first, so that it ends, and says so
                for pair, cell in zip(pairs, group):
                    cells[pair].append(cell)
    wrong = {pair: cell[FAILED] for pair, group in cells.items() for cell in group if FAILED in cell}
    if failed is not None:
        failed |= wrong
    left = [pair for pair in cells if pair not in wrong]
    if wrong and (not left or (named and all(slug in NOTHING for slug, _ in left))):
        raise ValueError(next(iter(wrong.values())))
    return {pair: group for pair, group in cells.items() if pair not in wrong}


def _cost(pair: tuple[str, str], inputs: Inputs) -> float:
    """Seconds that a candidate takes per 1,000 samples, with the fits that grade it on the support."""
    return catalogue.cost(*pair) * fits_of(pair[0], inputs.support)


def _is_done(folder: Path | None, job: Job) -> bool:
    """Whether an earlier run has left all cells of a job."""
    seed, pairs = job
    return folder is not None and all((folder / "cells" / key_of(*pair, seed)).exists() for pair in pairs)


def _run(inputs: Inputs, jobs: list[Job], folder: Path | None, engine: Engine, spare: bool) -> Iterator[list[Cell]]:
    """The cells of each job, in their order."""
    if not jobs:
        return iter(())
    costs = [_cost(pairs[0], inputs) for _, pairs in jobs]
    if engine.name == "process" and engine.workers == 1:
        return each(_cells, jobs, Work(inputs, folder, spare), label="fitting", weights=costs)
    work = Work(inputs.without_truth(), None if folder is None else folder.resolve(), spare)
    return (unpack(*packed) for packed in each(_packed, jobs, work, engine=engine, label="fitting", weights=costs))


def fit_whole(inputs: Inputs, pair: tuple[str, str], cell: Cell, folder: Path | None) -> Cell | None:
    """The chosen candidate on all labelled source samples; None where `cell` has learnt from all that there are.

    `inputs` are those of its view (`Inputs.seen_by`).
    """
    if split(inputs, cell["seed"])[1] is None:
        return None
    return refit_cell(inputs, cell, *pair, None if folder is None else folder / "cells")


def _cells(work: Work, job: Job) -> list[Cell]:
    """The cells of candidates that share their fits."""
    seed, pairs = job
    inputs = work.inputs.seen_by(*pairs[0])
    given, check = work.part(inputs, seed)
    folder, fits = None if work.folder is None else work.folder / "cells", Fits(len(pairs))
    cells: list[Cell] = []
    with remembering(work.memory):
        for pair in pairs:
            try:
                cells.append(run_cell(inputs, given, check, *pair, seed, folder, fits))
            except ValueError as error:
                if not work.spare or pair[0] in NOTHING:
                    raise
                if folder is not None and (folder / key_of(*pair, seed)).exists():
                    raise  # it was fitted: what an earlier call left is damaged
                cells.append({FAILED: f"{error} (seed {seed})" if seed else str(error)})
    return cells


def _packed(work: Work, job: Job) -> tuple[Any, dict[str, Any]]:
    """Cells as plain data and tensors: networks with parametrizations cannot be pickled."""
    tensors: dict[str, Any] = {}
    return pack(_cells(work, job), tensors), tensors


@contextlib.contextmanager
def alone_in(folder: Path | None) -> Iterator[None]:
    """Hold a run folder for the block; `ValueError` if another job holds it. A killed job lets it go."""
    if folder is None:
        yield
        return
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"out: another job is at work in {folder}; wait for it, or choose another folder"
            ) from error
        yield
