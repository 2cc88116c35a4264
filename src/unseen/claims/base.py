"""Claims: what a paper asserts, as experiments that run here and conditions that can fail."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from unseen.data.domain import Domain
from unseen.runtime import track

log = logging.getLogger(__name__)

COLUMNS = ("experiment", "case", "seed", "arm", "metric", "value")
"""Of a row of evidence."""

Level = Literal["mechanism", "effect", "paper scale", "not testable"]
Split = Literal["development", "confirmation"]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of a condition: held or not, its number with an interval over cases, and a sentence."""

    held: bool
    value: float
    low: float
    high: float
    told: str


@dataclasses.dataclass(frozen=True)
class Condition:
    """What must be true of a table of cells; tables of arms then show its metric.

    Attributes
    ----------
    metric : str
        What it looks at.
    asked : str
        The condition without any figure that was measured: two conditions that ask the same have the same words.
    rule : callable
        A table of cells to a `Verdict`.
    arms : tuple of str
        Arms whose every cell must be a number; a cell without one holds nothing.
    """

    metric: str
    asked: str
    rule: Callable[[pd.DataFrame], Verdict]
    arms: tuple[str, ...] = ()

    def __call__(self, table: pd.DataFrame) -> Verdict:
        """The verdict on a table of cells; not held if one of `arms` has a NaN, which means would pass over."""
        lost = table[(table.metric == self.metric) & table.arm.isin(self.arms) & table.value.isna()]
        if len(lost):
            first = lost.iloc[0]
            told = f"{self.metric} of {first.arm} is no number in case {first.case}, seed {first.seed}"
            return Verdict(False, np.nan, np.nan, np.nan, told + f" ({len(lost)} of such)")
        return self.rule(table)


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
    unit : str
        What a case is; intervals come from resampling cases.
    data : callable case -> the domains that a case reads, optional
        Whose fingerprints are part of the system's stamp; None where everything is drawn from a seed.
    clocks : tuple of str
        Metrics that are processor time, which no two runs share.
    """

    run: Callable[[str, int], Mapping[str, Mapping[str, float]]]
    development: tuple[str, ...]
    confirmation: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    fresh_seeds: tuple[int, ...] = (100, 101, 102)
    unit: str = "case"
    data: Callable[[str], Iterable[Domain]] | None = None
    clocks: tuple[str, ...] = ()

    def cases(self, split: Split) -> tuple[str, ...]:
        """The cases of a split."""
        return self.development if split == "development" else self.confirmation

    def seeds_of(self, split: Split) -> tuple[int, ...]:
        """The seeds of a split."""
        return self.seeds if split == "development" else self.fresh_seeds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Assertion:
    """One assertion of the paper's abstract, in our own words.

    Attributes
    ----------
    text : str
    level : {"mechanism", "effect", "paper scale", "not testable"}
    experiment : str
        Which experiment of the claim shows it (mechanism and effect).
    holds : Condition, optional
    promised : bool
        Whether `unseen reproduce` fails without it; a mechanism always is. An effect that did not hold stays
        in the ledger with promised=False.
    reason : str
        Why it cannot be tested here, or how to run it at the paper's scale.
    """

    text: str
    level: Level
    experiment: str = ""
    holds: Condition | None = None
    promised: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        if self.level in ("mechanism", "effect") and (self.holds is None or not self.experiment):
            raise ValueError(f"{self.text!r} needs an experiment and a condition")
        if self.level in ("paper scale", "not testable") and not self.reason:
            raise ValueError(f"{self.text!r} needs a reason")

    @property
    def must_hold(self) -> bool:
        """Whether a run without it is a failure."""
        return self.level == "mechanism" or (self.level == "effect" and self.promised)


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
        What the system gives on a small standard input, for its stamp: where it is more than a method's `fit` and
        outputs, which are stamped by themselves.
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
        """The rows of one cell: all arms of experiment `name` on a case with a seed."""
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
        return [(assertion, _judged(assertion, table)) for assertion in self.ledger]


def _judged(assertion: Assertion, table: pd.DataFrame) -> Verdict | None:
    own = table[table.experiment == assertion.experiment]
    if assertion.holds is None or own.empty:
        return None
    try:
        return assertion.holds(own)
    except MissingFiguresError:
        return None


# -- rows of a ledger --------------------------------------------------------------------------------------


def mechanism(experiment: str, holds: Condition, text: str) -> Assertion:
    """The named component does what it is for: must hold."""
    return Assertion(text=text, level="mechanism", experiment=experiment, holds=holds)


def effect(experiment: str, holds: Condition, text: str) -> Assertion:
    """Better than the alternatives, or not, at this scale; shown either way."""
    return Assertion(text=text, level="effect", experiment=experiment, holds=holds)


def promised(experiment: str, holds: Condition, text: str) -> Assertion:
    """An effect that users count on: `unseen reproduce` fails without it."""
    return Assertion(text=text, level="effect", experiment=experiment, holds=holds, promised=True)


def paper_scale(text: str, reason: str) -> Assertion:
    """Needs what is not here; the reason says how to run it where it is."""
    return Assertion(text=text, level="paper scale", reason=reason)


def not_testable(text: str, reason: str) -> Assertion:
    """Nothing that an experiment could show, and why."""
    return Assertion(text=text, level="not testable", reason=reason)


# -- conditions --------------------------------------------------------------------------------------------


class MissingFiguresError(ValueError):
    """The table lacks an arm or a metric that a condition asks for."""


def _per_case(table: pd.DataFrame, arm: str, metric: str) -> pd.Series:
    """The mean over seeds of an arm's metric, per case."""
    rows = table[(table.arm == arm) & (table.metric == metric)]
    if rows.empty:
        have = sorted(set(zip(table.arm, table.metric)))
        raise MissingFiguresError(f"the table has no metric {metric!r} of arm {arm!r}; it has {have}")
    return rows.groupby("case").value.mean()


