"""What the choice without labels is worth, family by family: every rule is judged on families it did not learn from.

    python benchmarks/shifts/study.py collect     the figures of all cases that have run, into docs/choosing.json
    python benchmarks/shifts/study.py confirm     what is opened once: choosing-fresh-tables.json, choosing-large.json
    python benchmarks/shifts/study.py page        the tables of docs/choosing.md and docs/choosing-study.md, and the
                                                  constants of the estimate

A family is a kind of data; means are over families, so that none counts more for having more cases.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

Record = Mapping[str, Any]
DOCS = Path(__file__).resolve().parents[2] / "docs"
FILE, FRESH_FILE = DOCS / "choosing.json", DOCS / "choosing-fresh.json"
PAGE, STUDY_PAGE = DOCS / "choosing.md", DOCS / "choosing-study.md"
FRESH_TABLES_FILE, LARGE_FILE = DOCS / "choosing-fresh-tables.json", DOCS / "choosing-large.json"
NOTHING = "source-only"
HARM = 0.01
"""Points below doing nothing from which a choice did harm."""
ENCODED = {"pictures", "sentences", "sound"}
"""Tags of cases whose features a pretrained encoder made; all others are a user's own."""
BACK, AGREEMENT, RIGHT = "reverse validation by neighbours", "agreement", "source validation"
LEARNT = (BACK, "reverse validation", AGREEMENT, "ensemble validation", "information maximization",
          "neighbourhood density", "certainty", RIGHT, "embedded validation")  # fmt: skip
COVERAGE = 0.87
SHOTS = ("1", "3", "5")
"""Labels a class that were shown."""
FEWEST = (0, 4, 7, 9, 10, 13, 16, 20, 25)
"""Labels in all from which on they might be learnt from."""
THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(6, 18))


# -- from the runs -----------------------------------------------------------------------------------------


def collect(families: Collection[str], cache: Path | None = None) -> list[dict[str, Any]]:
    """One row for each case of some families that has run: what can be seen, and the truth."""
    from shifts.cases import root_of
    from shifts.run import runs

    rows = []
    for record in runs(cache):
        if record["family"] in families:
            with np.load(root_of(cache) / "runs" / f"{record['case']}.npz") as kept:
                p = kept[f"p {NOTHING}"].astype(np.float64)
            sure = float((p.max(axis=1) / p.sum(axis=1)).mean())
            rows.append(row_of(record) | {"sure": _short(sure)})
    return rows


def row_of(record: Record) -> dict[str, Any]:
    """The figures of a case that the study reads, to four digits."""
    kept = {key: record[key] for key in ("case", "family", "tags", "classes", "source", "target")}
    candidates = {
        key: {"accuracy": _short(row["accuracy"])}
        | {v: _short(row["validators"][v]) for v in LEARNT if v in row["validators"]}
        for key, row in record["candidates"].items()
    }
    shown = {shots: {arm: _short(value) for arm, value in arms.items()} for shots, arms in record["shown"].items()}
    return kept | {"unanimous": _short(record["unanimous"]), "candidates": candidates, "shown": shown}


def _short(value: float) -> float:
    return float(f"{value:.4g}")


# -- rules -------------------------------------------------------------------------------------------------


def accuracy(row: Record, candidate: str) -> float:
    """Of a candidate; of its default preset where a case has no second view."""
    found = row["candidates"]
    return float(found[candidate if candidate in found else candidate.partition(":")[0]]["accuracy"])


def consensus(row: Record) -> str:
    """What the consensus is called there."""
    return next(key for key in row["candidates"] if key.partition(":")[0] == "consensus")


def singles(row: Record) -> list[str]:
    """All candidates but the one that is made of others."""
    return [key for key in row["candidates"] if key != consensus(row)]


def own_features(row: Record) -> bool:
    """Whether the samples are features as a user gave them."""
    return not ENCODED & set(row["tags"])


def careful(row: Record, threshold: float) -> str:
    """The rule of `compare`: the consensus, but nothing where features of a user's own are good enough as they are.

    They are if source-only is right on held-out source samples and sure of the target's, on the mean of both.
    """
    if not own_features(row):
        return consensus(row)
    return NOTHING if (row["candidates"][NOTHING][RIGHT] + row["sure"]) / 2 >= threshold else consensus(row)


