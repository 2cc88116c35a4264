"""Names or labels, where each class has one label: which to trust, as these labels alone can tell.

    python benchmarks/shifts/cases.py --make        the pictures, once
    python benchmarks/shifts/one_label.py           the tables of docs/choosing.md, ten minutes

Pools of `names.py`, at most three of a family and 600 samples of each, with two draws of a label a class. Figures are
accuracies on the other samples, means over families.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shifts.names import Record, pools
from unseen import catalogue
from unseen.compare.choice import BY_LABELS, BY_NAMES
from unseen.data.domain import Domain
from unseen.runtime import limited_threads

FEW, MOST, CLASSES, DRAWS = 3, 600, 40, 2
NAMES = ("propagate-names", "self-train-names", "describe", "describe-centred")
SHARES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)


def rows() -> Iterator[Record]:
    """A row for each pool and draw: accuracy of each candidate, and the share of the labels that names have right."""
    had: Counter[str] = Counter()
    for family, name, pool in pools():
        if had[family] >= FEW or name.endswith("unbalanced"):
            continue
        pool = _lean(pool)
        if not 2 <= len(pool.classes or ()) <= CLASSES:
            continue
        had[family] += 1
        given = catalogue.Given({"classes": pool.classes, "target": pool.unlabeled()}, shared_space=True)
        said = {slug: given.fit(catalogue.make(slug)).predict(pool) for slug in NAMES}
        for draw in range(DRAWS):
            yield {"family": family, "pool": name, **_one(pool, said, np.random.default_rng(draw))}


def _lean(pool: Domain) -> Domain:
    """At most `MOST` samples, and the classes that these have."""
    pool = pool.take(np.random.default_rng(0).permutation(len(pool))[:MOST])
    assert pool.classes is not None
    used, labels = np.unique(pool.labels, return_inverse=True)
    return pool.with_labels(labels, pool.classes.take(used))


def _one(pool: Domain, said: dict[str, np.ndarray], rng: np.random.Generator) -> Record:
    asked = np.array([rng.choice(np.flatnonzero(pool.labels == c)) for c in range(len(pool.classes or ()))])
    rest = np.setdiff1d(np.arange(len(pool)), asked)
    target = pool.take(rest)
    given = catalogue.Given({"support": pool.take(asked), "target": target.unlabeled()})
    right = {slug: given.fit(catalogue.make(slug)).predict(target) == target.labels for slug in BY_LABELS}
    right |= {slug: found[rest] == target.labels for slug, found in said.items()}
    shares = {slug: float((found[asked] == pool.labels[asked]).mean()) for slug, found in said.items()}
    return {"accuracy": {slug: float(hits.mean()) for slug, hits in right.items()}, "labels": shares}


def by_share(row: Record, share: float) -> float:
    """The accuracy where names are taken if more than `share` of the labels agree with what fits these best."""
    best = max((slug for slug in BY_NAMES if slug in NAMES), key=lambda slug: row["labels"][slug])
    return float(row["accuracy"][best if row["labels"][best] > share else BY_LABELS[0]])


def main() -> None:
    """Print both tables."""
    with limited_threads():
        found = list(rows())
    families = sorted({row["family"] for row in found})

    def mean(figure: Callable[[Record], float]) -> str:
        parts = [np.mean([figure(row) for row in found if row["family"] == family]) for family in families]
        return f"{np.mean(parts):.3f}"

    print(f"{len(found)} draws of {len(families)} families\n\n| candidate | accuracy |\n|---|---|")
    for slug in (*BY_LABELS, *NAMES):
        print(f"| `{slug}` | {mean(lambda row, slug=slug: row['accuracy'][slug])} |")  # type: ignore[misc]
    print("\n| names are taken from more than | accuracy |\n|---|---|")
    for share in SHARES:
        print(f"| {100 * share:.0f} % of the labels right | {mean(lambda row, s=share: by_share(row, s))} |")  # type: ignore[misc]


if __name__ == "__main__":
    main()
