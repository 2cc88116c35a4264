"""The figures of trust.md on labels: samples proposed by `unseen label` against random ones, on emoji styles.

Run it with `python docs/label_study.py`; it takes some minutes on two cores.
"""

from __future__ import annotations

import itertools

import numpy as np

from unseen import encoders
from unseen.data.domain import Domain
from unseen.data.sources import emoji, in_common
from unseen.labeling.gain import LEARNERS, accuracy
from unseen.labeling.typiclust import typiclust

DEVELOPMENT = ("noto", "twemoji", "openmoji", "fluent-emoji-flat", "fluent-emoji-high-contrast")
JUDGING = ("noto-v1", "emojione", "emojione-monotone", "fxemoji", "fluent-emoji")
BUDGETS = (20, 60)
SEEDS = 5
RULES = ("proposed", "random")

Scores = dict[tuple[str, str, int, str], list[float]]
"""Accuracies over seeds, by style, rule, budget and learner."""


def measure(domains: dict[str, Domain]) -> Scores:
    """Accuracy on all other samples of a style after learning from the labels that a rule asks for."""
    found: Scores = {}
    for style, domain in domains.items():
        for rule, budget, seed in itertools.product(RULES, BUDGETS, range(SEEDS)):
            if rule == "proposed":
                index = typiclust(domain.x, budget, seed=seed).positions
            else:
                index = np.random.default_rng(seed).permutation(len(domain))[:budget]
            for learner in LEARNERS:
                found.setdefault((style, rule, budget, learner), []).append(accuracy(learner, domain, index))
    return found


def report(title: str, found: Scores) -> None:
    """Print a row per budget and learner: means with deviations over seeds, the least gain, errors of the estimate."""
    styles = tuple(dict.fromkeys(style for style, *_ in found))
    print(f"\n{title}: {', '.join(styles)}; {SEEDS} seeds")
    print("| labels | learner | proposed | random | least gain of a style | error of the estimate, mean | largest |")
    for budget, learner in itertools.product(BUDGETS, LEARNERS):
        mean = {
            (rule, style): float(np.mean(found[style, rule, budget, learner])) for rule in RULES for style in styles
        }
        spread = {rule: np.mean([np.std(found[s, rule, budget, learner], ddof=1) for s in styles]) for rule in RULES}
        means = {rule: np.mean([mean[rule, s] for s in styles]) for rule in RULES}
        least = min(mean["proposed", s] - mean["random", s] for s in styles)
        errors = [abs(mean["proposed", a] - mean["proposed", b]) for a, b in itertools.permutations(styles, 2)]
        told = " | ".join(f"{means[rule]:.3f} ± {spread[rule]:.3f}" for rule in RULES)
        print(f"| {budget} | `{learner}` | {told} | {least:+.3f} | {np.mean(errors):.3f} | {max(errors):.3f} |")


def main() -> None:
    """Print the tables of both groups of styles."""
    encoder = encoders.get("efficientnet-lite0")
    common = in_common(*map(emoji, DEVELOPMENT))
    report("development", measure({d.name: encoder.encode(d) for d in common}))
    report("judging", measure({d.name: encoder.encode(d) for d in map(emoji, JUDGING)}))


if __name__ == "__main__":
    main()