def interval(values: Iterable[float], level: float = 0.95, draws: int = 2000) -> tuple[float, float]:
    """Bootstrap interval of the mean over the units that vary; of up to three units their least and most."""
    array = np.asarray(list(values), dtype=float)
    if len(array) <= FEW:
        return float(array.min()), float(array.max())
    means = np.random.default_rng(0).choice(array, (draws, len(array))).mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


FEW = 3
"""Cases that no interval is told of: each of them must do."""


NOTHING = 1e-9
"""What rounding leaves of two equal figures: no gain and no loss."""


def _spread(values: pd.Series, sign: str = "+") -> str:
    """The interval of a mean as it is told; of a few cases each of them."""
    if len(values) == 1:
        return f"(one case: {values.index[0]})"
    if len(values) <= FEW:
        return f"(each case: {', '.join(f'{value:{sign}.4g}' for value in values)})"
    low, high = interval(values)
    worst = values.min()
    return f"[{low:{sign}.4g}, {high:{sign}.4g}], worst {worst:{sign}.4g}"


def _gain(table: pd.DataFrame, a: str, b: str, metric: str, lower: bool) -> pd.Series:
    gain = _per_case(table, a, metric) - _per_case(table, b, metric)
    return -gain if lower else gain


def better(a: str, b: str, metric: str, *, by: float = 0.0, lower: bool = False) -> Condition:
    """Arm `a` beats arm `b` on the mean over cases by more than `by` (`lower`: smaller is better).

    With several cases, a gain whose interval reaches zero is no gain.
    """
    asked = f"{metric}: {a} better than {b}; needed > {by:g}"

    def holds(table: pd.DataFrame) -> Verdict:
        gain = _gain(table, a, b, metric, lower)
        mean, (low, high) = float(gain.mean()), interval(gain)
        told = f"{metric}: {a} better than {b} by {mean:+.4g} {_spread(gain)}; needed > {by:g}"
        return Verdict(mean > by and low > NOTHING, mean, low, high, told + " and each case, or the interval, above 0")

    return Condition(metric, asked, holds, (a, b))


