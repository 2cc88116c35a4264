"""Every candidate of `compare` on every case of the benchmark: what can be seen without labels, and the truth.

    python benchmarks/shifts/run.py                   all cases that have not run; it goes on where it stopped
    python benchmarks/shifts/run.py --families A B    of some families
    python benchmarks/shifts/run.py --table           accuracy by family and candidate, from what has run

Each case leaves figures (``runs/CASE.json``) and the candidates' probabilities on the target (``.npz``) in the
cache, so that a rule of choice or an estimate can be tried in seconds. `docs/choosing_study.py` reads them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shifts.case import Case
from shifts.cases import load, names, root_of
from unseen.compare.choice import scores
from unseen.compare.fits import run_all
from unseen.compare.inputs import Inputs, prepare
from unseen.compare.validators import learner_of
from unseen.runtime import limited_threads, replacing
from unseen.scale import Engine

CANDIDATES = (
    "source-only", "standardize", "standardize:views", "coral", "ot", "prototypes", "shot", "aad", "glc", "propagate",
    "propagate:views", "propagate:shares",
)  # fmt: skip


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
    wanted = [name for name in CANDIDATES if inputs.two_views is not None or not name.endswith(":views")]
    pairs = tuple((name.partition(":")[0], name.partition(":")[2] or "default") for name in wanted)
    started = time.process_time()
    cells = run_all(inputs, pairs, 1, None, Engine())
    by_name = dict(zip(wanted, cells.values()))
    truth = inputs.exams["adapted"].open()
    known = np.isin(truth, np.arange(len(inputs.classes)))
    with limited_threads():
        validators = scores(by_name)
        learner = learner_of(inputs.source)  # type: ignore[arg-type]
    record = {
        "case": case.name, "family": case.family, "tags": list(case.tags), "classes": len(inputs.classes),
        "source": len(inputs.source), "target": len(inputs.target), "width": inputs.source.n_features,  # type: ignore[arg-type,union-attr]
        "known": float(known.mean()), "learner": learner,
        "seconds": time.process_time() - started,
        "candidates": {
            name: {
                "accuracy": float((group[0]["adapted"]["prediction"][known] == truth[known]).mean()),
                "seconds": group[0]["seconds"],
                "validators": {key: values[0] for key, values in validators[name].items()},
                "estimates": group[0]["estimates"],
            }
            for name, group in by_name.items()
        },
    }  # fmt: skip
    arrays = {f"p {name}": group[0]["adapted"]["raw"].numpy().astype(np.float16) for name, group in by_name.items()}
    arrays |= {f"y {name}": group[0]["adapted"]["prediction"].astype(np.int16) for name, group in by_name.items()}
    arrays |= {
        "truth": truth.astype(np.int16),
        "shares": np.bincount(inputs.source.labels, minlength=len(inputs.classes)),
    }  # type: ignore[union-attr]
    return record, arrays


def runs(cache: Path | None = None) -> list[dict[str, Any]]:
    """The figures of all cases that have run."""
    return [json.loads(file.read_text()) for file in sorted((root_of(cache) / "runs").glob("*.json"))]


def table(records: list[dict[str, Any]]) -> str:
    """Mean accuracy by family and candidate."""
    families = sorted({record["family"] for record in records})
    lines = ["| family | cases | " + " | ".join(CANDIDATES) + " |", "|---" * (len(CANDIDATES) + 2) + "|"]
    for family in families:
        own = [record["candidates"] for record in records if record["family"] == family]
        cells = [[one[name]["accuracy"] for one in own if name in one] for name in CANDIDATES]
        told = [f"{np.mean(values):.3f}" if values else "" for values in cells]
        lines.append(f"| {family} | {len(own)} | " + " | ".join(told) + " |")
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
    for name in every:
        family = name.partition("--")[0]
        count[family] = count.get(family, 0) + 1
        file = folder / f"{name}.json"
        if (asked.families and family not in asked.families) or count[family] > asked.most or file.exists():
            continue
        record, arrays = run(load(name, cache=asked.cache))
        with replacing(file.with_suffix(".npz")) as temporary:
            np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(record))
        best = max(record["candidates"], key=lambda key: record["candidates"][key]["accuracy"])
        print(
            f"{name}: {record['seconds']:.0f} s, source-only {record['candidates']['source-only']['accuracy']:.3f}, "
            f"best {best} {record['candidates'][best]['accuracy']:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
