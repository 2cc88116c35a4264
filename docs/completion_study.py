"""The table of relations without triples on docs/ontologies.md: `nearest-relation` on the folds of ontozsl's claim.

python docs/completion_study.py      a minute; the figures of `ontozsl` are those of docs/evidence
"""

from __future__ import annotations

import numpy as np

from unseen.claims.completions import completion, graded_tails
from unseen.methods.baselines.nearest_relation import NearestRelation

FOLDS = {"nations": (1, 2, 3, 4), "cldr": (0, 1, 2, 3, 4)}
"""Those that ontozsl was judged on."""


def main() -> None:
    """Mean reciprocal rank of the true tails among all entities."""
    for name, numbers in FOLDS.items():
        found = []
        for number in numbers:
            given = completion(name, number)
            method = NearestRelation().fit(source=given.source, classes=given.classes)
            scores = np.zeros((len(given.test), len(given.graph.entities)))
            some = method.score_tails(given.test[:, :2]).numpy()
            scores[:, : some.shape[1]] = some
            found.append(graded_tails(given, scores)["open mrr"])
        print(f"{name}: {np.mean(found):.3f} over {len(found)} folds")


if __name__ == "__main__":
    main()
