"""The picture of quantize.md: GENIE without data beside quantization from a few real pictures, at equal budget.

python docs/genie_curve.py    reads the newest evidence of genie, writes docs/images/genie-curve.png
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from unseen.claims.evidence import evidence_files

DOCS = Path(__file__).resolve().parent
ARMS = {"genie": "none:\nGENIE", "16 real": "16", "64 real": "64", "256 real": "256"}
EDGES = {"float": "the float network", "gaussian": "noise in place of pictures"}


def accuracies(rows: list[list]) -> dict[str, dict[str, np.ndarray]]:
    """Accuracy by arm and case, over seeds."""
    found: dict[str, dict[str, list[float]]] = {}
    for experiment, case, _, arm, metric, value in rows:
        if (experiment, metric) == ("digits", "accuracy"):
            found.setdefault(arm, {}).setdefault(case, []).append(value)
    return {arm: {case: np.array(values) for case, values in cases.items()} for arm, cases in found.items()}


def main() -> None:
    """Draw mean and range over seeds of each case."""
    record = json.loads(evidence_files(DOCS / "evidence", "genie")[-1].read_text())
    found = accuracies(record["rows"])
    cases = list(found["genie"])
    figure, axes = plt.subplots(1, len(cases), figsize=(4.2 * len(cases), 3.2), sharey=True, layout="constrained")
    for axis, case in zip(np.atleast_1d(axes), cases):
        values = [found[arm][case] for arm in ARMS]
        means = np.array([v.mean() for v in values])
        spread = np.abs(np.array([[v.min(), v.max()] for v in values]).T - means)
        axis.errorbar(range(len(ARMS)), means, yerr=spread, marker="o", capsize=3, color="#1f6feb")
        for arm, style in zip(EDGES, ("-", ":")):
            axis.axhline(found[arm][case].mean(), color="#57606a", linestyle=style, linewidth=1, label=EDGES[arm])
        axis.set_xticks(range(len(ARMS)), list(ARMS.values()))
        axis.set_title(case, fontsize=10)
        axis.set_xlabel("real pictures")
    axes = np.atleast_1d(axes)
    axes[0].set_ylabel("accuracy at W2A4")
    axes[0].legend(fontsize=8, loc="lower right")
    figure.savefig(DOCS / "images" / "genie-curve.png", dpi=110)


if __name__ == "__main__":
    main()
