"""Make src/unseen/precedents/runs.json, the runs that `unseen recommend` knows, and judge what following them gives.

    python docs/precedents.py shifts    profiles of the cases of benchmarks/shifts, with the scores of choosing.json
    python docs/precedents.py runs      comparisons with a few labels, and with classes never seen
    python docs/precedents.py judge     following the nearest runs of other families, beside other rules

The first two add the runs that the file lacks, in a quarter of an hour each on two cores.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from study_pages import DOCS, replaced

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from shifts.cases import load
from shifts.run import inputs_of
from shifts.study import careful

import unseen
from unseen.compare.choice import GOOD_ENOUGH
from unseen.compare.results import situation
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.sources import emoji
from unseen.diagnosis import diagnose
from unseen.precedents import Precedent, gains, nearest, of_run, profile, recorded
from unseen.runtime import limited_threads

FILE = DOCS.parent / "src" / "unseen" / "precedents" / "runs.json"
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


def shifts() -> None:
    """The cases of the benchmark: their scores are known, their profiles are measured here."""
    rechosen()
    for row in json.loads((DOCS / "choosing.json").read_text(encoding="utf-8")):
        if have(row["case"]):
            continue
        inputs = inputs_of(load(row["case"]))
        with limited_threads():
            diagnosis = diagnose(inputs)
        facts = situation(inputs, "exam") | {"diagnosis": None if diagnosis is None else diagnosis.to_json()}
        for given in facts["given"].values():
            given["kind"] = kind_of(row["tags"])
        scores = {name: candidate["accuracy"] for name, candidate in row["candidates"].items()}
        chosen = careful(row, GOOD_ENOUGH)
        add(Precedent(name=row["case"], profile=profile(facts), metric="accuracy", scores=scores, chosen=chosen))


def rechosen() -> None:
    """Note again, for the runs of the benchmark that are there, what `compare` chooses by today's rule."""
    cases = {row["case"]: row for row in json.loads((DOCS / "choosing.json").read_text(encoding="utf-8"))}
    rows = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else []
    for row in rows:
        if row["name"] in cases:
            row["chosen"] = careful(cases[row["name"]], GOOD_ENOUGH)
    replaced(FILE, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def kind_of(tags: Sequence[str]) -> str:
    """What the samples were before they were encoded."""
    kinds = {"pictures": "image", "sentences": "text", "sound": "audio"}
    return next((kind for tag, kind in kinds.items() if tag in tags), "features")


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
            known, whole, classes = described(source, target, number)
            run = unseen.compare(source=known, target=whole, classes=classes, seeds=1)
            add(of_run(run.results, name))


def described(source: str, target: str, number: int) -> tuple[Domain, Domain, ClassSpace]:
    """Emoji as classes, by name; the source lacks a fifth of them, the target has all."""
    domains = [emoji(style, level="emoji") for style in (source, target)]
    shared = sorted(set(domains[0].classes.names) & set(domains[1].classes.names))  # type: ignore[union-attr]
    names = np.random.default_rng(0).permutation(shared)[:number].tolist()
    space = ClassSpace(names=tuple(names))
    parts = [of_names(domain, names, space) for domain in domains]
    return parts[0].take(parts[0].labels < 4 * number // 5), parts[1], space


def of_names(domain: Domain, names: Sequence[str], space: ClassSpace) -> Domain:
    """The samples of some classes."""
    place = {name: i for i, name in enumerate(names)}
    label = np.array([place.get(domain.classes.names[y], -1) for y in domain.labels])  # type: ignore[union-attr]
    return domain.take(label >= 0).with_labels(label[label >= 0], space)


# -- what following them gives -----------------------------------------------------------------------------


def judge() -> None:
    """Each run against all runs of other families; means over families."""
    runs_of_all = recorded()
    strategies: dict[str, Callable[[Precedent, Sequence[Precedent]], str]] = {
        "best in the five nearest other runs": lambda run, others: followed(run, others, 5),
        "best in all other runs": lambda run, others: followed(run, others, len(others)),
        "source-only": lambda run, others: "source-only",
        "chosen by compare, on the data itself": lambda run, others: run.chosen,
    }
    families = [family(run.name) for run in runs_of_all]
    for label, strategy in strategies.items():
        rows = []
        for run in runs_of_all:
            others = [other for other in runs_of_all if family(other.name) != family(run.name)]
            got, floor = run.scores[strategy(run, others)], run.scores["source-only"]
            rows.append((got, max(run.scores.values()) - got, got - floor))
        weight = np.array([1 / families.count(name) for name in families])
        score, regret, gain = np.array(rows).T
        mean = functools.partial(np.average, weights=weight)
        print(
            f"{label}: {mean(score):.3f}, regret {mean(regret):.3f}, worst {gain.min():+.3f}, "
            f"harm {mean(gain < -0.01):.3f} of {len(rows)}"
        )


def followed(run: Precedent, others: Sequence[Precedent], k: int) -> str:
    """The candidate with the largest mean gain in the nearest runs, of those that this run has."""
    return next(name for name in gains(nearest(run.profile, others, k)) if name in run.scores)


def family(name: str) -> str:
    """The kind of data of a run: what its name begins with, before ``--`` (the benchmark's) or ``:``."""
    return name.partition("--")[0].partition(":")[0]


def main() -> None:
    """Make the runs, or judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["shifts", "runs", "judge"])
    {"shifts": shifts, "runs": runs, "judge": judge}[parser.parse_args().what]()


if __name__ == "__main__":
    main()
