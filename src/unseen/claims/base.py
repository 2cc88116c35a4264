"""Claims: what a paper asserts, as experiments that run here and conditions that can fail."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from unseen.runtime import track

log = logging.getLogger(__name__)

Level = Literal["mechanism", "effect", "paper scale", "not testable"]
Split = Literal["development", "confirmation"]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of a condition: held or not, its number with an interval, and a sentence."""

    held: bool
    value: float
    low: float
    high: float
    told: str


Condition = Callable[[pd.DataFrame], Verdict]


@dataclasses.dataclass(frozen=True)
class OnMetric:
    """A condition on one metric, which tables of arms then show; a cell without a number holds nothing."""

    metric: str
    rule: Condition
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
    """

    run: Callable[[str, int], Mapping[str, Mapping[str, float]]]
    development: tuple[str, ...]
    confirmation: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    fresh_seeds: tuple[int, ...] = (100, 101, 102)
    unit: str = "case"


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
    """The ledger of a system and the experiments behind it; `parts` are modules that it shares with other claims."""

    slug: str
    ledger: tuple[Assertion, ...]
    experiments: Mapping[str, Experiment]
    licences: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for assertion in self.ledger:
            if assertion.experiment and assertion.experiment not in self.experiments:
                raise ValueError(f"{self.slug}: no experiment is called {assertion.experiment!r}")

    def measure(self, split: Split = "development", *, quick: bool = False) -> pd.DataFrame:
        """Run all cells of a split; columns experiment, case, seed, arm, metric, value, seconds.

        `quick` is one seed.
        """
        rows: list[dict[str, Any]] = []
        for name, experiment in self.experiments.items():
            cases = experiment.development if split == "development" else experiment.confirmation
            seeds = experiment.seeds if split == "development" else experiment.fresh_seeds
            cells = [(case, seed) for case in cases for seed in (seeds[:1] if quick else seeds)]
            for case, seed in track(cells, f"{self.slug}: {name}"):
                started = time.perf_counter()
                result = experiment.run(case, seed)
                seconds = time.perf_counter() - started
                log.info("%s %s %s seed %d: %s (%.1f s)", self.slug, name, case, seed, result, seconds)
                rows += [
                    dict(
                        experiment=name,
                        case=case,
                        seed=seed,
                        arm=arm,
                        metric=metric,
                        value=float(v),
                        seconds=seconds,
                    )
                    for arm, metrics in result.items()
                    for metric, v in metrics.items()
                ]
        return pd.DataFrame(rows)

    def judge(self, table: pd.DataFrame) -> list[tuple[Assertion, Verdict | None]]:
        """The verdict on every assertion, None where there is nothing to judge."""
        out: list[tuple[Assertion, Verdict | None]] = []
        for assertion in self.ledger:
            if assertion.holds is None:
                out.append((assertion, None))
                continue
            out.append((assertion, assertion.holds(table[table.experiment == assertion.experiment])))
        return out


# -- conditions --------------------------------------------------------------------------------------------


def _per_case(table: pd.DataFrame, arm: str, metric: str) -> pd.Series:
    """The mean over seeds of an arm's metric, per case."""
    rows = table[(table.arm == arm) & (table.metric == metric)]
    if rows.empty:
        have = sorted(set(zip(table.arm, table.metric)))
        raise ValueError(f"the table has no metric {metric!r} of arm {arm!r}; it has {have}")
    return rows.groupby("case").value.mean()


def interval(values: Iterable[float], level: float = 0.95, draws: int = 2000) -> tuple[float, float]:
    """Bootstrap interval of the mean over the units that vary; of one unit it is that unit."""
    array = np.asarray(list(values), dtype=float)
    if len(array) < 2:
        return float(array[0]), float(array[0])
    means = np.random.default_rng(0).choice(array, (draws, len(array))).mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _gain(table: pd.DataFrame, a: str, b: str, metric: str, lower: bool) -> pd.Series:
    gain = _per_case(table, a, metric) - _per_case(table, b, metric)
    return -gain if lower else gain


