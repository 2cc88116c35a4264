"""Another toolbox on every case: four methods of SKADA, beside which the choice must stand (`pip install skada`).

    python benchmarks/shifts/toolbox.py    the accuracies that docs/choosing.json lacks; 3 seconds a case

Each adapts before the same logistic regression, on the same samples as the candidates of `compare`, standardized
together as SKADA's pipelines do. The best of the four is chosen with the labels of the target.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shifts.case import Case
from shifts.cases import load
from shifts.run import inputs_of
from shifts.study import FILE
from unseen.compare.fits import split
from unseen.data.domain import Domain


def predictions(source: Domain, target: Domain) -> dict[str, NDArray[np.int64]]:
    """What each says of the target, which it adapts to: standardized together, as SKADA's pipelines do."""
    from skada import (
        CORALAdapter,
        LinearOTMappingAdapter,
        OTMappingAdapter,
        SubspaceAlignmentAdapter,
        make_da_pipeline,
    )

    x = np.concatenate([source.x, target.x]).astype(np.float64)
    domains = np.repeat([1, -2], [len(source), len(target)])
    y = np.concatenate([source.labels, np.full(len(target), -1)])
    directions = min(128, x.shape[1], len(source) - 1, len(target) - 1)
    adapters = {
        "CORAL": CORALAdapter(),
        "subspace alignment": SubspaceAlignmentAdapter(n_components=directions),
        "linear OT": LinearOTMappingAdapter(reg=1e-3),
        "OT mapping": OTMappingAdapter(),
    }
    found = {}
    for name, adapter in adapters.items():
        pipeline = make_da_pipeline(StandardScaler(), adapter, LogisticRegression(max_iter=300))
        pipeline.fit(x, y, sample_domain=domains)
        found[name] = pipeline.predict(target.x.astype(np.float64), sample_domain=np.full(len(target), -2))
    return found


def measured(case: Case, seed: int = 0) -> dict[str, float]:
    """Accuracy of each on the samples of known classes."""
    inputs = inputs_of(case)
    source, target, truth = split(inputs, seed)[0].inputs["source"], inputs.target, inputs.exams["adapted"].open()
    assert target is not None
    known = np.isin(truth, np.arange(len(inputs.classes)))
    told = predictions(source, target)
    return {name: float(f"{(labels[known] == truth[known]).mean():.4g}") for name, labels in told.items()}


def main() -> None:
    """Measure what is lacking."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    for row in rows:
        if "skada" not in row:
            row["skada"] = measured(load(row["case"]))
            print(row["case"], row["skada"], flush=True)
            FILE.write_text("[\n" + ",\n".join(json.dumps(other) for other in rows) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