def without_labels(row: Record, shots: str) -> float:
    """What `compare` reaches without labels, on the samples that grade the choice with them."""
    from unseen.compare.choice import GOOD_ENOUGH

    return float(row["shown"][shots][NOTHING if careful(row, GOOD_ENOUGH) == NOTHING else "consensus without labels"])


def with_labels(row: Record, shots: str, fewest: int | None = None) -> float:
    """What `compare` reaches with labels: the consensus, unless source-only is good enough by what is seen and told.

    With fewer labels than `fewest`, and features of a pretrained encoder, it is the choice without labels.
    """
    from unseen.compare.choice import GOOD_ENOUGH
    from unseen.compare.consensus import FEWEST_LABELS

    if row["classes"] * int(shots) < (FEWEST_LABELS if fewest is None else fewest) and not own_features(row):
        return without_labels(row, shots)
    shown = row["shown"][shots]
    right = shown.get("labels right by source-only", 0.0)
    stay = careful(row, GOOD_ENOUGH) == NOTHING and right >= max(
        GOOD_ENOUGH, shown.get("labels right by consensus", 0.0)
    )
    return float(shown[NOTHING if stay else "consensus"])


def largest(validator: str) -> Callable[[Record], str]:
    """Choose by one validator among single candidates."""
    return lambda row: max(singles(row), key=lambda key: row["candidates"][key][validator])


