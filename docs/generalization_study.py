"""Styles that no training sees: methods beside plain training and CORAL between domains, and a choice without a target.

    python docs/generalization_study.py measure --styles development --seeds 0
    python docs/generalization_study.py measure --styles fresh --seeds 300 301 302 303 304
    python docs/generalization_study.py table       these are in docs/evidence/generalization.json

Emoji of four vendors (29 subgroups, features of the default encoder) are the source, those of the fifth are asked
about; a seed draws four fifths of every style. Nothing of the fifth style is used. A fifth of each class of the source
is held out: source validation is accuracy on it, crafted validation accuracy on copies of 60 of its pictures in ten
families. `erm` and `coral` train bottleneck and head on all styles for as many epochs as `udim` does; `coral` adds the
distance of means and covariances of the styles in the bottleneck, as DomainBed's CORAL does. A run goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from toolbox_study import STYLES, drawn

from unseen import catalogue, encoders
from unseen.catalogue import Given
from unseen.claims.base import interval
from unseen.compare.crafted import copies_of
from unseen.data.domain import Domain, concatenate
from unseen.data.samplers import Batch, domain_numbers, hold_out, joint_batches, joint_steps
from unseen.data.shifts import FAMILIES
from unseen.data.sources import emoji
from unseen.nn.classifier import Classifier, feature_classifier
from unseen.nn.train import Run, train
from unseen.runtime import reproducible

FILE = Path(__file__).resolve().parent / "evidence" / "generalization.json"
METHODS = ("source-only", "tram", "udim", "erm", "coral")
COPIED, EPOCHS, BATCH = 60, 20, 16
"""Pictures that are copied; epochs of plain training, with so many samples of each style in a batch."""
WEIGHT = 1.0
"""Of the distance of covariances, DomainBed's default."""


def covariance(z: torch.Tensor) -> torch.Tensor:
    """Of the rows of a batch, (d, d)."""
    centred = z - z.mean(dim=0)
    return centred.T @ centred / (len(z) - 1)


def plain(source: Domain, seed: int, weight: float = 0.0) -> Classifier:
    """Bottleneck and head by cross entropy, plus `weight` times the mean distance of the styles' first two moments."""
    with reproducible(seed):
        net = feature_classifier(source.n_features, len(source.classes.names))  # type: ignore[union-attr,arg-type]
        groups = domain_numbers(source)
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-4)

        def objective(batch: Batch, run: Run) -> torch.Tensor:
            z = net.embed(batch.x)
            loss = F.cross_entropy(net.head(z), batch.y)
            parts = [z[torch.as_tensor(groups)[batch.index] == group] for group in np.unique(groups)]
            gaps = [
                (a.mean(dim=0) - b.mean(dim=0)).square().mean() + (covariance(a) - covariance(b)).square().mean()
                for a, b in itertools.combinations(parts, 2)
            ]
            return loss + weight * torch.stack(gaps).mean()

        train(
            objective,
            name="plain",
            nets={"net": net},
            optimizers={"adam": optimizer},
            batches=joint_batches(source, groups, BATCH),
            epochs=EPOCHS,
            steps_per_epoch=joint_steps(groups, BATCH),
        )
    return net.eval()


def fitted(name: str, source: Domain, seed: int) -> Any:
    """A function from features to scores."""
    if name in ("erm", "coral"):
        net = plain(source, seed, WEIGHT if name == "coral" else 0.0)
        return lambda domain: net(torch.as_tensor(domain.x)).detach()
    return Given({"source": source}, seed=seed).fit(catalogue.make(name, "default", seed)).decision_function


def copies(held: Domain, seed: int) -> Domain:
    """Features of copies of held-out pictures in all families."""
    chosen = held.take(np.sort(np.random.default_rng(seed).permutation(len(held))[:COPIED]))
    drawings = [_drawing(*place) for place in zip(chosen.columns["domain"], chosen.columns["emoji"])]
    return encoders.get("efficientnet-lite0").encode(copies_of(drawings, chosen.labels, (224, 224)), precision="fp32")


