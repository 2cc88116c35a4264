"""Every candidate of `compare` on every case of the benchmark: what can be seen without labels, and the truth.

    python benchmarks/shifts/run.py                   all cases that have not run; it goes on where it stopped
    python benchmarks/shifts/run.py --families A B    of some families
    python benchmarks/shifts/run.py --table           accuracy by family and candidate, from what has run

Each case leaves figures (``runs/CASE.json``) and the candidates' probabilities on the target (``.npz``) in the
cache, so that a rule of choice or an estimate can be tried in seconds. `study.py` beside this reads them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shifts.case import Case
from shifts.cases import FAMILIES, load, names, root_of
from unseen import catalogue
from unseen.compare.candidates import name_of
from unseen.compare.cells import Cell
from unseen.compare.choice import scores
from unseen.compare.consensus import Pair, consensus_cells, pair_of, unanimous, with_opinions
from unseen.compare.fits import run_all, split
from unseen.compare.inputs import Inputs, prepare
from unseen.compare.validators import learner_of
from unseen.data.domain import Domain
from unseen.data.typing import IntArray
from unseen.methods.base import Method
from unseen.methods.fixed import fixed
from unseen.nn.classifier import Standardizer
from unseen.nn.logistic import fit_logistic
from unseen.runtime import limited_threads, replacing
from unseen.scale import Engine
from unseen.validation import leave_out

CANDIDATES = (
    "source-only", "standardize", "standardize:views", "coral", "coral:views", "ot", "ot:views", "prototypes", "shot",
    "shot:views", "aad", "aad:views", "glc", "propagate", "propagate:views", "propagate:shares",
)  # fmt: skip

SHOTS = (1, 3, 5)
"""Labels per class of the target that are shown; what is left of it grades."""

FEWEST_GRADED = 10


def inputs_of(case: Case) -> Inputs:
    """What `compare` would work on, with both views where the case has them."""
    inputs = prepare(source=case.source, target=case.target, encoder=None)
    if "view" not in case.source.columns:
        return inputs
    parts = {
        part: getattr(inputs, part).replace(x=np.hstack([getattr(inputs, part).x, inputs.raw[part].columns["view"]]))
        for part in ("source", "target", "held_out")
        if getattr(inputs, part) is not None
    }
    return dataclasses.replace(inputs, two_views=dataclasses.replace(inputs, **parts, one_view=inputs))


def run(case: Case, seed: int = 0) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Figures and probabilities of a case."""
    inputs = inputs_of(case)
    wanted = [key for key in CANDIDATES if inputs.two_views is not None or not key.endswith(":views")]
    pairs = tuple((key.partition(":")[0], key.partition(":")[2] or "default") for key in wanted)
    started = time.process_time()
    cells = run_all(inputs, pairs, 1, None, Engine(workers=1))
    together = pair_of(pairs, inputs)
    assert together is not None
    cells_of_all = {**cells, together: consensus_cells(inputs, together, cells, None)}
    by_name = {name_of(*pair): group for pair, group in cells_of_all.items()}
    truth = inputs.exams["adapted"].open()
    known = np.isin(truth, np.arange(len(inputs.classes)))
    with limited_threads():
        validators = scores(by_name)
        learner = learner_of(inputs.source)  # type: ignore[arg-type]
        shown = few_labels(inputs, cells, together, truth, known, seed)
    record = {
        "case": case.name, "family": case.family, "tags": list(case.tags), "classes": len(inputs.classes),
        "source": len(inputs.source), "target": len(inputs.target), "width": inputs.source.n_features,  # type: ignore[arg-type,union-attr]
        "known": float(known.mean()), "learner": learner, "unanimous": unanimous(cells), "shown": shown,
        "seconds": time.process_time() - started,
        "candidates": {
            key: {
                "accuracy": float((group[0]["adapted"]["prediction"][known] == truth[known]).mean()),
                "seconds": group[0]["seconds"],
                "validators": {name: values[0] for name, values in validators[key].items()},
            }
            for key, group in by_name.items()
        },
    }  # fmt: skip
    arrays = {f"p {key}": group[0]["adapted"]["raw"].numpy().astype(np.float16) for key, group in by_name.items()}
    arrays |= {
        "truth": truth.astype(np.int16),
        "shares": np.bincount(inputs.source.labels, minlength=len(inputs.classes)),  # type: ignore[union-attr]
    }
    return record, arrays


