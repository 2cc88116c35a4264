"""Styles that no training sees: methods beside plain training and CORAL between domains, and a choice without a target.

    python docs/generalization_study.py measure --styles development --seeds 0 1 2
    python docs/generalization_study.py measure --styles fresh --seeds 300 301 302 303 304
    python docs/generalization_study.py measure --styles texts --seeds 0 1 2 --abstracts DIR
    python docs/generalization_study.py page        the tables of unseen-domains.md, from evidence/generalization.json

Emoji of four vendors (29 subgroups, features of the default encoder) are the source, those of the fifth are asked
about; a seed draws four fifths of every style. `texts` are sentences of abstracts (claim, premise, neither) as MiniLM
reads them, by disease and language; DIR is shared as multilingual-abstrct by github.com/hitz-zentroa. Nothing of the
domain that is left out is used. A fifth of each class of the source is held out: source validation is accuracy on it,
crafted validation accuracy on copies of 60 of its pictures in ten families.

Every method starts from the same new bottleneck and head, as plain training (`erm`) does, and as `compare` does since;
arms called "after source-only" start from a trained classifier, as it did before. `erm` and `coral` train for as many
epochs as `udim` does; `coral` adds the distance of means and covariances of the domains in the bottleneck, as
DomainBed's CORAL does. A run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from study_pages import put, replaced, rows_text
from toolbox_study import HARM, STYLES, drawn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from shifts.readers import sentences

from unseen import catalogue, encoders
from unseen.catalogue import Given
from unseen.claims.conditions import interval
from unseen.compare.crafted import copies_of
from unseen.data.domain import Domain, concatenate
from unseen.data.samplers import Batch, domain_numbers, hold_out, joint_batches, joint_steps
from unseen.data.shifts import FAMILIES
from unseen.data.sources import emoji
from unseen.nn.classifier import Classifier, as_classifier
from unseen.nn.train import Run, train
from unseen.runtime import reproducible

FILE = Path(__file__).resolve().parent / "evidence" / "generalization.json"
PLAIN = ("erm", "coral")
"""What the others are compared with, and nothing chooses."""
METHODS = ("source-only", "tram", "udim", "smos")
ARMS = (*PLAIN, *METHODS)
TEXTS = {
    "neoplasm": "EN/argument_components/original_data/neoplasm_train.tsv",
    "glaucoma": "EN/argument_components/original_data/glaucoma_test.tsv",
    "mixed": "EN/argument_components/original_data/mixed_test.tsv",
    "Spanish": "ES/deepl/argument_components/manual_revision/es_neoplasm_deepl_awesome_dev.tsv",
}
"""Domains of sentences; no abstract is in two of them."""
COPIED, EPOCHS, BATCH = 60, 20, 16
"""Pictures that are copied; epochs of plain training, with so many samples of each style in a batch."""
WEIGHT = 1.0
"""Of the distance of covariances, DomainBed's default."""


def covariance(z: torch.Tensor) -> torch.Tensor:
    """Of the rows of a batch, (d, d)."""
    centred = z - z.mean(dim=0)
    return centred.T @ centred / (len(z) - 1)


def plain(source: Domain, start: Classifier, seed: int, weight: float = 0.0) -> Classifier:
    """`start` trained by cross entropy, plus `weight` times the mean distance of the domains' first two moments."""
    with reproducible(seed):
        net = as_classifier(start).train()
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
    """A function from features to scores, of an arm such as "udim", "udim radius=0.03" or "udim after source-only"."""
    wanted, _, after = name.partition(" after ")
    slug, *settings = wanted.split()
    given = {key: float(value) for key, value in (one.split("=") for one in settings)}
    if slug == "source-only":
        return Given({"source": source}, seed=seed).fit(catalogue.make(slug, "default", seed)).decision_function
    start = catalogue.source_model(source, seed) if after else catalogue.new_model(source, seed)
    if slug in ("erm", "coral"):
        net = plain(source, start, seed, WEIGHT if slug == "coral" else 0.0)
        return lambda domain: net(torch.as_tensor(domain.x)).detach()
    return catalogue.make(slug, "default", seed, **given).fit(source=source, model=start).decision_function


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


def domains(styles: str, seed: int, abstracts: Path | None) -> dict[str, Domain]:
    """Four fifths of each domain, by name."""
    if styles != "texts":
        return {style: drawn(style, seed) for style in STYLES[styles]}
    if abstracts is None:
        raise SystemExit("--abstracts: give the folder with EN and ES of multilingual-abstrct")
    minilm = encoders.get("minilm")
    whole = [minilm.encode(sentences(abstracts / file, name).take(slice(0, 600))) for name, file in TEXTS.items()]
    return {one.name: one.take(hold_out(one.labels, 0.2, seed)[0]) for one in whole}


