"""The tables of docs/choosing-study.md on a few labels and no source, from what `few_labels.py` has collected."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shifts.study import HARM

Record = dict[str, Any]
SHOTS = (1, 3, 5, 10)
LEARNT_ON = (
    "digits-pixels", "digits-encoded", "photo-to-drawing", "emoji-styles", "office-caltech", "office-caltech-surf",
    "speakers", "genres", "diseases", "languages", "spam", "tables", "sensors",
)  # fmt: skip
"""Families on which rules were compared."""

KEPT_BACK = ("icons", "findings", "pages", "penguins")
"""Families that were opened once, when the rule had been decided."""

PROTOTYPES, PROBE, TUNED, SCALED = "prototypes", "logistic, moderated, 0.1", "tuned, raw", "tuned, standardized"
CHOSEN = "consensus"
Rule = Callable[[Record], float]


def of(name: str, part: str = "accuracy") -> Rule:
    """The rule that takes one learner."""
    return lambda row: float(row[part][name])


def by_labels(names: Sequence[str], simple: str | None = None, errors: float = 0.0) -> Rule:
    """The best of `names` by the labels left out; not before `simple` if it is better by fewer standard errors.

    With one label a class none can be left out: the first of them.
    """

    def rule(row: Record) -> float:
        right = {name: row["left out"][name] for name in names if name in row["left out"]}
        if not right:
            return float(row["accuracy"][simple or names[0]])
        best = max(right, key=lambda name: right[name])
        if simple is not None:
            variance = max(right[simple] * (1 - right[simple]), 0.25 / row["graded"]) / row["graded"]
            best = best if right[best] > right[simple] + errors * variance**0.5 else simple
        return float(row["accuracy"][best])

    return rule


RULES: dict[str, Rule] = {
    "`prototypes`": of(PROTOTYPES),
    "`linear-probe`: logistic regression, moderated deviations, C = 0.1": of(PROBE),
    "logistic regression, features as they are, C by cross-validation": of(TUNED),
    "logistic regression, features standardized, C by cross-validation": of(SCALED),
    "labels spread over neighbours, features centred": of("spread, centred"),
    "labels spread over neighbours, features standardized": of("spread, standardized"),
    "self-training from there": of("self-trained"),
    "`prototypes` or `linear-probe`, by the labels left out": by_labels((PROTOTYPES, PROBE)),
    "one of them or labels spread, by the labels left out": by_labels((PROTOTYPES, PROBE, "spread, centred")),
    "the same, `linear-probe` unless one is better by a standard error":
        by_labels((PROTOTYPES, PROBE, "spread, centred"), PROBE, 1.0),
    "mean of `linear-probe` and labels spread": of("mean of one regression"),
    "mean of `linear-probe`, C by cross-validation and labels spread": of("mean of two regressions"),
    "the same, C by cross-validation twice": of("mean of two regressions, the tuned one twice"),
    "**one model learnt from this mean: what `compare` does**": of(CHOSEN),
}  # fmt: skip


def means(rows: Sequence[Record], rule: Rule) -> dict[str, float]:
    """The mean of each family's draws."""
    return {
        family: float(np.mean([rule(row) for row in rows if row["family"] == family]))
        for family in sorted({row["family"] for row in rows})
    }