def trees(rows: Sequence[Record], doubt: float = 0.0) -> list[str]:
    """Choices by 300 extra trees on values and ranks of nine validators, learnt on the other families.

    With `doubt`, nothing is done unless the gain that they foretell is larger.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    x, y, at = [], [], []
    for i, row in enumerate(rows):
        table = np.array([[row["candidates"][key][v] for v in LEARNT] for key in singles(row)])
        ranks = table.argsort(axis=0).argsort(axis=0) / max(len(table) - 1, 1)
        about = np.tile([math.log(row["classes"]), own_features(row)], (len(table), 1))
        x.append(np.hstack([table, ranks, table - table[singles(row).index(NOTHING)], about]))
        y += [accuracy(row, key) - accuracy(row, NOTHING) for key in singles(row)]
        at += [i] * len(table)
    features, gains, index = np.vstack(x), np.array(y), np.array(at)
    family = np.array([row["family"] for row in rows])
    weight = 1 / np.array([(family == name).sum() for name in family])
    chosen = [""] * len(rows)
    for name in sorted(set(family)):
        held = family[index] == name
        model = ExtraTreesRegressor(300, min_samples_leaf=5, max_features=0.3, random_state=0, n_jobs=-1)
        model.fit(features[~held], gains[~held], sample_weight=weight[index[~held]])
        foretold = model.predict(features[held])
        for i in np.flatnonzero(family == name):
            own = foretold[index[held] == i]
            chosen[i] = singles(rows[i])[int(own.argmax())] if own.max() > doubt else NOTHING
    return chosen


# -- judging -----------------------------------------------------------------------------------------------


def by_family(rows: Sequence[Record], values: Sequence[float] | NDArray[Any]) -> dict[str, float]:
    """Means of families."""
    families = sorted({row["family"] for row in rows})
    return {
        name: float(np.mean([value for row, value in zip(rows, values) if row["family"] == name])) for name in families
    }


def mean(rows: Sequence[Record], values: Sequence[float] | NDArray[Any]) -> float:
    """The mean over families."""
    return float(np.mean(list(by_family(rows, values).values())))


def threshold_left_out(rows: Sequence[Record]) -> dict[str, float]:
    """For each family, the threshold of care that is best on all others with harm in one of twenty cases at most."""
    floor = np.array([accuracy(row, NOTHING) for row in rows])
    reached = {t: np.array([accuracy(row, careful(row, t)) for row in rows]) for t in THRESHOLDS}
    found = {}
    for name in sorted({row["family"] for row in rows}):
        kept = [i for i, row in enumerate(rows) if row["family"] != name]
        others = [rows[i] for i in kept]
        score = {}
        for t, values in reached.items():
            harm = mean(others, (values < floor - HARM)[kept].astype(float))
            score[t] = (min(0.05 - harm, 0.0), mean(others, values[kept]))
        found[name] = max(score, key=lambda t: score[t])
    return found


def rules(rows: Sequence[Record]) -> dict[str, list[float]]:
    """Accuracy in every case by every rule."""
    from unseen.compare.choice import GOOD_ENOUGH

    left_out = threshold_left_out(rows)
    named: dict[str, list[str]] = {
        "nothing (source-only)": [NOTHING for _ in rows],
        "always `standardize`, both views": ["standardize:views" for _ in rows],
        "always `propagate`, both views": ["propagate:views" for _ in rows],
        "largest reverse validation by neighbours": list(map(largest(BACK), rows)),
        "largest agreement": list(map(largest(AGREEMENT), rows)),
        "extra trees on nine validators": trees(rows),
        "the same, in doubt nothing": trees(rows, 0.03),
        "**the consensus**": list(map(consensus, rows)),
        "**what `compare` does**": [careful(row, GOOD_ENOUGH) for row in rows],
        "the same, care learnt on the other families": [careful(row, left_out[row["family"]]) for row in rows],
    }
    found = {name: [accuracy(row, key) for row, key in zip(rows, keys)] for name, keys in named.items()}
    found["the best of four methods of SKADA, by the labels"] = [max(row["skada"].values()) for row in rows]
    found["the best single candidate, by the labels"] = [
        max(accuracy(row, key) for key in singles(row)) for row in rows
    ]
    return found


def rule_table(rows: Sequence[Record]) -> str:
    """Rules, a line each."""
    floor = np.array([accuracy(row, NOTHING) for row in rows])
    encoded = [i for i, row in enumerate(rows) if not own_features(row)]
    lines = ["| rule | accuracy | of encoded data | harm | worst | behind the best |", "|---|---|---|---|---|---|"]
    found = rules(rows)
    best = np.array(found["the best single candidate, by the labels"])
    for name, values in found.items():
        reached = np.array(values)
        harm = mean(rows, (reached < floor - HARM).astype(float))
        lines.append(
            f"| {name} | {mean(rows, reached):.3f} | {mean([rows[i] for i in encoded], reached[encoded]):.3f} "
            f"| {harm:.0%} | {100 * (reached - floor).min():+.1f} | {100 * mean(rows, best - reached):.1f} |"
        )
    return "\n".join(lines)


def by_arm(rows: Sequence[Record]) -> tuple[list[float], list[float], list[float]]:
    """Accuracies in every case: of doing nothing, of what is chosen, and of the best single candidate."""
    from unseen.compare.choice import GOOD_ENOUGH

    floor = [accuracy(row, NOTHING) for row in rows]
    chosen = [accuracy(row, careful(row, GOOD_ENOUGH)) for row in rows]
    return floor, chosen, [max(accuracy(row, key) for key in singles(row)) for row in rows]


def family_table(rows: Sequence[Record]) -> str:
    """Families, a line each."""
    fit = estimates(rows)
    lines = [
        "| family | cases | source-only | SKADA, by labels | chosen | best single | harm | estimate off by | held |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    floor, chosen, best = by_arm(rows)
    harm = [float(a < b - HARM) for a, b in zip(chosen, floor)]
    theirs = [max(row["skada"].values()) for row in rows]
    columns = [by_family(rows, values) for values in (floor, theirs, chosen, best, harm, fit["off"], fit["held"])]
    for name in columns[0]:
        a, b, c, d, e, f, g = (column[name] for column in columns)
        cases = sum(row["family"] == name for row in rows)
        figures = f"{a:.3f} | {b:.3f} | {c:.3f} | {d:.3f} | {e:.0%} | {100 * f:.0f} | {g:.0%}"
        lines.append(f"| {name} | {cases} | {figures} |")
    return "\n".join(lines)


def beside_others(rows: Sequence[Record]) -> str:
    """In how many families the choice is above SKADA's best of four, and where it is not."""
    from unseen.compare.choice import GOOD_ENOUGH

    ours = by_family(rows, [accuracy(row, careful(row, GOOD_ENOUGH)) for row in rows])
    theirs = by_family(rows, [max(row["skada"].values()) for row in rows])
    behind = [f"{name} ({ours[name]:.3f} to {theirs[name]:.3f})" for name in ours if ours[name] < theirs[name]]
    return (
        f"Above SKADA's best of four in {len(ours) - len(behind)} of {len(ours)} families, and behind it in "
        f"{len(behind)}: {', '.join(behind)}."
    )