def beats_all(a: str, others: tuple[str, ...], metric: str, *, by: float = 0.0, lower: bool = False) -> Condition:
    """Arm `a` beats the best of others, which may be another one in each case, by more than `by`."""
    best = f"the best of {', '.join(others)}"
    rule = better(a, best, metric, by=by, lower=lower)

    def holds(table: pd.DataFrame) -> Verdict:
        cases = pd.concat({arm: _per_case(table, arm, metric) for arm in others}, axis=1)
        value = cases.min(axis=1) if lower else cases.max(axis=1)
        rows = pd.DataFrame({"case": value.index, "arm": best, "metric": metric, "value": value.to_numpy()})
        return rule.rule(pd.concat([table, rows]))

    return Condition(metric, rule.asked, holds, (a, *others))


def not_worse(a: str, b: str, metric: str, *, within: float, lower: bool = False) -> Condition:
    """Arm `a` is at most `within` worse than arm `b`: the mean over cases, and its interval."""
    asked = f"{metric}: {a} against {b}; needed >= {-within:g}"

    def holds(table: pd.DataFrame) -> Verdict:
        gain = _gain(table, a, b, metric, lower)
        mean, (low, high) = float(gain.mean()), interval(gain)
        told = f"{metric}: {a} against {b} {mean:+.4g} {_spread(gain)}; needed each case, or the interval,"
        return Verdict(low >= -within - NOTHING, mean, low, high, f"{told} >= {-within:g}")

    return Condition(metric, asked, holds, (a, b))


def at_least(arm: str, metric: str, value: float) -> Condition:
    """The mean over cases is at least `value`."""

    def holds(table: pd.DataFrame) -> Verdict:
        cases = _per_case(table, arm, metric)
        mean, (low, high) = float(cases.mean()), interval(cases)
        told = f"{metric} of {arm} {mean:.4g} {_spread(cases, '')}; needed >= {value:g}"
        return Verdict(mean >= value, mean, low, high, told)

    return Condition(metric, f"{metric} of {arm}; needed >= {value:g}", holds, (arm,))


def at_most(arm: str, metric: str, value: float) -> Condition:
    """The mean over cases is at most `value`."""

    def holds(table: pd.DataFrame) -> Verdict:
        cases = _per_case(table, arm, metric)
        mean, (low, high) = float(cases.mean()), interval(cases)
        told = f"{metric} of {arm} {mean:.4g} {_spread(cases, '')}, most {cases.max():.4g}; needed <= {value:g}"
        return Verdict(mean <= value, mean, low, high, told)

    return Condition(metric, f"{metric} of {arm}; needed <= {value:g}", holds, (arm,))


def wins(a: str, b: str, metric: str, *, of: float, lower: bool = False) -> Condition:
    """Arm `a` beats arm `b` in at least the share `of` of all cells (case x seed)."""

    def holds(table: pd.DataFrame) -> Verdict:
        wide = table[table.metric == metric].pivot_table(index=["case", "seed"], columns="arm", values="value")
        if not {a, b} <= set(wide.columns):
            raise MissingFiguresError(
                f"the table has {metric!r} of {', '.join(wide.columns)}; {a} and {b} are asked for"
            )
        won = (wide[a] < wide[b]) if lower else (wide[a] > wide[b])
        share, (low, high) = float(won.mean()), interval(won.astype(float))
        told = f"{metric}: {a} beats {b} in {int(won.sum())} of {len(won)}; needed {of:.0%}"
        return Verdict(share >= of, share, low, high, told)

    return Condition(metric, f"{metric}: {a} beats {b}; needed {of:.0%}", holds, (a, b))


def equals(arm: str, metric: str, value: float, *, tolerance: float = 0.0) -> Condition:
    """Every cell is `value`, up to `tolerance`."""

    def holds(table: pd.DataFrame) -> Verdict:
        _per_case(table, arm, metric)
        cells = table[(table.arm == arm) & (table.metric == metric)].value
        worst = float((cells - value).abs().max())
        told = f"{metric} of {arm} differs from {value:g} by at most {worst:.3g}; allowed {tolerance:g}"
        return Verdict(worst <= tolerance, float(cells.mean()), float(cells.min()), float(cells.max()), told)

    return Condition(metric, f"{metric} of {arm} differs from {value:g}; allowed {tolerance:g}", holds, (arm,))
