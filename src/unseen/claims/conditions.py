"""Conditions: what must be true of a table of cells, as numbers with intervals over cases and words for both."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of a condition: held or not, its number with an interval over cases, and a sentence.

    `edge` says that rounding alone decides: a gain, or one of a few cases, is what is asked to the last digits.
    """

    held: bool
    value: float
    low: float
    high: float
    told: str
    edge: bool = False


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
    rivals : tuple of str
        The arms of which the best is to be beaten in each case, where more of the metric is better.
    parts : tuple of Condition
        What is asked at once, where this is `joined`.
    """

    metric: str
    asked: str
    rule: Callable[[pd.DataFrame], Verdict]
    arms: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    parts: tuple[Condition, ...] = ()

    def __call__(self, table: pd.DataFrame) -> Verdict:
        """The verdict on a table of cells; not held if one of `arms` has a NaN, which means would pass over."""
        lost = table[table.value.isna()]
        lost = lost[(lost.metric == self.metric) & lost.arm.isin(self.arms)]
        if len(lost):
            first = lost.iloc[0]
            text = f"{self.metric} of {first.arm} is no number in case {first.case}, seed {first.seed}"
            return Verdict(False, np.nan, np.nan, np.nan, text + f" ({len(lost)} of such)")
        return self.rule(table)


class Figures(pd.DataFrame):
    """A table of cells that nobody changes: what many conditions ask of it, each of them a slice, is taken once."""

    @functools.cached_property
    def _experiments(self) -> dict[str, Figures]:
        return {str(name): Figures(rows) for name, rows in self.groupby("experiment", sort=False)}

    @functools.cached_property
    def _series(self) -> dict[Any, pd.DataFrame]:
        return dict(iter(self.groupby(["arm", "metric"], sort=False)))

    @functools.cached_property
    def _means(self) -> dict[tuple[str, str], pd.Series]:
        return {}

    def per_case(self, arm: str, metric: str) -> pd.Series | None:
        """The mean over seeds of an arm's metric, per case; None where it has no such figures."""
        key = arm, metric
        if key not in self._means and key in self._series:
            self._means[key] = self._series[key].groupby("case").value.mean()
        return self._means.get(key)


