"""The table of `parzc` and `forest-ranker` on docs/architectures.md, on the development cases of parzc's claim.

python docs/ranking_study.py      2 minutes on one core
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from unseen.claims.parzc import global_proxies, grade, split
from unseen.data.sources.architectures import architectures
from unseen.methods.architecture_rankers import ArchitectureRanker
from unseen.methods.baselines.forest_ranker import ForestRanker
from unseen.methods.compression.parzc import ParZC
from unseen.runtime import without_checkpoints

TABLES, TRAINED, SEEDS = ("cells-digits", "vits-digits"), (10, 20, 40), range(5)
METHODS: dict[str, Callable[..., ArchitectureRanker]] = {"forest-ranker": ForestRanker, "parzc": ParZC}
SIMPLE = ("snip", "parameters", "best proxy of the trained")
"""Ranked by one number of each architecture."""


@without_checkpoints()
def main() -> None:
    """Kendall's tau with the accuracies of the architectures that were not learnt from, and what the best five lack."""
    for name in TABLES:
        table = architectures(name)
        for trained in TRAINED:
            found: dict[str, list[tuple[float, float]]] = {arm: [] for arm in (*METHODS, *SIMPLE)}
            seconds = dict.fromkeys(METHODS, 0.0)
            for seed in SEEDS:
                learn, others = split(table, seed, trained)
                rest = others.domain()
                for arm, kind in METHODS.items():
                    began = time.process_time()
                    scores = kind(random_state=seed).fit(source=learn.domain()).predict(rest.x)
                    seconds[arm] += (time.process_time() - began) / len(SEEDS)
                    figures = grade(scores, rest.labels)
                    found[arm].append((figures["tau"], figures["regret"]))
                plain = global_proxies(learn, others)
                for arm in SIMPLE:
                    found[arm].append((plain[arm]["tau"], plain[arm]["regret"]))
            print(f"{name}, {trained} trained: tau, deviation over seeds, accuracy that the best five lack, seconds")
            for arm, figures_of in found.items():
                tau, regret = np.array(figures_of).T
                spent = f"{seconds[arm]:.1f}" if arm in seconds else ""
                print(f"  {arm:26} {tau.mean():.2f} ± {tau.std():.2f}  {100 * regret.mean():.1f}  {spent}", flush=True)


if __name__ == "__main__":
    main()