def better(a: str, b: str, *, metric: str, by: float = 0.0, lower: bool = False) -> Condition:
    """Arm `a` beats arm `b` on the mean over cases by more than `by` (`lower`: smaller is better).

    With several cases, a gain whose interval reaches zero is no gain.
    """

    def holds(table: pd.DataFrame) -> Verdict:
        gain = _gain(table, a, b, metric, lower)
        mean, (low, high) = float(gain.mean()), interval(gain)
        told = f"{metric}: {a} better than {b} by {mean:+.4g} [{low:+.4g}, {high:+.4g}], worst {gain.min():+.4g}"
        told += f"; needed > {by:g}" + (" and an interval above 0" if len(gain) > 1 else f"; one case: {gain.index[0]}")
        return Verdict(mean > by and low > 0, mean, low, high, told)

    return OnMetric(metric, holds, (a, b))


def not_worse(a: str, b: str, *, metric: str, within: float, lower: bool = False) -> Condition:
    """Arm `a` is at most `within` worse than arm `b` on the mean over cases."""

    def holds(table: pd.DataFrame) -> Verdict:
        gain = _gain(table, a, b, metric, lower)
        mean, (low, high) = float(gain.mean()), interval(gain)
        told = f"{metric}: {a} against {b} {mean:+.4g} [{low:+.4g}, {high:+.4g}]; needed >= {-within:g}"
        return Verdict(mean >= -within, mean, low, high, told)

    return OnMetric(metric, holds, (a, b))


def at_least(arm: str, *, metric: str, value: float) -> Condition:
    """The mean over cases is at least `value`."""

    def holds(table: pd.DataFrame) -> Verdict:
        cases = _per_case(table, arm, metric)
        mean, (low, high) = float(cases.mean()), interval(cases)
        told = f"{metric} of {arm} {mean:.4g} [{low:.4g}, {high:.4g}], worst {cases.min():.4g}; needed >= {value:g}"
        return Verdict(mean >= value, mean, low, high, told)

    return OnMetric(metric, holds, (arm,))


def at_most(arm: str, *, metric: str, value: float) -> Condition:
    """The mean over cases is at most `value`."""

    def holds(table: pd.DataFrame) -> Verdict:
        cases = _per_case(table, arm, metric)
        mean, (low, high) = float(cases.mean()), interval(cases)
        told = f"{metric} of {arm} {mean:.4g} [{low:.4g}, {high:.4g}], worst {cases.max():.4g}; needed <= {value:g}"
        return Verdict(mean <= value, mean, low, high, told)

    return OnMetric(metric, holds, (arm,))


def wins(a: str, b: str, *, metric: str, of: float, lower: bool = False) -> Condition:
    """Arm `a` beats arm `b` in at least the share `of` of all cells (case x seed)."""

    def holds(table: pd.DataFrame) -> Verdict:
        wide = table[table.metric == metric].pivot_table(index=["case", "seed"], columns="arm", values="value")
        won = (wide[a] < wide[b]) if lower else (wide[a] > wide[b])
        share, (low, high) = float(won.mean()), interval(won.astype(float))
        told = f"{metric}: {a} beats {b} in {int(won.sum())} of {len(won)}; needed {of:.0%}"
        return Verdict(share >= of, share, low, high, told)

    return OnMetric(metric, holds, (a, b))


def equals(arm: str, *, metric: str, value: float, tolerance: float = 0.0) -> Condition:
    """Every cell is `value`, up to `tolerance`."""

    def holds(table: pd.DataFrame) -> Verdict:
        cells = table[(table.arm == arm) & (table.metric == metric)].value
        worst = float((cells - value).abs().max())
        told = f"{metric} of {arm} differs from {value:g} by at most {worst:.3g}; allowed {tolerance:g}"
        return Verdict(worst <= tolerance, float(cells.mean()), float(cells.min()), float(cells.max()), told)

    return OnMetric(metric, holds, (arm,))