def narrow(rows: Sequence[Record]) -> str:
    """The families whose accuracies the interval held least often."""
    held = by_family(rows, estimates(rows)["held"])
    seldom = sorted((name for name in held if held[name] < 0.8), key=lambda name: held[name])
    told = ", ".join(f"{name} {held[name]:.0%}" for name in seldom)
    return f"It held in fewer than 80 % of the cases of {len(seldom)} of {len(held)} families: {told}."


# -- the estimate ------------------------------------------------------------------------------------------


def estimates(rows: Sequence[Record]) -> dict[str, Any]:
    """The line from agreement to accuracy, how far it is off, and its intervals, each family left out in turn."""
    from unseen.compare.choice import GOOD_ENOUGH

    x = np.sqrt([row["unanimous"] for row in rows])
    y = np.array([accuracy(row, careful(row, GOOD_ENOUGH)) for row in rows])
    family, own = np.array([row["family"] for row in rows]), np.array([own_features(row) for row in rows])
    weight = 1 / np.array([(family == name).sum() for name in family])
    off = np.abs(foretold(x[:, None], y, family) - y)
    held_in = np.zeros(len(rows))
    for name in sorted(set(family)):
        inside = family == name
        like = ~inside & (own == own[inside][0])
        held_in[inside] = off[inside] <= _quantile(off[like], weight[like])
    slope, start = np.polyfit(x, y, 1, w=np.sqrt(weight))
    return {
        "start": float(start),
        "slope": float(slope),
        "off": off,
        "held": held_in,
        "errors": {kind: _quantile(off[own == kind], weight[own == kind]) for kind in (True, False)},
        "measured": {
            kind: mean([row for row in rows if own_features(row) == kind], held_in[own == kind])
            for kind in (True, False)
        },
    }


