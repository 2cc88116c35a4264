"""The choice of `compare` against four methods of SKADA, of which the best is picked with labels, case by case.

    pip install -e ".[bench]"
    python docs/toolbox_study.py pairs --styles development --seeds 110 111 112 113 114
    python docs/toolbox_study.py pairs --styles fresh --seeds 500 501 502 503 504
    python docs/toolbox_study.py left-out --styles development --seeds 110 111 112
    python docs/toolbox_study.py left-out --styles fresh --seeds 500 501 502
    python docs/toolbox_study.py page               the table of adaptation.md, from evidence/toolbox.json
    python docs/toolbox_study.py thinned            `ot` and `ot:equal` where the target's classes have other shares
    python docs/toolbox_study.py doubt --seeds 0 1  the choice there, by how much better a candidate must be

The choice was developed on `development`, with seed 0. Earlier forms of it were run on `fresh`, too, with other seeds.
`pairs`: each ordered pair of five vendors' emoji (29 subgroups, features of the default encoder) is a case. `left-out`:
four styles together are the source, the fifth is the target. A seed draws four fifths of every style. All methods see
the same samples, without the target's labels, and are graded on all samples of the target. Features of a pretrained
encoder were made before: the choice is the one for such features (`careful=False`). A run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from study_pages import put, replaced, rows_text

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from shifts.toolbox import predictions

import unseen
from unseen.claims.shifts import subgroups
from unseen.compare.validators import NEIGHBOURS, REVERSE, learner_of
from unseen.data.domain import Domain, concatenate
from unseen.methods.baselines.ot import OT
from unseen.methods.baselines.source_only import SourceOnly
from unseen.validation import without_doubt

FILE = Path(__file__).resolve().parent / "evidence" / "toolbox.json"
STYLES = {
    "development": ("noto", "twemoji", "openmoji", "fluent-emoji-flat", "fluent-emoji-high-contrast"),
    "fresh": ("noto-v1", "emojione", "emojione-monotone", "fxemoji", "fluent-emoji"),
}
CANDIDATES = "source-only,standardize,coral,ot,prototypes,shot,glc:default,aad"
"""Those that take seconds on cached features."""
HARM = 0.01
"""How far below source-only a choice does harm."""


def cases(kind: str, styles: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Styles of the source, and that of the target."""
    names = STYLES[styles]
    for target in names:
        others = tuple(name for name in names if name != target)
        yield from [(others, target)] if kind == "left-out" else [((other,), target) for other in others]


