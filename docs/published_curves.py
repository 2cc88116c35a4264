"""Compute the curves that come along with concept-frequency from the paper's published tables.

    python docs/published_curves.py FOLDER

FOLDER holds counts.csv.gz and accuracy.csv.gz; see `unseen.methods.curation.concept_frequency.published`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import unseen.methods.curation.concept_frequency as room
from unseen.methods.curation.concept_frequency.predict import learn_curve
from unseen.methods.curation.concept_frequency.published import COUNTED_AS, SEARCHES, read_published, thinned
from unseen.runtime import replacing

LICENCE = (
    "Counts and accuracies: bethgelab/frequency_determines_performance, MIT License, "
    "Copyright (c) 2023 Vishaal Udandarao"
)


def main(folder: str) -> None:
    """Write curves.json beside the method."""
    points = read_published(folder)
    curves = {}
    for (corpus, model), own in points.groupby(["corpus", "model"], sort=True):
        if corpus in COUNTED_AS:
            continue
        for search in SEARCHES:
            known = own[own[search].notna()]
            curve = thinned(learn_curve(known[search].to_numpy(float), known.accuracy.to_numpy(float)))
            told = dataclasses.asdict(curve)
            told |= {key: round(told[key], 4) for key in ("slope", "intercept")}
            told["errors"] = [[round(error, 2) for error in group] for group in curve.errors]
            told["bounds"] = [round(bound, 4) for bound in curve.bounds]
            curves[f"{corpus}/{model}/{search}"] = told
    file = Path(room.__file__).parent / "curves.json"
    with replacing(file) as temporary:
        temporary.write_text(json.dumps({"source": LICENCE, "curves": curves}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