def foretold(x: NDArray[Any], y: NDArray[Any], family: NDArray[Any], penalty: float = 1e-9) -> NDArray[Any]:
    """Accuracies (n,) in [0, 1] by ridge regression on x (n, d), of families that it did not learn from."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    weight = 1 / np.array([(family == name).sum() for name in family])
    found = np.zeros(len(y))
    for name in set(family):
        held = family == name
        line = make_pipeline(StandardScaler(), Ridge(penalty))
        line.fit(x[~held], y[~held], ridge__sample_weight=weight[~held], standardscaler__sample_weight=weight[~held])
        found[held] = np.clip(line.predict(x[held]), 0, 1)
    return found


def beside_table(rows: Sequence[Record]) -> str:
    """How far the estimate is off where it also reads something else: a line by each, and ridge on all together."""
    from unseen.compare.choice import GOOD_ENOUGH

    y = np.array([accuracy(row, careful(row, GOOD_ENOUGH)) for row in rows])
    family = np.array([row["family"] for row in rows])
    unanimous = np.sqrt([row["unanimous"] for row in rows])
    validators = [v for v in LEARNT if all(v in row["candidates"][consensus(row)] for row in rows)]
    others = {f"{v} of the consensus": [row["candidates"][consensus(row)][v] for row in rows] for v in validators}
    others |= {f"{v} of `source-only`": [row["candidates"][NOTHING][v] for row in rows] for v in LEARNT}
    others["the number of classes (logarithm)"] = [math.log(row["classes"]) for row in rows]

    def off(columns: Sequence[Any], penalty: float = 1e-9) -> float:
        return 100 * mean(rows, np.abs(foretold(np.column_stack(columns), y, family, penalty) - y))

    each = {name: off([unanimous, values]) for name, values in others.items()}
    names = sorted(each, key=lambda name: each[name])
    together = min(off([unanimous, *others.values()], penalty) for penalty in (0.01, 0.1, 1.0, 10.0))
    lines = ["| the estimate reads | off by, mean |", "|---|---|"]
    lines += [f"| the share that all agree on | {off([unanimous]):.1f} |"]
    lines += [f"| and {name} | {each[name]:.1f} |" for name in (*names[:2], names[len(names) // 2], names[-1])]
    lines += [f"| and all {len(others)} that were tried, by ridge regression (the best of four) | {together:.1f} |"]
    return "\n".join(lines)


def _quantile(values: NDArray[Any], weight: NDArray[Any]) -> float:
    """What the share `COVERAGE` of the values stays below, by weight."""
    order = np.argsort(values)
    reached = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][np.searchsorted(reached, COVERAGE)])


def estimate_table(rows: Sequence[Record]) -> str:
    """The estimate, by who made the features."""
    fit = estimates(rows)
    lines = ["| features | off by, mean | interval | held, of families left out |", "|---|---|---|---|"]
    for kind, name in ((False, "of a pretrained encoder"), (True, "a user's own")):
        at = [i for i, row in enumerate(rows) if own_features(row) == kind]
        off = mean([rows[i] for i in at], fit["off"][at])
        lines.append(f"| {name} | {100 * off:.1f} | ± {100 * fit['errors'][kind]:.0f} | {fit['measured'][kind]:.0%} |")
    return "\n".join(lines)


def shown_with(rows: Sequence[Record], shots: str) -> list[Record]:
    """The cases that have enough samples for so many labels."""
    return [row for row in rows if shots in row["shown"]]


def fewest_left_out(rows: Sequence[Record]) -> dict[str, int]:
    """For each family, the fewest labels to be learnt from that are best on the mean of all others."""
    found = {}
    for name in sorted({row["family"] for row in rows}):
        others = [row for row in rows if row["family"] != name]
        reached = {
            fewest: sum(
                mean(have, [with_labels(row, shots, fewest) for row in have])
                for shots in SHOTS
                for have in [shown_with(others, shots)]
            )
            for fewest in FEWEST
        }
        found[name] = max(reached, key=lambda fewest: reached[fewest])
    return found


def gain_table(rows: Sequence[Record]) -> str:
    """What labels add to the choice without them, in points: families, a line each, and how often they harm.

    The last lines are what it was where all labels are learnt from, and where their fewest are those of other families.
    """
    left_out = fewest_left_out(rows)
    rules: dict[str, Callable[[Record, str], float]] = {
        "": with_labels,
        ", if all labels are learnt from": lambda row, shots: with_labels(row, shots, 0),
        ", if how few is too few is learnt on the other families": lambda row, shots: with_labels(
            row, shots, left_out[row["family"]]
        ),
    }
    lines = ["| family | 1 a class | 3 | 5 |", "|---|---|---|---|"]
    columns: dict[str, list[dict[str, float]]] = {}
    for told, rule in rules.items():
        for shots in SHOTS:
            have = shown_with(rows, shots)
            gain = np.array([rule(row, shots) - without_labels(row, shots) for row in have])
            families = by_family(have, gain)
            harmed = gain < -HARM
            families["**mean of families**"] = mean(have, gain)
            families["cases more than a point below"] = int(harmed.sum()) / 100
            families["of so many"] = len(have) / 100
            families["the lowest"] = float(gain.min())
            columns.setdefault(told, []).append(families)
    counted = ("cases more than a point below", "of so many")
    for told, found in columns.items():
        for name in found[0]:
            if told and not (name.startswith("**") or name == counted[0]):
                continue
            form = "{:.0f}" if name in counted else "{:+.1f}"
            cells = " | ".join(form.format(100 * column[name]) for column in found)
            lines.append(f"| {name}{told} | {cells} |")
    return "\n".join(lines)


def spreads(rows: Sequence[Record], validator: str) -> tuple[float, float]:
    """How far a validator is off from the accuracy of single candidates, and that less what all of a case share.

    Both are roots of the mean over families of squares.
    """
    errors = [[row["candidates"][key][validator] - accuracy(row, key) for key in singles(row)] for row in rows]
    whole, inner = (
        [float(measure(error)) for error in errors] for measure in (lambda e: np.mean(np.square(e)), np.var)
    )
    return math.sqrt(mean(rows, whole)), math.sqrt(mean(rows, inner))


def spread_table(rows: Sequence[Record]) -> str:
    """Validators that promise an accuracy, by whose features they judge."""
    lines = ["| | all | features of a pretrained encoder | a user's own | without what all candidates share |"]
    lines.append("|---" * 5 + "|")
    parts = [rows, *([row for row in rows if own_features(row) == kind] for kind in (False, True))]
    for validator in ("reverse validation", BACK, AGREEMENT, RIGHT):
        told = " | ".join(f"{100 * spreads(part, validator)[0]:.0f}" for part in parts)
        lines.append(f"| {validator} | {told} | {100 * spreads(rows, validator)[1]:.0f} |")
    return "\n".join(lines)


def label_table(rows: Sequence[Record]) -> str:
    """With labels of the target: the consensus that learns from them, and simple rivals."""
    arms = {
        "source-only": "source-only",
        "linear-probe": "the labels alone (`linear-probe`)",
        "source and support": "logistic regression on source and labels, each domain standardized, both views",
        "consensus without labels": "the consensus without them",
        "consensus": "the consensus with them",
    }
    lines = ["| | 1 a class | 3 | 5 |", "|---|---|---|---|"]
    for arm, told in arms.items():
        cells = []
        for shots in SHOTS:
            have = shown_with(rows, shots)
            cells.append(f"{mean(have, [row['shown'][shots][arm] for row in have]):.3f}")
        lines.append(f"| {told} | " + " | ".join(cells) + " |")
    cells = []
    for shots in SHOTS:
        have = shown_with(rows, shots)
        cells.append(f"{mean(have, [with_labels(row, shots) for row in have]):.3f}")
    lines.append("| **what `compare` does** | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def confirmation_table(rows: Sequence[Record], known: Sequence[Record]) -> str:
    """Families that were opened once: what was learnt from the `known` ones, beside rules that learn nothing."""
    from unseen.compare.choice import GOOD_ENOUGH

    chosen = {
        "source-only": [NOTHING for _ in rows],
        "always `standardize`": ["standardize:views" for _ in rows],
        "always `propagate`": ["propagate:views" for _ in rows],
        "reverse validation": list(map(largest(BACK), rows)),
        "agreement": list(map(largest(AGREEMENT), rows)),
        "**what `compare` does**": [careful(row, GOOD_ENOUGH) for row in rows],
    }
    reached = {name: np.array([accuracy(row, key) for row, key in zip(rows, keys)]) for name, keys in chosen.items()}
    reached["best single"] = np.array([max(accuracy(row, key) for key in singles(row)) for row in rows])
    ours, floor = reached["**what `compare` does**"], reached["source-only"]
    line = estimates(known)
    off = np.abs(np.minimum(1, line["start"] + line["slope"] * np.sqrt([row["unanimous"] for row in rows])) - ours)
    inside = off <= [line["errors"][own_features(row)] for row in rows]
    head = ["family", "cases", *reached, "harm", "estimate off by", "held"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name in [*sorted({row["family"] for row in rows}), "**mean of families**"]:
        at = [i for i, row in enumerate(rows) if name in (row["family"], "**mean of families**")]
        some = [rows[i] for i in at]
        cells = [f"{mean(some, values[at]):.3f}" for values in reached.values()]
        harm, wrong, held = (mean(some, values[at]) for values in ((ours < floor - HARM) * 1.0, off, inside * 1.0))
        cells += [f"{harm:.0%}", f"{100 * wrong:.0f}", f"{held:.0%}"]
        lines.append(f"| {name} | {len(at)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def tables(
    rows: Sequence[Record], fresh: Sequence[Record], confirming: Sequence[Record], large: Sequence[Record]
) -> dict[str, str]:
    """The tables of both pages, by the name of their place; the estimate is learnt from all but what confirms it.

    The first confirmation stands on the page as it came out: the rule of care and the line were other ones then.
    """
    return {
        "confirmation of tables": confirmation_table(confirming, [*rows, *fresh]),
        "confirmation at scale": confirmation_table(large, [*rows, *fresh]),
        "labels at scale": label_table(large),
        "labels of fresh": label_table(fresh),
        "rules": rule_table(rows),
        "families": family_table(rows),
        "beside others": beside_others(rows),
        "narrow": narrow(rows),
        "estimate": estimate_table([*rows, *fresh]),
        "beside": beside_table([*rows, *fresh]),
        "labels": label_table(rows),
        "gain of labels": gain_table(rows),
        "spread": spread_table([*rows, *fresh]),
    }


OPENED = {
    "confirmation": "encoded data",
    "confirmation of tables": "tables",
    "confirmation at scale": "460 to 4,000 samples a side",
}
"""Tables of data that were opened once, and what these are."""


def opened_once(page: str) -> str:
    """The means of the tables of data that were opened once, as they stand in the page of the study."""
    lines: list[str] = []
    for name, what in OPENED.items():
        head, rule, *rows, mean_row = table_in(page, name).splitlines()
        lines = lines or [head.replace("family", "data", 1), rule]
        lines.append(mean_row.replace("**mean of families**", f"{what}, {len(rows)} families", 1))
    return "\n".join(lines)


def table_in(page: str, name: str) -> str:
    """What stands in a page under the name of a place."""
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", page, flags=re.S)
    if found is None:
        raise ValueError(f"page has no place called {name!r}")
    return found[1]


def filled(page: str, made: Mapping[str, str]) -> str:
    """A page with the tables in their places, as far as it has these."""
    for name, table in made.items():
        page = re.sub(rf"<!-- {name} -->\n.*?<!-- end -->", f"<!-- {name} -->\n{table}\n<!-- end -->", page, flags=re.S)
    return page


def main() -> None:
    """Collect, or make the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("collect", "confirm", "page"))
    parser.add_argument("--cache", type=Path, default=None)
    asked = parser.parse_args()
    from shifts.cases import FAMILIES, FRESH_TABLES, LARGE
    from shifts.picture import draw

    if asked.what == "collect":
        before = {row["case"]: row for row in json.loads(FILE.read_text(encoding="utf-8"))} if FILE.exists() else {}
        rows = [row | {key: before[row["case"]][key] for key in ("skada",) if key in before.get(row["case"], {})}
                for row in collect(FAMILIES, asked.cache)]  # fmt: skip
        FILE.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", encoding="utf-8")
        print(f"{len(rows)} cases")
        return
    if asked.what == "confirm":
        for file, families in ((FRESH_TABLES_FILE, FRESH_TABLES), (LARGE_FILE, LARGE)):
            if file.exists():
                print(f"{file.name} is there: what was opened confirms nothing a second time")
                continue
            opened = collect(families, asked.cache)
            file.write_text("[\n" + ",\n".join(json.dumps(row) for row in opened) + "\n]\n", encoding="utf-8")
            print(f"{len(opened)} cases are opened, once")
        return
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    fresh = json.loads(FRESH_FILE.read_text(encoding="utf-8"))
    confirming, large = (json.loads(file.read_text(encoding="utf-8")) for file in (FRESH_TABLES_FILE, LARGE_FILE))
    made = tables(rows, fresh, confirming, large)
    behind = filled(STUDY_PAGE.read_text(encoding="utf-8"), made)
    STUDY_PAGE.write_text(behind, encoding="utf-8")
    PAGE.write_text(
        filled(PAGE.read_text(encoding="utf-8"), made | {"opened once": opened_once(behind)}), encoding="utf-8"
    )
    arms = [by_family(rows, values) for values in by_arm(rows)]
    draw({name: (arms[0][name], arms[1][name], arms[2][name]) for name in arms[0]}, DOCS / "images" / "choosing.svg")
    fit = estimates([*rows, *fresh])
    print({key: fit[key] for key in ("start", "slope", "errors", "measured")})
    print(threshold_left_out(rows))
    print(fewest_left_out(rows))


if __name__ == "__main__":
    main()
