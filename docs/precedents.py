"""Make src/unseen/precedents/runs.json, the runs that `unseen recommend` knows, and judge what following them gives.

    python docs/precedents.py study --features DIR --abstracts DIR
                                                      profiles of the cases of choice_study.json, with their scores
    python docs/precedents.py runs                    comparisons with a few labels, and with classes never seen
    python docs/precedents.py judge                   following the nearest other runs, beside other rules

The folders are those of choice_study.py. Each adds the runs that the file lacks, in a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from choice_study import DOCS, Case, chosen, development, judging, replaced, rules, tables_of_development

import unseen
from unseen.compare.inputs import prepare
from unseen.compare.results import situation
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.sources import emoji
from unseen.diagnosis import diagnose
from unseen.precedents import Precedent, gains, nearest, of_run, profile, recorded

FILE = DOCS.parent / "src" / "unseen" / "precedents" / "runs.json"
TABLES = ("Office-Caltech", "IMDb", "spam", "digits", "measurements", "abstracts")
"""Parts of the study whose features were not made of pictures."""
PAIRS = (("noto", "openmoji"), ("openmoji", "twemoji"), ("twemoji", "fluent-emoji-flat"), ("fxemoji", "noto-v1"))


def add(made: Precedent) -> None:
    """Put a run into the file, unless one of its name is there."""
    rows = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else []
    if made.name not in {row["name"] for row in rows}:
        replaced(FILE, json.dumps([*rows, made.to_json()], indent=1, ensure_ascii=False) + "\n")
        print(made.name, flush=True)


def have(name: str) -> bool:
    """Whether the file has a run of this name."""
    return FILE.exists() and any(row["name"] == name for row in json.loads(FILE.read_text(encoding="utf-8")))


# -- the runs ----------------------------------------------------------------------------------------------


def study(features: Path | None, abstracts: Path | None) -> None:
    """The cases of the study of choices: their scores are known, their profiles are measured here."""
    scored = {row["name"]: row for row in json.loads((DOCS / "choice_study.json").read_text(encoding="utf-8"))}
    rule = next(iter(rules().values()))
    for case in itertools.chain(tables_of_development(abstracts), judging(features), development()):
        if case.name not in scored or have(case.name):
            continue
        inputs = prepare(source=case.source, target=case.target)
        found = diagnose(inputs)
        told = situation(inputs, "exam") | {"diagnosis": None if found is None else found.to_json()}
        for given in told["given"].values():
            given["kind"] = "features" if case.part in TABLES else "image"  # encoded beforehand
        row = scored[case.name]
        scores = {name: candidate["accuracy"] for name, candidate in row["candidates"].items()}
        add(
            Precedent(name=case.name, profile=profile(told), metric="accuracy", scores=scores, chosen=chosen(row, rule))
        )


def runs() -> None:
    """Comparisons with a tenth of the target's labels, and with unseen classes that are described by their names."""
    for source, target in PAIRS:
        name = f"a tenth of the labels: {source} to {target}"
        if not have(name):
            add(
                of_run(
                    unseen.compare(source=emoji(source), target=emoji(target), labels="split:0.1", seeds=1).results,
                    name,
                )
            )
    for (source, target), number in itertools.product(PAIRS, (50, 200)):
        name = f"{number} classes, a fifth unseen: {source} to {target}"
        if not have(name):
            case, classes = described(source, target, number)
            run = unseen.compare(source=case.source, target=case.target, classes=classes, seeds=1)
            add(of_run(run.results, name))


def described(source: str, target: str, number: int) -> tuple[Case, ClassSpace]:
    """Emoji as classes, by name; the source lacks a fifth of them, the target has all."""
    domains = [emoji(style, level="emoji") for style in (source, target)]
    shared = sorted(set(domains[0].classes.names) & set(domains[1].classes.names))  # type: ignore[union-attr]
    names = np.random.default_rng(0).permutation(shared)[:number].tolist()
    space = ClassSpace(names=tuple(names))
    parts = [of_names(domain, names, space) for domain in domains]
    return Case("unseen", parts[0].take(parts[0].labels < 4 * number // 5), parts[1]), space


def of_names(domain: Domain, names: Sequence[str], space: ClassSpace) -> Domain:
    """The samples of some classes."""
    place = {name: i for i, name in enumerate(names)}
    own = np.array([place.get(domain.classes.names[label], -1) for label in domain.labels])  # type: ignore[union-attr]
    return domain.take(own >= 0).with_labels(own[own >= 0], space)


# -- what following them gives -----------------------------------------------------------------------------


def judge() -> None:
    """Each run against all runs that share neither source nor target with it."""
    known = recorded()
    strategies: dict[str, Callable[[Precedent, Sequence[Precedent]], str]] = {
        "best in the five nearest other runs": lambda one, others: followed(one, others, 5),
        "best in all other runs": lambda one, others: followed(one, others, len(others)),
        "source-only": lambda one, others: "source-only",
        "chosen by compare, on the data itself": lambda one, others: one.chosen,
    }
    for label, strategy in strategies.items():
        rows = []
        for one in known:
            others = [other for other in known if apart(one.name, other.name)]
            got, floor = one.scores[strategy(one, others)], one.scores["source-only"]
            rows.append((got, max(one.scores.values()) - got, got - floor))
        score, regret, gain = np.array(rows).T
        print(
            f"{label}: {score.mean():.3f}, regret {regret.mean():.3f}, worst {gain.min():+.3f}, "
            f"harm {(gain < -0.01).mean():.3f} of {len(rows)}"
        )


def followed(one: Precedent, others: Sequence[Precedent], k: int) -> str:
    """The candidate with the largest mean gain in the nearest runs, of those that this run has."""
    return next(name for name in gains(nearest(one.profile, others, k)) if name in one.scores)


def apart(name: str, other: str) -> bool:
    """Whether two runs share no domain."""
    domains = [set(run.rpartition(": ")[2].split(" to ")) for run in (name, other)]
    return domains[0].isdisjoint(domains[1])


def main() -> None:
    """Make the runs, or judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["study", "runs", "judge"])
    for name in ("--features", "--abstracts"):
        parser.add_argument(name, type=Path, help="folder, as of choice_study.py")
    given: Any = parser.parse_args()
    if given.what == "judge":
        judge()
    else:
        study(given.features, given.abstracts) if given.what == "study" else runs()


if __name__ == "__main__":
    main()