def drawn(style: str, seed: int) -> Domain:
    """Four fifths of a style."""
    whole = subgroups(style)
    return whole.take(np.sort(np.random.default_rng(seed).permutation(len(whole))[: 4 * len(whole) // 5]))


def ours(source: Domain, target: Domain) -> dict[str, Any]:
    """The choice of `compare`, and how its saved model, source-only and standardization do on the target."""
    run = unseen.compare(
        source=source, target=target.unlabeled(), methods=CANDIDATES, seeds=1, careful=False, say=lambda line: None
    )
    floor: Any = SourceOnly().fit(source=source)
    names = np.array(run.bundle.classes.names)  # those of the source, which may lack some of the target's
    told = names[run.bundle.predict_proba(target).argmax(dim=1).numpy()]
    return {
        "chosen": run.chosen,
        "accuracy": float((told == np.array(target.classes.names)[target.labels]).mean()),  # type: ignore[union-attr]
        "source-only": float((floor.predict(target) == target.labels).mean()),
    }


def skada(source: Domain, target: Domain) -> dict[str, float]:
    """Accuracy of four methods of SKADA before the same logistic regression."""
    return {name: float((told == target.labels).mean()) for name, told in predictions(source, target).items()}


def measure(kind: str, styles: str, seeds: Sequence[int], out: Path) -> None:
    """All cases that the file lacks."""
    rows = json.loads(out.read_text(encoding="utf-8")) if out.exists() else []
    done = {(row["kind"], *row["source"], row["target"], row["seed"]) for row in rows}
    for seed, (names, name) in itertools.product(seeds, list(cases(kind, styles))):
        if (kind, *names, name, seed) in done:
            continue
        source, target = concatenate([drawn(one, seed) for one in names], name="source"), drawn(name, seed)
        times = [time.process_time()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = skada(source, target)
            times.append(time.process_time())
            mine = ours(source, target)
            times.append(time.process_time())
        seconds = dict(zip(("skada", "unseen"), np.diff(times).round(2).tolist()))
        row = {"kind": kind, "styles": styles, "source": names, "target": name, "seed": seed}
        rows.append({**row, "skada": theirs, "unseen": mine, "processor seconds": seconds})
        replaced(out, rows_text(rows))
        print(kind, *names, name, seed, f"{max(theirs.values()):.3f}", mine, flush=True)


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over cases, the gain over the best by labels with its interval over styles, and harm."""
    mine = np.array([row["unseen"]["accuracy"] for row in rows])
    floor = np.array([row["unseen"]["source-only"] for row in rows])
    theirs = {name: np.array([row["skada"][name] for row in rows]) for name in rows[0]["skada"]}
    best = np.max(list(theirs.values()), axis=0)
    units: dict[tuple[str, ...], list[float]] = {}
    for row, gain in zip(rows, mine - best):
        units.setdefault((*row["source"], row["target"]), []).append(gain)
    per_case = {styles: float(np.mean(gains)) for styles, gains in units.items()}
    low, high = over_styles(per_case)
    return {
        "cases": len(units), "seeds": len(rows) / len(units), "source-only": floor.mean(),
        **{name: values.mean() for name, values in theirs.items()}, "best of the four by labels": best.mean(),
        "chosen without labels": mine.mean(), "gain": (mine - best).mean(), "low": low, "high": high,
        "worst case": min(per_case.values()), "harm": float((mine < floor - HARM).mean()),
        **{f"seconds of {name}": float(np.mean([row["processor seconds"][name] for row in rows]))
           for name in ("skada", "unseen")},
    }  # fmt: skip


def over_styles(gains: Mapping[tuple[str, ...], float], draws: int = 2000) -> tuple[float, float]:
    """Bootstrap interval, 95 %, of the mean gain of pairs (source, target): styles are drawn, and their pairs follow.

    Pairs that share a style are not independent, so they are no units. Where the source is all other styles, a case
    follows its target alone.
    """
    names = sorted({case[-1] for case in gains})
    counts = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    place = {name: i for i, name in enumerate(names)}
    weights = np.stack(
        [counts[:, place[case[-1]]] * (counts[:, place[case[0]]] if len(case) == 2 else 1) for case in gains],
        axis=1,
    )
    weights = weights[weights.sum(axis=1) > 0]
    low, high = np.quantile(weights @ np.array(list(gains.values())) / weights.sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A column per kind and styles, a line per figure."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(f"{row['kind']}, {row['styles']}", []).append(row)
    found = {name: summary(group) for name, group in groups.items()}
    lines = ["| | " + " | ".join(found) + " |", "| --- |" + " ---: |" * len(found)]
    for key in next(iter(found.values())):
        digits = 0 if key in ("cases", "seeds") else 1 if key.startswith("seconds") else 3
        lines.append(f"| {key} | " + " | ".join(f"{one[key]:.{digits}f}" for one in found.values()) + " |")
    return "\n".join(lines)


def thinned(domain: Domain, seed: int) -> Domain:
    """A domain of which each class keeps a share of its own, drawn from Beta(0.5, 1.2), of mean 0.29."""
    rng = np.random.default_rng(seed)
    shares = rng.beta(0.5, 1.2, size=int(domain.labels.max()) + 1)
    return domain.take(np.flatnonzero(rng.random(len(domain)) < shares[domain.labels]))


def shares_table(seed: int) -> str:
    """Gain over source-only of `ot` with and without weights, on all development pairs, whole targets and thinned."""
    gains: dict[tuple[str, str], list[float]] = {}
    for number, ((source,), target) in enumerate(cases("pairs", "development")):
        own, whole = drawn(source, seed), drawn(target, seed)
        for kind, exam in (("whole", whole), ("thinned", thinned(whole, seed * 100 + number))):
            floor = float((SourceOnly().fit(source=own).predict(exam) == exam.labels).mean())
            for name, weighted in (("ot", True), ("ot:equal", False)):
                method = OT(weighted=weighted).fit(source=own, target=exam.unlabeled())
                right = float((method.predict(exam) == exam.labels).mean())
                gains.setdefault((kind, name), []).append(right - floor)
    lines = ["| target | method | gain over source-only | harm | worst |", "| --- | --- | ---: | ---: | ---: |"]
    for (kind, name), found in gains.items():
        harm = float((np.array(found) < -HARM).mean())
        lines.append(f"| {kind} | {name} | {np.mean(found):+.3f} | {harm:.2f} | {min(found):+.3f} |")
    return "\n".join(lines)


def doubt_table(seeds: Sequence[int]) -> str:
    """What is chosen on all development pairs, targets thinned, by the standard errors that are asked for."""
    gains: dict[float, list[float]] = {errors: [] for errors in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)}
    for seed, (number, ((source,), target)) in itertools.product(seeds, enumerate(cases("pairs", "development"))):
        own, exam = drawn(source, seed), thinned(drawn(target, seed), seed * 100 + number)
        results = unseen.compare(
            source=own, target=exam, methods=CANDIDATES, seeds=1, careful=False, say=lambda line: None
        ).results
        rows = {row["name"]: row for row in results["candidates"]}
        right = {name: row["metrics"]["adapted"]["accuracy"]["mean"] for name, row in rows.items()}
        told = [{name: row["validators"][by]["mean"] for name, row in rows.items()} for by in (REVERSE, NEIGHBOURS)]
        ranks, keep = told if learner_of(own) == REVERSE else told[::-1]
        fewest = min(len(own), results["exam"]["adapted"]["samples"])
        for errors, found in gains.items():
            votes = without_doubt(ranks, fewest, errors=errors, keep=keep)
            found.append(right[max(votes, key=lambda name: votes[name])] - right["source-only"])
    lines = ["| standard errors | gain over source-only | harm | worst |", "| ---: | ---: | ---: | ---: |"]
    for errors, found in gains.items():
        harm = float((np.array(found) < -HARM).mean())
        lines.append(f"| {errors:g} | {np.mean(found):+.3f} | {harm:.3f} | {min(found):+.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pairs", "left-out", "page", "thinned", "doubt"))
    parser.add_argument("--styles", choices=list(STYLES), default="development")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(110, 115)))
    parser.add_argument("--out", type=Path, default=FILE)
    given = parser.parse_args()
    if given.what == "thinned":
        for seed in given.seeds:
            print(f"seed {seed}\n{shares_table(seed)}\n", flush=True)
    elif given.what == "doubt":
        print(doubt_table(given.seeds))
    elif given.what == "page":
        put("adaptation.md", {"toolbox": table(json.loads(given.out.read_text(encoding="utf-8")))})
    else:
        measure(given.what, given.styles, given.seeds, given.out)


if __name__ == "__main__":
    main()