def _drawing(style: str, code: str) -> Any:
    drawings = emoji(style)
    return drawings.x[int(np.flatnonzero(drawings.columns["emoji"] == code)[0])]


def right(scores: Any, domain: Domain, names: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Which samples are predicted right, by the names of classes."""
    told = names[scores(domain).argmax(dim=1).numpy()]
    wanted = names if domain.classes is None else np.array(domain.classes.names)
    return told == wanted[domain.labels]


def measure(styles: str, seeds: Sequence[int], out: Path) -> None:
    """All cases that the file lacks."""
    rows = json.loads(out.read_text(encoding="utf-8")) if out.exists() else []
    done = {(row["target"], row["seed"]) for row in rows}
    for seed, style in itertools.product(seeds, STYLES[styles]):
        if (style, seed) in done:
            continue
        others = [name for name in STYLES[styles] if name != style]
        everything = concatenate([drawn(name, seed) for name in others], name="source")
        target, names = drawn(style, seed), np.array(everything.classes.names)  # type: ignore[union-attr]
        learn, held = (everything.take(part) for part in hold_out(everything.labels, 0.2, seed))
        crafted = copies(held, seed)
        arms = {}
        for name in METHODS:
            started = time.process_time()
            scores = fitted(name, learn, seed)
            seconds = time.process_time() - started
            of_copies = right(scores, crafted, names)
            families = crafted.columns["family"]
            arms[name] = {
                "target": float(right(scores, target, names).mean()),
                "source validation": float(right(scores, held, names).mean()),
                "crafted validation": float(np.mean([of_copies[families == f].mean() for f in FAMILIES])),
                "processor seconds": round(seconds, 2),
            }
        rows.append({"styles": styles, "target": style, "seed": seed, "arms": arms})
        temporary = out.with_name(f".{out.name}.tmp")
        temporary.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        temporary.replace(out)
        print(style, seed, {name: round(arm["target"], 3) for name, arm in arms.items()}, flush=True)


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, ...]]:
    """Of each method and each choice: mean accuracy on the target, the gain over `erm` with its interval, the worst."""

    def chosen(row: Mapping[str, Any], by: str) -> float:
        own = {name: row["arms"][name] for name in METHODS if name not in ("erm", "coral")}
        return own[max(own, key=lambda name: own[name][by])]["target"]

    found = {name: [row["arms"][name]["target"] for row in rows] for name in METHODS}
    found |= {
        f"chosen by {by}": [chosen(row, by) for row in rows] for by in ("source validation", "crafted validation")
    }
    found["best, by labels"] = [chosen(row, "target") for row in rows]
    told = {}
    for name, values in found.items():
        gains: dict[str, list[float]] = {}
        for row, value, floor in zip(rows, values, found["erm"]):
            gains.setdefault(row["target"], []).append(value - floor)
        per_style = [float(np.mean(gain)) for gain in gains.values()]
        told[name] = (float(np.mean(values)), float(np.mean(per_style)), *interval(per_style), min(per_style))
    return told


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line per method and choice, for each group of styles."""
    lines = []
    for styles in dict.fromkeys(row["styles"] for row in rows):
        group = [row for row in rows if row["styles"] == styles]
        seeds = len({row["seed"] for row in group})
        lines += [f"| {styles}, {seeds} seeds | accuracy | over plain training | 95 % of styles | worst style |"]
        lines += ["| --- | ---: | ---: | ---: | ---: |"]
        for name, (mean, gain, low, high, worst) in summary(group).items():
            lines.append(f"| {name} | {mean:.3f} | {gain:+.3f} | [{low:+.3f}, {high:+.3f}] | {worst:+.3f} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measure, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measure", "table"))
    parser.add_argument("--styles", choices=list(STYLES), default="development")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--out", type=Path, default=FILE)
    given = parser.parse_args()
    if given.what == "table":
        print(table(json.loads(given.out.read_text(encoding="utf-8"))))
    else:
        measure(given.styles, given.seeds, given.out)


if __name__ == "__main__":
    main()