def of_experiment(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of an experiment."""
    if isinstance(table, Figures):
        return table._experiments.get(name, table[:0])
    return table[table.experiment == name]


class MissingFiguresError(ValueError):
    """The table lacks an arm or a metric that a condition asks for."""


def _per_case(table: pd.DataFrame, arm: str, metric: str) -> pd.Series:
    """The mean over seeds of an arm's metric, per case."""
    if isinstance(table, Figures) and (means := table.per_case(arm, metric)) is not None:
        return means
    rows = table[(table.arm == arm) & (table.metric == metric)]
    if rows.empty:
        have = sorted(set(zip(table.arm, table.metric)))
        raise MissingFiguresError(f"the table has no metric {metric!r} of arm {arm!r}; it has {have}")
    return rows.groupby("case").value.mean()


def below_nothing(condition: Condition, table: pd.DataFrame, nothing: str) -> str:
    """A sentence where what is to be beaten is itself worse than the arm that learns `nothing`; else nothing to say."""
    notes = [_below(part, table, nothing) for part in condition.parts or (condition,)]
    return "".join(dict.fromkeys(notes))


def _below(condition: Condition, table: pd.DataFrame, nothing: str) -> str:
    arms = set(table[table.metric == condition.metric].arm)
    if not nothing or nothing in condition.arms or not {nothing, *condition.rivals} <= arms or not condition.rivals:
        return ""
    rival = _best(condition.rivals)
    gap = float((_per_case(table, nothing, condition.metric) - _best_per_case(table, condition)).mean())
    if gap <= NOTHING:
        return ""
    arm = condition.arms[0]
    above = better(arm, nothing, condition.metric).rule(table).held
    note = f"; but {rival} is worse by {gap:.2g} than {nothing}, which learns nothing"
    return note if above else f"{note}, and {arm} is not shown to be better than that"


def _best(arms: Sequence[str]) -> str:
    return arms[0] if len(arms) == 1 else f"the best of {', '.join(arms)}"


def _best_per_case(table: pd.DataFrame, condition: Condition) -> pd.Series:
    return pd.concat({arm: _per_case(table, arm, condition.metric) for arm in condition.rivals}, axis=1).max(axis=1)


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
        text = f"{metric}: {a} better than {b} by {mean:+.4g} {_spread(gain)}; needed > {by:g}"
        edge = abs(min(mean - by, low)) <= NOTHING
        held = mean > by and low > NOTHING
        return Verdict(held, mean, low, high, text + " and each case, or the interval, above 0", edge)

    return Condition(metric, asked, holds, (a, b), () if lower else (b,))


def beats_all(a: str, others: tuple[str, ...], metric: str, *, by: float = 0.0, lower: bool = False) -> Condition:
    """Arm `a` beats the best of others, which may be another one in each case, by more than `by`."""
    best = _best(others)
    rule = better(a, best, metric, by=by, lower=lower)

    def holds(table: pd.DataFrame) -> Verdict:
        cases = pd.concat({arm: _per_case(table, arm, metric) for arm in others}, axis=1)
        value = cases.min(axis=1) if lower else cases.max(axis=1)
        rows = pd.DataFrame({"case": value.index, "arm": best, "metric": metric, "value": value.to_numpy()})
        return rule.rule(pd.concat([table, rows]))

    return Condition(metric, rule.asked, holds, (a, *others), () if lower else others)


def not_worse(a: str, b: str, metric: str, *, within: float, lower: bool = False) -> Condition:
    """Arm `a` is at most `within` worse than arm `b`: the mean over cases, and its interval."""
    asked = f"{metric}: {a} against {b}; needed >= {-within:g}"

    def holds(table: pd.DataFrame) -> Verdict:
        gain = _gain(table, a, b, metric, lower)
        mean, (low, high) = float(gain.mean()), interval(gain)
        text = f"{metric}: {a} against {b} {mean:+.4g} {_spread(gain)}; needed each case, or the interval,"
        return Verdict(low >= -within - NOTHING, mean, low, high, f"{text} >= {-within:g}")

    return Condition(metric, asked, holds, (a, b))


def joined(*conditions: Condition) -> Condition:
    """All of some conditions at once; the number is that of the first."""

    def holds(table: pd.DataFrame) -> Verdict:
        verdicts = [condition(table) for condition in conditions]
        text = "; and ".join(verdict.told for verdict in verdicts)
        held = all(verdict.held for verdict in verdicts)
        edge = any(verdict.edge for verdict in verdicts)
        return dataclasses.replace(verdicts[0], held=held, told=text, edge=edge)

    first, asked = conditions[0], "; and ".join(condition.asked for condition in conditions)
    return Condition(first.metric, asked, holds, first.arms, parts=conditions)


def at_least(arm: str, metric: str, value: float) -> Condition:
    """The mean over cases is at least `value`."""
    return _level(arm, metric, f">= {value:g}", lambda mean: mean >= value)


def at_most(arm: str, metric: str, value: float) -> Condition:
    """The mean over cases is at most `value`; the largest of them is told, too."""
    return _level(arm, metric, f"<= {value:g}", lambda mean: mean <= value, most=True)


def _level(arm: str, metric: str, needed: str, does: Callable[[float], bool], *, most: bool = False) -> Condition:
    def holds(table: pd.DataFrame) -> Verdict:
        cases = _per_case(table, arm, metric)
        mean, (low, high) = float(cases.mean()), interval(cases)
        largest = f", most {cases.max():.4g}" if most else ""
        text = f"{metric} of {arm} {mean:.4g} {_spread(cases, '')}{largest}; needed {needed}"
        return Verdict(does(mean), mean, low, high, text)

    return Condition(metric, f"{metric} of {arm}; needed {needed}", holds, (arm,))


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
        text = f"{metric}: {a} beats {b} in {int(won.sum())} of {len(won)}; needed {of:.0%}"
        return Verdict(share >= of, share, low, high, text)

    return Condition(metric, f"{metric}: {a} beats {b}; needed {of:.0%}", holds, (a, b), () if lower else (b,))


def equals(arm: str, metric: str, value: float, *, tolerance: float = 0.0) -> Condition:
    """Every cell is `value`, up to `tolerance`."""

    def holds(table: pd.DataFrame) -> Verdict:
        _per_case(table, arm, metric)
        cells = table[(table.arm == arm) & (table.metric == metric)].value
        worst = float((cells - value).abs().max())
        text = f"{metric} of {arm} differs from {value:g} by at most {worst:.3g}; allowed {tolerance:g}"
        return Verdict(worst <= tolerance, float(cells.mean()), float(cells.min()), float(cells.max()), text)

    return Condition(metric, f"{metric} of {arm} differs from {value:g}; allowed {tolerance:g}", holds, (arm,))
