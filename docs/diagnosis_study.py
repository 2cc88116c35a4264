"""The tables of trust.md on the diagnosis: how right its figures and its sentences are on the benchmark of shifts.

    python docs/diagnosis_study.py measure    class shares of the cases in the cache, into diagnosis.json; some minutes
    python docs/diagnosis_study.py            both tables

Cases are made by `benchmarks/shifts/cases.py --make`. What methods gained is on record in `unseen.precedents`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "benchmarks"))

from unseen.diagnosis.reading import APART, FAR, LOST, SAME, WON_BACK  # noqa: E402
from unseen.precedents.nearest import FLOOR, Precedent, recorded  # noqa: E402

FILE = DOCS / "diagnosis.json"
METHODS = ("standardize", "coral", "shot", "propagate")
NEAR = 0.1
"""Total variation up to which estimated class shares count as right."""

Figures = Mapping[str, float]
SENTENCES: dict[str, Callable[[Figures], bool]] = {
    "told apart: AUC below 0.6": lambda s: _auc(s) < SAME,
    "told apart: AUC 0.6 to 0.9": lambda s: SAME <= _auc(s) < APART,
    "told apart: AUC 0.9 and more": lambda s: _auc(s) >= APART,
    "the average moves by less than half": lambda s: s.get("gap", 0.0) < FAR,
    "the average moves by half and more": lambda s: s.get("gap", 0.0) >= FAR,
    "aligning wins neighbours back": lambda s: _wins_back(s),
    "neighbours are lost, aligning does not help": lambda s: not _wins_back(s) and _lost(s),
    "neighbours as in the source": lambda s: not _wins_back(s) and not _lost(s),
}
"""What `unseen.diagnosis.reading` says, by the figures of a profile that decide it."""


def _auc(shift: Figures) -> float:
    return (1 + shift["separability"]) / 2


def _wins_back(shift: Figures) -> bool:
    return shift["aligned"] - shift["consistency"] > WON_BACK


def _lost(shift: Figures) -> bool:
    return 1 - max(shift["aligned"], shift["consistency"]) > LOST


def pairs() -> list[tuple[str, Precedent]]:
    """Every case of the benchmark as it is on record, with its family."""
    families = {row["case"]: row["family"] for row in json.loads((DOCS / "choosing.json").read_text())}
    return [(families[run.name], run) for run in recorded() if run.name in families]


def gained(run: Precedent, name: str) -> float:
    """Accuracy above doing nothing."""
    return run.scores[name] - run.scores[FLOOR]


class Gains(NamedTuple):
    """What methods gained where a sentence was said.

    Attributes
    ----------
    pairs, families : int
    by_method : mapping
        The mean gain over families, and the share of pairs that lost more than a point.
    """

    pairs: int
    families: int
    by_method: Mapping[str, tuple[float, float]]


def gains(without: str | None = None) -> dict[str, Gains]:
    """What methods gained, by sentence; a family may be left out, to see what rests on it alone."""
    every, out = [(family, run) for family, run in pairs() if family != without], {}
    for sentence, holds in SENTENCES.items():
        runs = [(family, run) for family, run in every if holds(run.profile.shift)]
        families = {family for family, _ in runs}
        by_method = {}
        for method in (*METHODS, "what compare chooses"):
            gain = [(family, gained(run, run.chosen if method not in METHODS else method)) for family, run in runs]
            by_family = [np.mean([g for f, g in gain if f == family]) for family in families]
            by_method[method] = float(np.mean(by_family)), float(np.mean([g < -0.01 for _, g in gain]))
        out[sentence] = Gains(len(runs), len(families), by_method)
    return out


def table_of_gains() -> list[str]:
    """Points gained in the mean of families, and in brackets the share of pairs that lost more than a point."""
    rows = [
        f"| what is said | pairs (families) | {' | '.join((*METHODS, 'what `compare` chooses'))} |",
        "|---|---|" + "---|" * 5,
    ]
    for sentence, gain in gains().items():
        cells = [f"{100 * mean:+.1f} ({100 * harm:.0f} %)" for mean, harm in gain.by_method.values()]
        rows.append(f"| {sentence} | {gain.pairs} ({gain.families}) | {' | '.join(cells)} |")
    return rows


# -- class shares ------------------------------------------------------------------------------------------


def measure() -> None:
    """Write what is estimated of class shares, and what is true, for every case in the cache."""
    from shifts.cases import FAMILIES, load, names

    from unseen.diagnosis.label_shift import label_shift, total_variation

    rows = []
    for family in FAMILIES:
        for name in names(family):
            case = load(name)
            a, b = (np.asarray(domain.x, dtype=np.float32) for domain in (case.source, case.target))
            y, truth, classes = case.source.labels, case.target.labels, len(case.source.classes or ())
            found = label_shift(a, y, b, classes)
            if found is None:
                continue
            true = total_variation(*(np.bincount(of, minlength=classes) / len(of) for of in (y, truth)))
            told = {key: value for key, value in found.to_json(()).items() if key != "classes"}
            rows.append({"case": name, "family": family, "true": true, **told})
            print(name, flush=True)
    lines = ",\n".join(json.dumps(row) for row in rounded(rows))
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def rounded(value: Any) -> Any:
    """Numbers to four digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def table_of_shares() -> list[str]:
    """How far estimated differences of class shares are from the true ones, where they are shown and where not."""
    from unseen.diagnosis.reading import shares_count

    rows = [
        "| class shares | pairs (families) | right within ten points | error in the mean | at most |",
        "|---|---|---|---|---|",
    ]
    known = json.loads(FILE.read_text(encoding="utf-8"))
    for title, shown in (("shown", True), ("not shown", False)):
        of = [row for row in known if shares_count(row) is shown]
        off = np.abs([row["total_variation"]["mlls"] - row["true"] for row in of])
        rows.append(
            f"| {title} | {len(of)} ({len({row['family'] for row in of})}) | {(off <= NEAR).sum()} | {off.mean():.2f} "
            f"| {off.max():.2f} |"
        )
    return rows


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        measure()
    else:
        print("\n".join([*table_of_gains(), "", *table_of_shares()]))
