"""Claims: what a paper asserts, as experiments that run here and conditions that can fail."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import pandas as pd

from unseen.claims.conditions import MissingFiguresError, Verdict, below_nothing, of_experiment
from unseen.claims.ledger import Assertion
from unseen.data.domain import Domain
from unseen.runtime import limited_threads, track

log = logging.getLogger(__name__)

COLUMNS = ("experiment", "case", "seed", "arm", "metric", "value")
"""Of a row of evidence."""

Result = dict[str, dict[str, float]]
"""What a cell gives: values by arm and metric."""
Split = Literal["development", "confirmation"]


def seeds(n: int, fresh: int | None = None, *, first: int = 100) -> dict[str, Any]:
    """So many seeds from 0 for development; as many, or `fresh`, from `first` for confirmation: of an `Experiment`."""
    return {"seeds": tuple(range(n)), "fresh_seeds": tuple(range(first, first + (n if fresh is None else fresh)))}


def of_both(names: Iterable[Any] | Mapping[str, Iterable[Any]]) -> dict[str, Any]:
    """The cases `SPLIT NAME` of an `Experiment` that does the same in both splits; the names of both, or of each."""
    by_split = names if isinstance(names, Mapping) else dict.fromkeys(("development", "confirmation"), tuple(names))
    return {split: tuple(f"{split} {name}" for name in of_split) for split, of_split in by_split.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Arms x cases x seeds -> metrics.

    Attributes
    ----------
    run : callable (case, seed) -> {arm: {metric: value}}
        One cell: all arms on the same data with the same seed, so that they can be compared in pairs.
    development, confirmation : tuple of str
        Cases: pairs of styles, splits of classes, data sets. Those of `confirmation` were not looked at while the
        experiment was designed; they differ in data, not only in seeds.
    seeds, fresh_seeds : tuple of int
        For the two splits.
    reused : tuple of str
        Cases of `confirmation` whose samples had been read in development, otherwise changed: what holds must hold
        without them, too.
    halves : bool
        Whether cases that read the same data ask about samples that no other case has.
    unit : str
        What a case is; intervals come from resampling cases.
    data : callable case -> the domains that a case reads, optional
        Whose fingerprints are part of the system's stamp; None where everything is drawn from a seed.
    drawn : callable (case, seed) -> what a cell draws from what it reads, or from its seed; or a reason why not
        Domains, class spaces, arrays and texts, by the functions that the cell itself calls; a digest of it, for the
        first confirmation case and the first fresh seed, is part of the stamp. It takes a third of a second at most:
        where a cell has features by an encoder, samples may stand there by their numbers (`worlds.numbered`). A text
        says why nothing is drawn that `data` does not tell already.
    clocks : tuple of str
        Metrics that are processor time, which no two runs share.
    nothing : str
        The arm that learns nothing, such as the model as it was given, or a draw: a rival that is worse than it proves
        nothing, and the verdict says so.
    """

    run: Callable[[str, int], Mapping[str, Mapping[str, float]]]
    development: tuple[str, ...]
    confirmation: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    fresh_seeds: tuple[int, ...] = (100, 101, 102)
    reused: tuple[str, ...] = ()
    halves: bool = False
    unit: str = "case"
    data: Callable[[str], Iterable[Domain]] | None = None
    drawn: Callable[[str, int], Any] | str = ""
    clocks: tuple[str, ...] = ()
    nothing: str = ""

    def cases(self, split: Split) -> tuple[str, ...]:
        """The cases of a split."""
        return self.development if split == "development" else self.confirmation

    def seeds_of(self, split: Split) -> tuple[int, ...]:
        """The seeds of a split."""
        return self.seeds if split == "development" else self.fresh_seeds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """The ledger of a system and the experiments behind it.

    Attributes
    ----------
    slug : str
    ledger : tuple of Assertion
    experiments : mapping of name to Experiment
    licences : tuple of str
        Of the data.
    behaviour : callable, optional
        What the system gives on a small standard input, for its stamp, by what the stamp calls it: where it is more
        than a method's `fit` and outputs, which are stamped by themselves. It takes two seconds at most, reads nothing.
    """

    slug: str
    ledger: tuple[Assertion, ...]
    experiments: Mapping[str, Experiment]
    licences: tuple[str, ...] = ()
    behaviour: Callable[[], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        for assertion in self.ledger:
            if assertion.experiment and assertion.experiment not in self.experiments:
                raise ValueError(f"{self.slug}: no experiment is called {assertion.experiment!r}")

    def measure(
        self, split: Split = "development", *, quick: bool = False, only: Iterable[str] | None = None
    ) -> pd.DataFrame:
        """Run the cells of a split; columns experiment, case, seed, arm, metric, value, seconds (of the processor).

        `quick` is one seed; `only` names experiments.
        """
        rows: list[dict[str, Any]] = []
        for name in self.experiments if only is None else only:
            experiment = self.experiments[name]
            seeds = experiment.seeds_of(split)[: 1 if quick else None]
            cells = [(case, seed) for case in experiment.cases(split) for seed in seeds]
            for case, seed in track(cells, f"{self.slug}: {name}"):
                rows += self.cell(name, case, seed)
        return pd.DataFrame(rows, columns=[*COLUMNS, "seconds"])

    def cell(self, name: str, case: str, seed: int) -> list[dict[str, Any]]:
        """The rows of one cell: all arms of experiment `name` on a case with a seed.

        All of it runs on the runtime's threads, one unless told otherwise, as fits do: principal components and
        features that are read before them round otherwise with more, and a long training makes much of a last digit.
        """
        with limited_threads():
            started = time.process_time()
            result = self.experiments[name].run(case, seed)
            seconds = time.process_time() - started
        log.info("%s %s %s seed %d: %s (%.1f s)", self.slug, name, case, seed, result, seconds)
        where = {"experiment": name, "case": case, "seed": seed}
        return [
            {**where, "arm": arm, "metric": metric, "value": float(value), "seconds": seconds}
            for arm, metrics in result.items()
            for metric, value in metrics.items()
        ]

    def judge(self, table: pd.DataFrame) -> list[tuple[Assertion, Verdict | None]]:
        """The verdict on every assertion, None where there is nothing to judge: no condition, or no such figures."""
        return [(assertion, self.verdict(assertion, table)) for assertion in self.ledger]

    def verdict(self, assertion: Assertion, table: pd.DataFrame, experiment: str = "") -> Verdict | None:
        """The verdict on one, by the figures of its experiment, or of one that had another name then."""
        figures = of_experiment(table, experiment or assertion.experiment)
        if assertion.holds is None or figures.empty:
            return None
        about = self.experiments[assertion.experiment]
        try:
            verdict = assertion.holds(figures)
            if verdict.held and about.reused:
                figures = figures[~figures.case.isin(about.reused)]
                verdict = assertion.holds(figures)
        except MissingFiguresError:
            return None
        note = below_nothing(assertion.holds, figures, about.nothing) if verdict.held else ""
        return dataclasses.replace(verdict, told=verdict.told + note)
