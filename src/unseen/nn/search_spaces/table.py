"""Make a table of architectures: train every one of them for real, and measure them untrained."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unseen.data.architectures import ArchitectureTable
from unseen.data.domain import Domain
from unseen.nn.search_spaces.base import SearchSpace
from unseen.nn.search_spaces.training import Recipe, train_architecture
from unseen.runtime import replacing, track


@dataclasses.dataclass(frozen=True)
class Row:
    """One training."""

    architecture: str
    seed: int
    accuracy: float
    seconds: float
    parameters: int


def train_all(
    space: SearchSpace,
    architectures: Sequence[str],
    learn: Domain,
    held_out: Domain,
    *,
    n_classes: int,
    seeds: Sequence[int] = (0, 1),
    recipe: Recipe | None = None,
    journal: Path | None = None,
) -> list[Row]:
    """Train every architecture with every seed.

    `journal`, a file with a line of JSON for each training, is continued where it ends; a line that was cut off is
    trained again. It belongs to one recipe and one data set: another start is refused.

    Raises
    ------
    ValueError
        If the journal is of another start.
    """
    recipe = recipe or Recipe()
    start = {
        "space": space.name,
        "recipe": dataclasses.asdict(recipe),
        "data": f"{learn.fingerprint(labels=True)[:16]}/{held_out.fingerprint(labels=True)[:16]}",
    }
    done = _journal_rows(journal, start)
    jobs = [(text, seed) for text in architectures for seed in seeds]
    missing = [job for job in jobs if job not in done]
    for text, seed in track(missing, f"training {space.name}"):
        trained = train_architecture(space, text, learn, held_out, n_classes=n_classes, seed=seed, recipe=recipe)
        row = done[text, seed] = Row(text, seed, trained.accuracy, trained.seconds, trained.parameters)
        if journal is not None:
            with journal.open("a") as stream:
                stream.write(json.dumps(dataclasses.asdict(row)) + "\n")
    return [done[job] for job in jobs]


def _journal_rows(journal: Path | None, start: dict[str, Any]) -> dict[tuple[str, int], Row]:
    """What a journal holds; a new one, or one that was killed in its first line, gets that line."""
    if journal is None:
        return {}
    head = json.dumps(start) + "\n"
    whole = journal.read_text() if journal.exists() else ""
    if len(whole) < len(head) and head.startswith(whole):
        _replace(journal, head)
        return {}
    first, *lines = whole.split("\n")
    if json.loads(first) != start:
        reason = "was begun with other data, another space or recipe; begin in another place (`out`), or remove it"
        raise ValueError(f"{journal} {reason}")
    cut = lines.pop()
    if cut:  # killed in the middle of a line
        _replace(journal, whole[: len(whole) - len(cut)])
    rows = [Row(**json.loads(line)) for line in lines]
    return {(row.architecture, row.seed): row for row in rows}


def _replace(file: Path, text: str) -> None:
    """Write a file, all or nothing."""
    with replacing(file) as temporary:
        temporary.write_text(text)


def as_table(
    rows: Sequence[Row],
    *,
    name: str,
    proxies: Sequence[str] = (),
    nodes: Sequence[str] = (),
    statistics: np.ndarray | None = None,
    about: dict[str, Any] | None = None,
) -> ArchitectureTable:
    """The rows as a table, an architecture in each line and a seed in each column of its accuracies."""
    texts = list(dict.fromkeys(row.architecture for row in rows))
    seeds = sorted({row.seed for row in rows})
    place = {text: i for i, text in enumerate(texts)}
    accuracy = np.full((len(texts), len(seeds)), np.nan)
    seconds = np.full((len(texts), len(seeds)), np.nan)
    parameters = np.zeros(len(texts), dtype=np.int64)
    for row in rows:
        where = place[row.architecture], seeds.index(row.seed)
        accuracy[where], seconds[where], parameters[where[0]] = row.accuracy, row.seconds, row.parameters
    facts = {"torch": torch.__version__, "machine": platform.machine(), "seeds": seeds, **(about or {})}
    return ArchitectureTable(
        name=name,
        architectures=tuple(texts),
        accuracy=accuracy,
        parameters=parameters,
        seconds=np.nanmean(seconds, axis=1),
        proxies=tuple(proxies),
        nodes=tuple(nodes),
        statistics=np.zeros((0, 0, 0)) if statistics is None else statistics,
        about=facts,
    )
