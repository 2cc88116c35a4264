"""The choice of `compare` against four methods of SKADA, of which the best is picked with labels.

    pip install -e ".[bench]"
    python docs/toolbox_study.py --styles development --seeds 1 --out runs/toolbox.json
    python docs/toolbox_study.py --out runs/toolbox.json --page

Each ordered pair of five vendors' emoji (29 subgroups, features of the default encoder) is a case; a seed draws four
fifths of the source and of the target. All methods see the same samples and are graded on the same target samples.
A run goes on where it stopped. Features of an encoder were made before: the choice is the one for such features.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import unseen
from unseen.claims.base import interval
from unseen.claims.shifts import subgroups
from unseen.data.domain import Domain

STYLES = {
    "development": ("noto", "twemoji", "openmoji", "fluent-emoji-flat", "fluent-emoji-high-contrast"),
    "fresh": ("noto-v1", "emojione", "emojione-monotone", "fxemoji", "fluent-emoji"),
}
OURS = "source-only,standardize,coral,ot,prototypes,shot,glc,aad"
"""Candidates of `compare`: those that take seconds on cached features."""


def case(source: str, target: str, seed: int) -> tuple[Domain, Domain]:
    """Four fifths of each."""
    rng = np.random.default_rng(seed)
    parts = [subgroups(style) for style in (source, target)]
    kept = [np.sort(rng.permutation(len(part))[: 4 * len(part) // 5]) for part in parts]
    return tuple(part.take(rows) for part, rows in zip(parts, kept))  # type: ignore[return-value]


def ours(source: Domain, target: Domain, seed: int) -> dict[str, Any]:
    """The choice without labels, and what each candidate would have got, on the target that it adapts to."""
    run = unseen.compare(source=source, target=target, methods=OURS, protocol="closed", seeds=1, careful=False)
    scores = {row["name"]: row["metrics"]["adapted"]["accuracy"]["mean"] for row in run.results["candidates"]}
    return {"chosen": run.chosen, "scores": scores}


def skada(source: Domain, target: Domain) -> dict[str, float]:
    """Four methods of SKADA before the same logistic regression; standardized together, as its pipelines do."""
    from skada import (
        CORALAdapter,
        LinearOTMappingAdapter,
        OTMappingAdapter,
        SubspaceAlignmentAdapter,
        make_da_pipeline,
    )
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    x = np.concatenate([source.x, target.x]).astype(np.float64)
    domains = np.repeat([1, -2], [len(source), len(target)])
    y = np.concatenate([source.labels, np.full(len(target), -1)])
    adapters = {
        "CORAL": CORALAdapter(),
        "subspace alignment": SubspaceAlignmentAdapter(n_components=128),
        "linear OT": LinearOTMappingAdapter(reg=1e-3),
        "OT mapping": OTMappingAdapter(),
    }
    found = {}
    for name, adapter in adapters.items():
        pipeline = make_da_pipeline(StandardScaler(), adapter, LogisticRegression(max_iter=300))
        pipeline.fit(x, y, sample_domain=domains)
        told = pipeline.predict(target.x.astype(np.float64), sample_domain=np.full(len(target), -2))
        found[name] = float((told == target.labels).mean())
    return found


def measure(styles: str, seeds: int, out: Path) -> None:
    """All cases that the file lacks."""
    rows = json.loads(out.read_text(encoding="utf-8")) if out.exists() else []
    done = {(row["source"], row["target"], row["seed"]) for row in rows}
    for seed, (a, b) in itertools.product(range(100, 100 + seeds), itertools.permutations(STYLES[styles], 2)):
        if (a, b, seed) in done:
            continue
        source, target = case(a, b, seed)
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = skada(source, target)
            between = time.perf_counter()
            mine = ours(source, target, seed)
        seconds = {"skada": between - started, "unseen": time.perf_counter() - between}
        rows.append(dict(styles=styles, source=a, target=b, seed=seed, skada=theirs, unseen=mine, seconds=seconds))
        temporary = out.with_name(f".{out.name}.tmp")
        temporary.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        temporary.replace(out)
        print(a, b, seed, max(theirs.values()), mine["scores"][mine["chosen"]], mine["chosen"], flush=True)


def summary(rows: list[Mapping[str, Any]]) -> dict[str, float]:
    """Means over cases: ours, theirs by method, the best of theirs by labels, the gain with its interval, harm."""
    chosen = np.array([row["unseen"]["scores"][row["unseen"]["chosen"]] for row in rows])
    floor = np.array([row["unseen"]["scores"]["source-only"] for row in rows])
    table = {name: np.array([row["skada"][name] for row in rows]) for name in rows[0]["skada"]}
    best = np.max(list(table.values()), axis=0)
    low, high = interval(chosen - best)
    return {
        "cases": len(rows), "chosen": chosen.mean(), **{name: v.mean() for name, v in table.items()},
        "best by labels": best.mean(), "gain": (chosen - best).mean(), "low": low, "high": high,
        "worst gain": (chosen - best).min(), "harm": float((chosen < floor - 0.01).mean()),
        "seconds of unseen": float(np.mean([row["seconds"]["unseen"] for row in rows])),
        "seconds of skada": float(np.mean([row["seconds"]["skada"] for row in rows])),
    }  # fmt: skip


def main() -> None:
    """Measure, or print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", choices=list(STYLES), default="development")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", action="store_true", help="print the summary of what is there")
    given = parser.parse_args()
    if given.page:
        rows = json.loads(given.out.read_text(encoding="utf-8"))
        for styles in STYLES:
            own = [row for row in rows if row["styles"] == styles]
            if own:
                print(styles, {key: round(float(value), 4) for key, value in summary(own).items()})
    else:
        measure(given.styles, given.seeds, given.out)


if __name__ == "__main__":
    main()