def measure(
    styles: str, seeds: Sequence[int], out: Path, abstracts: Path | None = None, arms: Sequence[str] = ARMS
) -> None:
    """All arms that the file lacks."""
    rows = json.loads(out.read_text(encoding="utf-8")) if out.exists() else []
    known = {(row["styles"], row["target"], row["seed"]): row for row in rows}
    for seed in seeds:
        found = domains(styles, seed, abstracts)
        for left_out, target in found.items():
            row = known.setdefault(
                (styles, left_out, seed), {"styles": styles, "target": left_out, "seed": seed, "arms": {}}
            )
            if lacking := [name for name in arms if name not in row["arms"]]:
                source = concatenate([one for name, one in found.items() if name != left_out], name="source")
                row["arms"] |= graded(lacking, source, target, seed, crafted=styles != "texts")
                replaced(out, rows_text(list(known.values())))
                told = {name: round(arm["target"], 3) for name, arm in row["arms"].items()}
                print(styles, left_out, seed, told, flush=True)


def graded(
    arms: Sequence[str], source: Domain, target: Domain, seed: int, *, crafted: bool
) -> dict[str, dict[str, float]]:
    """Accuracy of each arm on the domain left out, on what is held out of the source, and on copies of that."""
    names = np.array(source.classes.names)  # type: ignore[union-attr]
    learn, held = (source.take(part) for part in hold_out(source.labels, 0.2, seed))
    made = copies(held, seed) if crafted else None
    found = {}
    for name in arms:
        started = time.process_time()
        scores = fitted(name, learn, seed)
        found[name] = {
            "processor seconds": round(time.process_time() - started, 2),
            "target": float(right(scores, target, names).mean()),
            "source validation": float(right(scores, held, names).mean()),
        }
        if made is not None:
            told, families = right(scores, made, names), made.columns["family"]
            found[name]["crafted validation"] = float(np.mean([told[families == f].mean() for f in FAMILIES]))
    return found


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Figures of each arm that all rows have, and of each choice."""

    def chosen(row: Mapping[str, Any], by: str) -> str:
        return max(METHODS, key=lambda name: row["arms"][name][by])

    told = {name: [name] * len(rows) for name in rows[0]["arms"] if all(name in row["arms"] for row in rows)}
    asked = [by for by in ("source validation", "crafted validation") if by in rows[0]["arms"]["erm"]]
    told |= {f"chosen by {by}": [chosen(row, by) for row in rows] for by in asked}
    told["best, by labels"] = [chosen(row, "target") for row in rows]
    return {name: against(rows, arms, all_of=METHODS if " by " in name else ()) for name, arms in told.items()}


def against(rows: Sequence[Mapping[str, Any]], arms: Sequence[str], all_of: Sequence[str] = ()) -> dict[str, Any]:
    """Accuracy of one arm a row, gain over `erm` with its interval over domains, worst, harm, processor seconds.

    A choice costs what `all_of` its candidates do.
    """
    values = np.array([row["arms"][name]["target"] for row, name in zip(rows, arms)])
    floor = np.array([row["arms"]["erm"]["target"] for row in rows])
    gains = [
        float(np.mean((values - floor)[[row["target"] == name for row in rows]]))
        for name in dict.fromkeys(row["target"] for row in rows)
    ]
    seconds = [
        sum(row["arms"][name]["processor seconds"] for name in (all_of or [arm])) for row, arm in zip(rows, arms)
    ]
    return {
        "accuracy": values.mean(), "gain": np.mean(gains), "interval": interval(gains), "worst": min(gains),
        "harm": float((values < floor - HARM).mean()), "seconds": float(np.mean(seconds)),
    }  # fmt: skip


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line per arm and choice, for each group of domains that was measured whole."""
    parts = []
    for styles in dict.fromkeys(row["styles"] for row in rows):
        group = [row for row in rows if row["styles"] == styles]
        seeds = len({row["seed"] for row in group})
        lines = [f"| {styles}, {seeds} seeds | accuracy | over `erm` | 95 % of domains | worst | harm | seconds |"]
        lines += ["| --- |" + " ---: |" * 6]
        for name, one in summary(group).items():
            low, high = one["interval"]
            told = f"| {name} | {one['accuracy']:.3f} | {one['gain']:+.3f} | [{low:+.3f}, {high:+.3f}]"
            lines.append(f"{told} | {one['worst']:+.3f} | {one['harm']:.2f} | {one['seconds']:.1f} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def main() -> None:
    """Measure, or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measure", "page"))
    parser.add_argument("--styles", choices=[*STYLES, "texts"], default="development")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", default=ARMS, help='such as "udim radius=0.03", "udim after source-only"')
    parser.add_argument("--abstracts", type=Path, help="folder with EN and ES of multilingual-abstrct")
    parser.add_argument("--out", type=Path, default=FILE)
    given = parser.parse_args()
    if given.what == "measure":
        measure(given.styles, given.seeds, given.out, given.abstracts, given.arms)
        return
    put("unseen-domains.md", {"generalization": table(json.loads(given.out.read_text(encoding="utf-8")))})


if __name__ == "__main__":
    main()