def few_labels(
    inputs: Inputs,
    cells: Mapping[Pair, list[Cell]],
    together: Pair,
    truth: IntArray,
    known: NDArray[np.bool_],
    seed: int,
) -> dict[str, dict[str, float]]:
    """Accuracy on the rest of the target, with `SHOTS` labels a class: of the consensus, and of simple rivals."""
    make = catalogue.make
    judged = with_opinions(inputs.seen_by(*together), cells, seed)
    source, target = split(judged, seed)[0].inputs["source"], judged.target
    assert target is not None
    order, found = np.random.default_rng(seed).permutation(np.flatnonzero(known)), {}
    for shots in SHOTS:
        shown = np.sort(np.concatenate([order[truth[order] == c][:shots] for c in np.unique(truth[known])]))
        rest = np.setdiff1d(order, shown)
        if len(rest) < FEWEST_GRADED or len(np.unique(truth[shown])) < 2:
            continue
        support = target.take(shown).with_labels(truth[shown], source.classes)
        bare = support.replace(columns={})
        arms = {
            "consensus": make(*together, seed).fit(source=source, target=target, support=support),
            "consensus without labels": make(*together, seed).fit(source=source, target=target),
            "source-only": cells["source-only", "default"][0]["method"],
            "linear-probe": make("linear-probe").fit(support=bare),
            "source and support": both(source, bare, target),
        }
        plain = target.replace(x=target.x[:, : inputs.source.n_features])  # type: ignore[union-attr]
        found[str(shots)] = {
            key: float((_labels(arm, plain if key == "source-only" else target)[rest] == truth[rest]).mean())
            for key, arm in arms.items()
        }
        if "view" not in inputs.raw["source"].columns:  # a user's own features may be left as they are
            found[str(shots)]["labels right by source-only"] = float(
                (_labels(arms["source-only"], bare) == support.labels).mean()
            )
            right = [
                (_labels(make(*together, seed).fit(source=source, target=target, support=support.take(learn)), support)
                 == support.labels)[held]
                for learn, held in leave_out(support.labels)
            ]  # fmt: skip
            if right:
                found[str(shots)]["labels right by consensus"] = float(np.concatenate(right).mean())
    return found


def both(source: Domain, support: Domain, target: Domain) -> Method:
    """What a good practitioner does first: logistic regression on source and support, each domain standardized."""
    own = Standardizer(source.n_features).measure(torch.as_tensor(source.x))
    theirs = Standardizer(source.n_features).measure(torch.as_tensor(target.x))
    network = fit_logistic(
        torch.cat([own(torch.as_tensor(source.x)), theirs(torch.as_tensor(support.x))]),
        np.concatenate([source.labels, support.labels]),
        len(source.classes or ()),
        C=0.1,
        standardize=False,
        weights=torch.cat([torch.ones(len(source)), torch.full((len(support),), len(source) / len(support))]),
    )
    network.backbone = theirs
    return fixed(network)


def _labels(method: Method, part: Domain) -> IntArray:
    return method.decision_function(part).argmax(dim=1).numpy()


def runs(cache: Path | None = None) -> list[dict[str, Any]]:
    """The figures of all cases that have run."""
    return [json.loads(file.read_text()) for file in sorted((root_of(cache) / "runs").glob("*.json"))]


def table(records: list[dict[str, Any]]) -> str:
    """Mean accuracy by family and candidate."""
    families = sorted({record["family"] for record in records})
    lines = ["| family | cases | " + " | ".join(CANDIDATES) + " |", "|---" * (len(CANDIDATES) + 2) + "|"]
    for family in families:
        candidates = [record["candidates"] for record in records if record["family"] == family]
        accuracies = [[case[key]["accuracy"] for case in candidates if key in case] for key in CANDIDATES]
        cells = [f"{np.mean(values):.3f}" if values else "" for values in accuracies]
        lines.append(f"| {family} | {len(candidates)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what has not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="*", default=None)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--most", type=int, default=10**9, help="cases of a family")
    asked = parser.parse_args()
    folder = root_of(asked.cache) / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    if asked.table:
        print(table(runs(asked.cache)))
        return
    torch.set_num_threads(1)
    every = names(cache=asked.cache)
    count: dict[str, int] = {}
    for case_name in every:
        family = case_name.partition("--")[0]
        count[family] = count.get(family, 0) + 1
        file = folder / f"{case_name}.json"
        if family not in (asked.families or FAMILIES) or count[family] > asked.most or file.exists():
            continue
        record, arrays = run(load(case_name, cache=asked.cache))
        with replacing(file.with_suffix(".npz")) as temporary:
            np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(record))
        accuracy = {key: row["accuracy"] for key, row in record["candidates"].items()}
        best = max(accuracy, key=lambda key: accuracy[key])
        told = f"source-only {accuracy['source-only']:.3f}, best {best} {accuracy[best]:.3f}"
        print(f"{case_name}: {record['seconds']:.0f} s, {told}", flush=True)


if __name__ == "__main__":
    main()
