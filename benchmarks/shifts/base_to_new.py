"""What the choice is worth where half of the classes have no labelled sample, each half told among itself.

    python benchmarks/shifts/base_to_new.py run     every case as a user would ask for it, into docs/base-to-new.json
    python benchmarks/shifts/base_to_new.py page    the table of docs/zero-shot.md

Pictures of one kind with labels of every second class, pictures of another kind of all classes, names as they are
(`lite-clip`, no prompts), everything else as it comes. The protocol is that by which learners of prompts are graded.
Means are over families, so that none counts more for having more cases.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import unseen
from shifts.case import Case
from shifts.pictures import emoji_disjoint, emoji_groups, furniture_makers, photo_to_drawing
from shifts.study import filled, mean
from unseen.runtime import track

Record = dict[str, Any]
DOCS = Path(__file__).resolve().parents[2] / "docs"
FILE, PAGE = DOCS / "base-to-new.json", DOCS / "zero-shot.md"
CASES: dict[Callable[[], Iterator[Case]], tuple[int, ...]] = {
    emoji_groups: (0, 3), photo_to_drawing: (0, 1, 2, 4), furniture_makers: (0, 1, 2, 3), emoji_disjoint: (0, 1, 4, 7),
}  # fmt: skip
"""Families, and which of their cases: ordered pairs as they are, none with classes or samples left out."""
ALWAYS = ("describe", "self-train-names", "propagate-names", "coop:generalized", "ogen:generalized",
          "adaptclipzs:generalized")  # fmt: skip
SCORES = (
    "class-wise validation on each side",
    "class-wise validation",
    "source validation",
    "information maximization",
)


def cases() -> Iterator[tuple[Case, int]]:
    """Each case, and whether its even or its odd classes have labels: the two take turns."""
    for made, places in CASES.items():
        chosen = [case for place, case in enumerate(itertools.islice(made(), max(places) + 1)) if place in places]
        yield from ((case, turn % 2) for turn, case in enumerate(chosen))


def name_of(case: Case) -> str:
    """Of a case."""
    return f"{case.family}: {case.source.name} to {case.target.name}"


def row_of(case: Case, turn: int) -> Record:
    """H of every candidate, what label-free scores say of it, and which one was chosen."""
    assert case.source.classes is not None
    names = case.source.classes.names
    base = np.flatnonzero(case.source.labels % 2 == turn)
    results = unseen.compare(
        source=case.source.take(base), target=case.target, classes=list(names), encoder="lite-clip",
        protocol="base-to-new",
    ).results  # fmt: skip
    rows = {row["name"]: row for row in results["candidates"]}
    return {
        "family": "emoji" if case.family.startswith("emoji") else case.family,
        "case": name_of(case),
        "base": len(names[turn::2]),
        "new": len(names) - len(names[turn::2]),
        "chosen": results["chosen"]["name"],
        "h": {name: round(row["metrics"]["adapted"]["h"]["mean"], 4) for name, row in rows.items()},
        "scores": {
            score: {name: round(row["validators"][score]["mean"], 4) for name, row in rows.items()} for score in SCORES
        },
    }


def run() -> None:
    """All cases; those that are there stay."""
    rows: list[Record] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else []
    known = {row["case"] for row in rows}
    for case, turn in track(list(cases()), "cases"):
        if name_of(case) not in known:
            rows.append(row_of(case, turn))
            FILE.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")


def rules(rows: Sequence[Record]) -> dict[str, list[float]]:
    """H of what each rule takes, case by case."""
    taken = {"**what `compare` does**": [row["h"][row["chosen"]] for row in rows]}
    taken |= {f"always `{name}`": [row["h"][name] for row in rows] for name in ALWAYS}
    for score in SCORES:
        best = [max(row["scores"][score], key=row["scores"][score].__getitem__) for row in rows]
        taken[f"largest {score}"] = [row["h"][name] for row, name in zip(rows, best)]
    taken["a candidate at random (mean)"] = [float(np.mean(list(row["h"].values()))) for row in rows]
    return taken | {"the best candidate, by the labels": [max(row["h"].values()) for row in rows]}


def table(rows: Sequence[Record]) -> str:
    """Markdown: H, how far below the best, and how often and far below names alone."""
    taken = rules(rows)
    best, names = (np.array(taken[key]) for key in ("the best candidate, by the labels", "always `describe`"))
    lines = ["| rule | H | behind the best | below names alone | lowest |", "|---|---|---|---|---|"]
    for rule, values in taken.items():
        gain = np.array(values) - names
        lines.append(
            f"| {rule} | {mean(rows, values):.3f} | {100 * mean(rows, best - values):.1f} "
            f"| {int((gain < -0.01).sum())} of {len(rows)} | {100 * gain.min():+.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the cases, or write the page."""
    if sys.argv[1:] == ["run"]:
        run()
    elif sys.argv[1:] == ["page"]:
        made = table(json.loads(FILE.read_text(encoding="utf-8")))
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), {"base to new": made}), encoding="utf-8")
        print(made)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
