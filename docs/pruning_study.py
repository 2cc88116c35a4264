"""The tables of `concept-pruning` and `simple-pruning` on docs/prune.md, on the development cases of the claim.

python docs/pruning_study.py      3 minutes on one core
"""

from __future__ import annotations

import numpy as np

from unseen.claims.pruning_pools import (
    EPOCHS,
    EPS,
    KEEP,
    LEARNT,
    NOISE,
    QUALITY,
    TIMES,
    WRONG,
    captions,
    emoji_features,
    grade,
    held_out,
    learn,
    nearest_neighbour,
    pool,
    scored,
    web_like,
)
from unseen.data.samplers import steps
from unseen.methods.baselines.simple_pruning import SimplePruning
from unseen.methods.curation.concept_pruning import ConceptPruning
from unseen.methods.pruners import Pruner
from unseen.nn.concepts import Concepts
from unseen.runtime import reproducible, without_checkpoints

CASES = ("handwritten digits", "printed digits", "emoji of development")
SEEDS, BUDGETS = range(4), (0.05, 0.1, 0.2)
BATCH = 128


def arms(seed: int) -> dict[str, Pruner]:
    """Both methods, and what else they can be set to."""
    return {
        "concept-pruning": ConceptPruning(),
        "concept-pruning, pick=random": ConceptPruning(pick="random", random_state=seed),
        "simple-pruning": SimplePruning(random_state=seed),
        "simple-pruning, rule=ssp": SimplePruning(rule="ssp"),
        "simple-pruning, rule=random": SimplePruning(rule="random", random_state=seed),
    }


def of_pools(case: str, seed: int) -> dict[str, list[float]]:
    """Accuracy of the nearest kept sample, the mean of three budgets: as it is, deduplicated, deduplicated and smaller.

    Budgets are shares of the pool, last of what deduplication leaves of it.
    """
    data = pool(case, seed)
    whole, unique = (SimplePruning(dedup=eps, restarts=5, random_state=seed).find(data.x) for eps in (None, EPS))

    def accuracy(method: Pruner, found: Concepts, of: int) -> float:
        numbers = [min(round(share * of), len(found.members)) for share in BUDGETS]
        kept = [method.choose(found, n).indices for n in numbers]
        return float(np.mean([nearest_neighbour(data.x[i], data.y[i], data.test, data.test_y) for i in kept]))

    ways = ((whole, len(data.x)), (unique, len(data.x)), (unique, len(unique.members)))
    return {name: [accuracy(method, *way) for way in ways] for name, method in arms(seed).items()}


def of_pairs(seed: int) -> dict[str, list[float]]:
    """What small towers learn from 27.7 % of filtered, deduplicated pairs: by words, under shift, in retrieval."""
    every = emoji_features("development")
    held, rng = held_out(every.columns["name"]), np.random.default_rng([seed, 11])
    known = np.isin(every.columns["vendor"], rng.permutation(5)[:LEARNT])
    some = every.take(np.flatnonzero(known & ~held))
    at = rng.permutation(web_like(some.labels, rng, TIMES, tail=0.0))
    x = some.x[at] + NOISE * float(some.x.std()) * rng.normal(size=(len(at), some.n_features)).astype(np.float32)
    wrong, said = rng.choice(len(x), round(WRONG * len(x)), replace=False), at.copy()
    wrong = np.sort(wrong)
    said[wrong] = np.roll(said[wrong], 1)
    texts = captions(some, said, rng)
    finder = SimplePruning(quality=QUALITY, dedup=EPS, restarts=1, random_state=seed)
    found = finder.find(x, scored(x, texts, rng, seed))
    n = min(round(KEEP * len(x)), len(found.members))
    exams = {"by words": every.take(np.flatnonzero(known & held)), "shift": every.take(np.flatnonzero(~known & held))}
    out = {}
    for name, method in arms(seed).items():
        kept = method.choose(found, n).indices
        with reproducible(seed), without_checkpoints():
            towers = learn(x[kept], texts[kept], EPOCHS * steps(len(kept), BATCH))
        out[name] = list(grade(towers, exams).values())
    return out


def told(title: str, found: list[dict[str, list[float]]]) -> None:
    """Means over seeds in points, a line for each arm."""
    print(title)
    for name in found[0]:
        print(f"  {name:30}", *(f"{100 * figure:6.1f}" for figure in np.mean([one[name] for one in found], axis=0)))


if __name__ == "__main__":
    each = {case: [of_pools(case, seed) for seed in SEEDS] for case in CASES}
    for case, found in each.items():
        told(f"{case}: as they are, deduplicated, deduplicated and smaller", found)
    told("mean of the three", [one for found in each.values() for one in found])
    told("pairs: by words, shift, retrieval", [of_pairs(seed) for seed in SEEDS])
