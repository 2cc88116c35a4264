"""The table of taggers on docs/tag.md: `whole-or-named` on the cases that crosslingual-am was confirmed on.

UNSEEN_DATA=FOLDER python docs/tagging_study.py      two minutes; other figures are those of docs/evidence
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from unseen.claims.crosslingual_am import asked, claim, exam_of, learnt_pairs
from unseen.data.sources.abstrct import abstrct
from unseen.methods.baselines.whole_or_named import WholeOrNamed

CASES = claim.experiments["tagging"].confirmation
FIGURES = ("span f1", "partial sentences", "token micro")
ARMS = ("zero-shot", "whole zero-shot", "translate-train", "whole sentences", "gold")
"""Of the claim."""


def main() -> None:
    """Figures of each case and their means; each tagger learns once for a language."""
    started = time.process_time()
    untranslated = WholeOrNamed().fit(source=abstrct("en"))
    taggers = {"without translations": dict.fromkeys({case.split()[0] for case in CASES}, untranslated)}
    taggers["with translations"] = {
        language: WholeOrNamed().fit(source=pairs.left, pairs=pairs)
        for language in sorted(taggers["without translations"])
        for pairs in [learnt_pairs(language)]
    }
    print(f"learnt in {(time.process_time() - started) / 4:.0f} s of a processor each")
    recorded = json.loads(Path(__file__).with_name("evidence").joinpath("crosslingual-am.json").read_text())["rows"]
    told = {(case, arm, metric): value for what, case, _, arm, metric, value in recorded if what == "tagging"}
    for case in CASES:
        for arm, own in taggers.items():
            figures = asked(own[case.split()[0]], exam_of(case))
            told |= {(case, arm, metric): figures[metric] for metric in FIGURES}
    print("\t".join(["", *FIGURES]))
    for arm in (*ARMS, *taggers):
        for case in CASES:
            print("\t".join([f"{arm}, {case}", *(f"{told[case, arm, metric]:.3f}" for metric in FIGURES)]))
        print("\t".join([f"{arm}, mean", *(f"{np.nanmean([told[c, arm, m] for c in CASES]):.3f}" for m in FIGURES)]))


if __name__ == "__main__":
    main()
