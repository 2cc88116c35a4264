"""The figures of trust.md on the diagnosis: known novel shares and known class shares on emoji styles.

Run it with `python docs/diagnosis_study.py`; it takes some minutes on two cores.
"""

from __future__ import annotations

import itertools

import numpy as np
from label_study import DEVELOPMENT, JUDGING

from unseen import encoders
from unseen.data.domain import Domain
from unseen.data.sources import emoji, in_common
from unseen.diagnosis.domain_classifier import domain_auc
from unseen.diagnosis.label_shift import label_shift, total_variation
from unseen.diagnosis.novelty import novel_share

CLASSES = 29


def shares(y: np.ndarray) -> np.ndarray:
    """Class shares of labels, (29,)."""
    return np.bincount(y, minlength=CLASSES) / len(y)


def skewed(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which samples stay if a random half of the classes keeps a fifth of its samples."""
    rare = rng.permutation(CLASSES)[: CLASSES // 2]
    return ~np.isin(y, rare) | (rng.random(len(y)) < 0.2)


def novelty(pairs: list[tuple[Domain, Domain]]) -> None:
    """Print true and estimated shares of samples of classes that the source lacks."""
    print("| classes left out of the source | true share | estimate, mean | mean absolute error |")
    for left_out in (0, 5, 10):
        rows = []
        for k, (source, target) in enumerate(pairs):
            novel = np.random.default_rng(k).permutation(CLASSES)[:left_out]
            known = source.x[~np.isin(source.labels, novel)]
            rows.append((np.isin(target.labels, novel).mean(), novel_share(known, target.x)))
        true, found = np.array(rows).T
        print(f"| {left_out} | {true.mean():.2f} | {found.mean():.2f} | {np.abs(true - found).mean():.2f} |")


def within(domains: list[Domain]) -> None:
    """Print the errors of class shares where nothing but the shares differs: two halves of one style."""
    rows = []
    for k, domain in enumerate(domains):
        rng = np.random.default_rng(k)
        order = rng.permutation(len(domain))
        source, target = domain.take(order[: len(order) // 2]), domain.take(order[len(order) // 2 :])
        target = target.take(skewed(target.labels, rng))
        rows.append(_errors(source, target))
    _print("two halves of one style, one skewed", rows)


def across(pairs: list[tuple[Domain, Domain]]) -> None:
    """Print the errors of class shares from one style to another."""
    _print("from one style to another", [_errors(*pair) for pair in pairs])


def _errors(source: Domain, target: Domain) -> tuple[float, ...]:
    truth = shares(target.labels)
    found = label_shift(source.x, source.labels, target.x, CLASSES)
    assert found is not None
    return (
        total_variation(shares(source.labels), truth),
        total_variation(found.mlls, truth),
        total_variation(found.bbse, truth),
        found.remaining,
    )


def _print(title: str, rows: list[tuple[float, ...]]) -> None:
    true, mlls, bbse, remaining = np.mean(rows, axis=0)
    print(f"| {title} | {true:.2f} | {mlls:.2f} | {bbse:.2f} | {remaining:.2f} |")


def main() -> None:
    """Print the tables of both groups of styles."""
    encoder = encoders.get("efficientnet-lite0")
    groups = {
        "development": [encoder.encode(d) for d in in_common(*map(emoji, DEVELOPMENT))],
        "judging": [encoder.encode(d) for d in map(emoji, JUDGING)],
    }
    for title, domains in groups.items():
        pairs = list(itertools.permutations(domains, 2))
        aucs = [domain_auc(a.x, b.x).auc for a, b in itertools.combinations(domains, 2)]
        print(f"\n{title}: {len(pairs)} pairs; AUC from {min(aucs):.2f} to {max(aucs):.2f}")
        novelty(pairs)
        print("| data | true distance | error of MLLS | error of BBSE | remaining AUC |")
        within(domains)
        across(pairs)


if __name__ == "__main__":
    main()