def table(rows: Sequence[Record], rules: Mapping[str, Rule]) -> str:
    """A row for each rule: accuracy by labels a class and in all, and how often it is a point below `TUNED`."""
    by_shots = [f"{shots} a class" for shots in SHOTS]
    head = ["rule", *by_shots, "all", "families with harm", "draws with harm", "worst family"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    plain = means(rows, of(TUNED))
    for name, rule in rules.items():
        by = [means([row for row in rows if row["shots"] == shots], rule) for shots in SHOTS]
        figures = [f"{np.mean(list(found.values())):.3f}" for found in by]
        every = means(rows, rule)
        less = {family: every[family] - plain[family] for family in every}
        harmed = np.mean([rule(row) < row["accuracy"][TUNED] - HARM for row in rows])
        figures += [
            f"{np.mean(list(every.values())):.3f}", f"{sum(value < -HARM for value in less.values())}",
            f"{100 * harmed:.0f}%", f"{100 * min(less.values()):+.1f}",
        ]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return "\n".join(lines)


def by_family(rows: Sequence[Record]) -> str:
    """A row for each family: the plain learners, and what `compare` does."""
    columns = {
        "`prototypes`": of(PROTOTYPES), "`linear-probe`": of(PROBE), "C by cross-validation": of(TUNED),
        "labels spread": of("spread, centred"), "**`compare`**": of(CHOSEN), "held out": of(CHOSEN, "held out"),
        "C by cross-validation, held out": of(TUNED, "held out"),
    }  # fmt: skip
    found = {name: means(rows, rule) for name, rule in columns.items()}
    lines = [f"| family | draws | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for family in sorted({row["family"] for row in rows}):
        draws_ = sum(row["family"] == family for row in rows)
        lines.append(f"| {family} | {draws_} | {' | '.join(f'{found[name][family]:.3f}' for name in columns)} |")
    ends = [f"{np.mean(list(found[name].values())):.3f}" for name in columns]
    lines.append(f"| **mean of families** | {len(rows)} | {' | '.join(ends)} |")
    return "\n".join(lines)


def left_in_turn(rows: Sequence[Record]) -> str:
    """Which rule is best on all families but one, and what that one reaches by it."""
    every = {name: means(rows, rule) for name, rule in RULES.items()}
    plain, families = means(rows, of(TUNED)), sorted({row["family"] for row in rows})
    picked, reached = Counter[str](), []
    for family in families:
        best = max(every, key=lambda name: np.mean([every[name][other] for other in families if other != family]))
        picked[best] += 1
        reached.append(every[best][family] - plain[family])
    of_them = len(families)
    told = "; ".join(f"{count} of {of_them} times {name.replace('*', '')}" for name, count in picked.most_common())
    return (
        f"Each family left out in turn, the best rule on the others is {told}. By the rule so found the one left out "
        f"is {100 * np.mean(reached):+.1f} points from logistic regression with C by cross-validation on the mean, and "
        f"above it in {sum(value > 0 for value in reached)} of {len(families)}."
    )


def with_fixmatch(rows: Sequence[Record]) -> str:
    """The choice by labels left out with `fixmatch` among the candidates, where that has run."""
    ran = [row for row in rows if "fixmatch" in row["accuracy"]]
    names = (PROTOTYPES, PROBE, "fixmatch")
    rules = {
        "`fixmatch`": of("fixmatch"), "the best of the three by the labels left out": by_labels(names),
        "`prototypes`": of(PROTOTYPES), "`linear-probe`": of(PROBE),
        "logistic regression, C by cross-validation": of(TUNED), "**what `compare` does**": of(CHOSEN),
    }  # fmt: skip
    lines = [f"| {ran[0]['shots']} labels a class, one draw of {len(ran)} families | accuracy |", "|---|---|"]
    lines += [f"| {name} | {np.mean(list(means(ran, rule).values())):.3f} |" for name, rule in rules.items()]
    return "\n".join(lines)


def tables(rows: Sequence[Record]) -> dict[str, str]:
    """What stands in docs/choosing-study.md, by the name of its place."""
    learnt = [row for row in rows if row["family"] in LEARNT_ON]
    fresh = [row for row in rows if row["family"] in KEPT_BACK]
    kept = [name for name in RULES if "self-training" not in name and "standardized" not in name]
    made = {"few labels": table(learnt, RULES), "few labels by family": by_family(learnt),
            "few labels left in turn": left_in_turn(learnt)}  # fmt: skip
    if fresh:
        made["few labels opened once"] = table(fresh, {name: RULES[name] for name in kept})
        made["few labels opened once by family"] = by_family(fresh)
    if any("fixmatch" in row["accuracy"] for row in learnt):
        made["few labels with fixmatch"] = with_fixmatch(learnt)
    return made
