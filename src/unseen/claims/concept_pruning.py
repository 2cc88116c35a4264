"""The claim of density-based pruning: a budget for each concept, by its complexity, keeps what a model learns from."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray
from scipy.stats import spearmanr

from unseen.claims import behaviours, worlds
from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_least, at_most, better, equals, not_worse
from unseen.claims.drawings import of_split
from unseen.claims.ledger import effect, mechanism, paper_scale, promised
from unseen.claims.pruning_pools import (
    EPS,
    Pool,
    drawn_of_emoji,
    drawn_pairs,
    features,
    nearest_neighbour,
    pairs,
    pool,
)
from unseen.nn.concepts import Concepts, Selection, find_concepts

BUDGETS = (0.05, 0.1, 0.2)
TEMPERATURES = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002)
"""What is tried on the validation samples, besides the automatic one."""
MANY = 6
"""Samples per concept where there are too many concepts."""


def redundant(case: str, seed: int) -> Result:
    """Accuracy of the nearest kept neighbour on balanced samples, for each rule; the mean over three budgets.

    Budgets are shares of what there is to choose from: of the pool, or of what deduplication leaves. Arms "as many"
    are deduplicated and keep as many as without.
    """
    data = pool(case, seed)
    concepts = find_concepts(data.x, restarts=5, random_state=seed)
    t = chosen_temperature(data, concepts)
    rules: dict[str, dict[str, Any]] = {
        "random": {"rule": "random", "random_state": seed},
        "ssp": {"rule": "ssp"},
        "ssp, floor 0.5": {"rule": "ssp", "floor": 0.5},
        "balanced": {"rule": "uniform"},
        "dbp": {},
    }
    variants: dict[str, dict[str, Any]] = {
        "easiest": {"pick": "easiest"},
        "dbp, t chosen": {"temperature": t},
        "dbp, t 0.1": {"temperature": 0.1},
        "dbp, d_intra alone": {"measure": "intra"},
        "dbp, d_inter alone": {"measure": "inter"},
    }
    out = {name: grade(data, concepts, settings) for name, settings in (rules | variants).items()}
    out["dbp, t chosen"]["temperature"] = t
    out["dbp"] |= exactness(concepts, "auto") | {"finds redundancy": redundancy_found(data, concepts)}
    out["dbp, too many concepts"] = grade(
        data, find_concepts(data.x, n_clusters=len(data.x) // MANY, restarts=1, random_state=seed), {}
    )
    unique = find_concepts(data.x, dedup=EPS, restarts=5, random_state=seed)
    for name, settings in rules.items():
        out[f"{name}, deduplicated"] = grade(data, unique, settings, of=len(unique.members))
        out[f"{name}, deduplicated, as many"] = many = grade(data, unique, settings)
        out[name]["rise"] = many["accuracy"] - out[name]["accuracy"]
    out["other rules"] = {"rise": max(out[name]["rise"] for name in rules if name != "random")}
    out["all"] = {"accuracy": nearest_neighbour(data.x, data.y, data.test, data.test_y)}
    return out


def chosen_temperature(data: Pool, concepts: Concepts) -> float:
    """The temperature that is best on the validation samples over the three budgets; of equals the highest."""
    tried = [*TEMPERATURES, concepts.select(2).temperature]
    scores = []
    for t in tried:
        kept = [concepts.select(round(share * len(data.x)), temperature=t).indices for share in BUDGETS]
        scores.append(
            np.mean([nearest_neighbour(data.x[i], data.y[i], data.validation, data.validation_y) for i in kept])
        )
    return float(tried[int(np.argmax(scores))])


def grade(data: Pool, concepts: Concepts, settings: dict[str, Any], of: int | None = None) -> dict[str, float]:
    """Accuracy at each budget and in the mean, and the share of the kept that are copies of another kept one.

    Budgets are shares `of` so many samples, of the pool if absent; all that there are, if that is less.
    """
    out: dict[str, float] = {}
    copies = []
    for share in BUDGETS:
        n = round(share * (len(data.x) if of is None else of))
        kept = concepts.select(min(n, len(concepts.members)), **settings).indices
        out[f"accuracy at {share:.0%}"] = nearest_neighbour(data.x[kept], data.y[kept], data.test, data.test_y)
        copies.append(further_copies(data.origin[kept]))
    return {"accuracy": float(np.mean(list(out.values()))), **out, "copies": float(np.mean(copies))}


def further_copies(origin: Int[np.ndarray, " n"]) -> float:
    """Share of samples beyond the first of each original."""
    return 1 - len(np.unique(origin)) / len(origin)


def exactness(concepts: Concepts, t: float | Literal["auto"]) -> dict[str, float]:
    """How far budgets are from what they must be: sums, bounds, one shift for all between bounds, the hardest kept."""
    wrong = 0.0
    for share in BUDGETS:
        n = round(share * len(concepts.labels))
        chosen = concepts.select(n, temperature=t)
        plan = chosen.plan
        assert plan is not None
        inside = (plan.exact > plan.lower + 1e-9) & (plan.exact < plan.upper - 1e-9)
        shift = (plan.exact - plan.wanted)[inside]
        wrong = max(
            wrong,
            abs(float(plan.exact.sum()) - n),
            abs(int(plan.whole.sum()) - n),
            float((plan.lower - plan.whole).clip(0).max()),
            float((plan.whole - plan.upper).clip(0).max()),
            float(np.ptp(shift)) if len(shift) else 0.0,
            _softer_than_dropped(concepts, chosen),
        )
    return {"violation": wrong}


def _softer_than_dropped(concepts: Concepts, chosen: Selection) -> float:
    """How much farther the farthest dropped member of a concept is than its nearest kept one, at most; 0 is right."""
    worst = 0.0
    mask = chosen.mask
    for j in np.flatnonzero((chosen.budgets > 0) & (chosen.budgets < chosen.sizes)):
        mine = concepts.labels == j
        worst = max(worst, float(concepts.distances[mine & ~mask].max() - concepts.distances[mine & mask].min()))
    return worst


def redundancy_found(data: Pool, concepts: Concepts) -> float:
    """Rank correlation of complexity and the share of a concept's members that are not further copies."""
    sizes = np.bincount(concepts.labels, minlength=len(concepts.centroids))
    there = np.flatnonzero(sizes >= 2)
    distinct = np.array([1 - further_copies(data.origin[concepts.labels == j]) for j in there])
    c: NDArray[np.float64] = concepts.select(2).complexity[there]
    return float(spearmanr(c, distinct).statistic)


DATA = "pools with copies, 1-NN on balanced samples, mean of 5, 10 and 20 % kept"
PAIRS = "small towers, 27.7 % of a redundant pool of emoji, a fifth of whose captions are wrong"
WORDS = "accuracy of held-out emoji by the words for their subgroups, which captions of other emoji hold, too"


def behaviour() -> dict[str, Any]:
    """Which of some points stay by each rule, with copies and without."""
    x = np.concatenate([behaviours.blobs().x, behaviours.blobs().x[:20]]).astype(np.float32)
    whole, unique = (find_concepts(x, n_clusters=6, restarts=2, dedup=dedup) for dedup in (None, 0.02))
    rules: dict[str, Any] = {"dbp": {}, "ssp": {"rule": "ssp", "floor": 0.5}, "balanced": {"rule": "uniform"}}
    return {
        f"{name}{suffix}": np.sort(concepts.select(20, **rule).indices)
        for suffix, concepts in (("", whole), (", deduplicated", unique))
        for name, rule in rules.items()
    }


# fmt: off
FIRST, MANY_FIRST = "dbp, deduplicated", "dbp, deduplicated, as many"
AT_EQUAL_SIZE = (
    (effect, better("ssp", "random", "accuracy"),
        "Pruning the most prototypical samples, whatever their concept (SSP, no floor), beats random pruning"),
    (effect, better("ssp, floor 0.5", "random", "accuracy"),
        "SSP with the class balance of its paper (floor 0.5) beats random pruning"),
    (promised, better("dbp", "random", "accuracy", by=0.05),
        "Pruning by concept beats random pruning by more than 5 points"),
    (promised, better("dbp", "ssp", "accuracy", by=0.04),
        "A rate specific to the concept beats SSP-Pruning without a floor at equal size by more than 4 points"),
    (effect, better("dbp", "ssp, floor 0.5", "accuracy", by=0.04),
        "It beats SSP-Pruning with the class balance of its paper (floor 0.5) by more than 4 points, too"),
    (effect, better("dbp", "balanced", "accuracy", by=0.005),
        "Adapting the rate to a concept's complexity beats equal budgets by more than half a point"),
    (effect, better("dbp, t chosen", "balanced", "accuracy", by=0.005),
        "So does a temperature that is chosen on validation labels (for information: pruning has no labels)"),
    (promised, better("dbp", "easiest", "accuracy"),
        "Keeping the most prototypical samples of each concept is worse than keeping the least"),
    (effect, better("random", "dbp", "copies", lower=True),
        "Deduplication is a prerequisite: without it pruned samples hold more copies than random ones do"),
    (effect, better(MANY_FIRST, "dbp", "accuracy"),
        "Deduplication first helps pruning by concept, at as many samples"),
    (effect, better("random", "other rules", "rise"),
        "Random pruning gains most by deduplication, at as many samples, more than the best of the other rules"),
    (effect, better(FIRST, "random, deduplicated", "accuracy"),
        "After deduplication pruning by concept beats random pruning"),
    (effect, better(FIRST, "ssp, deduplicated", "accuracy"),
        "After deduplication pruning by concept beats SSP-Pruning without a floor"),
    (effect, better(FIRST, "ssp, floor 0.5, deduplicated", "accuracy"),
        "After deduplication pruning by concept beats SSP-Pruning with a floor of 0.5"),
    (effect, better(FIRST, "balanced, deduplicated", "accuracy"),
        "After deduplication pruning by concept beats equal budgets"),
    (effect, better("dbp", "dbp, d_intra alone", "accuracy"),
        "The product of both distances beats d_intra alone (the paper's ablation)"),
    (effect, better("dbp", "dbp, d_inter alone", "accuracy"),
        "The product of both distances beats d_inter alone (the paper's ablation)"),
    (effect, better("dbp", "dbp, too many concepts", "accuracy"),
        "Too many concepts hurt (the paper's ablation)"),
)
"""What the abstract and its ablations say of pruning, to be asked of characters, as it stands here, and of emoji, where
nothing is promised; the temperature is the automatic one."""

LEARNT_FROM_PAIRS = (
    (better("whole", "random", "wrong captions", lower=True),
        "The quality filter takes wrong captions out: fewer of the kept pairs have one than of random pairs"),
    (not_worse("whole", "all", "by words", within=0.01),
        "A quarter of the training cost: after as many epochs, so with 27.7 % of the steps, filtered, deduplicated "
        f"and pruned pairs lose at most a point against all ({WORDS})"),
    (better("whole", "all", "by words"),
        "A smaller set of higher quality gives a higher accuracy by words at lower cost"),
    (better("whole, equal steps", "all", "by words"),
        "At the cost of all pairs, as many steps, filtered and pruned pairs give a higher accuracy by words"),
    (better("whole", "random", "by words"),
        "At equal size and cost filtered and pruned pairs beat random ones in accuracy by words"),
    (better("whole", "random, filtered", "by words"),
        "At equal size and cost they beat random ones of the filtered, deduplicated pairs"),
    (better("whole", "quality", "by words"),
        "At equal size and cost they beat the pairs of the most similar captions (quality alone)"),
    (better("whole", "dbp", "by words"),
        "The quality filter first helps pruning by concept in accuracy by words"),
    (better("dbp", "random", "by words"),
        "Without the filter pruned pairs beat random ones in accuracy by words"),
    (better("dbp", "random, deduplicated", "by words"),
        "Without the filter they beat random ones of the deduplicated pairs"),
    (better("dbp", "ssp", "by words"),
        "Without the filter they beat SSP-Pruning, without a floor, of the deduplicated pairs"),
    (better("dbp", "ssp, floor 0.5", "by words"),
        "Without the filter they beat SSP-Pruning with a floor of 0.5 of the deduplicated pairs"),
    (better("whole", "all", "shift"),
        "Under distribution shift, to drawings of other vendors, filtered and pruned pairs beat all of them"),
    (better("whole", "random", "shift"),
        "Under distribution shift they beat as many random ones"),
    (better("whole", "random, filtered", "shift"),
        "Under distribution shift they beat as many random ones of the filtered, deduplicated pairs"),
    (better("whole", "all", "retrieval"),
        "In retrieval of captions and pictures, both ways, filtered and pruned pairs beat all of them"),
    (better("whole", "random", "retrieval"),
        "In retrieval they beat as many random ones"),
)
"""What a small model learns from the kept pairs: `whole` is quality filter, deduplication and pruning."""

LEDGER = (
    mechanism("redundant", equals("dbp", "violation", 0.0, tolerance=1e-6),
        "Budgets solve the quadratic programme exactly: they sum to what is kept, respect their bounds, "
        "differ from what was wanted by one shift; inside a concept the least prototypical samples stay."),
    mechanism("redundant", at_least("dbp", "finds redundancy", 0.3),
        "The complexity measure tells redundant concepts from diverse ones: its rank correlation with the "
        f"share of members that are no copies (characters; {DATA})."),
    mechanism("redundant", better(MANY_FIRST, "dbp", "copies", by=0.2, lower=True),
        "Deduplication takes copies out of what is kept: their share falls by more than 20 points "
        f"(characters; {DATA})."),
    effect("redundant", at_most(FIRST, "copies", 0.05),
        f"After deduplication at most 5 % of what is kept are copies (characters; {DATA})."),
    *(row("redundant", holds, f"{text} (characters; {DATA}).") for row, holds, text in AT_EQUAL_SIZE),
    *(effect("pictures", holds, f"{text} (emoji; {DATA}).") for _, holds, text in AT_EQUAL_SIZE),
    *(effect("pairs", holds, f"{text} ({PAIRS}).") for holds, text in LEARNT_FROM_PAIRS),
    paper_scale("With 27.7 % of LAION and compute, ViT-B/32 is 1.1 points above OpenCLIP's on zero-shot ImageNet.",
        "Needs LAION-400M and weeks of GPUs. `unseen prune EMBEDDINGS --clusters 500 --temperature 0.1 "
        "--keep 0.277 --out kept` chooses the pairs; OpenCLIP trains on them with its defaults."),
    paper_scale("Shifts of ImageNet, retrieval and the average of VTAB improve as well.",
        "The same training, graded by CLIP benchmark; the small versions above are what runs here."),
    paper_scale("On DataComp Medium the ImageNet accuracy is the best at its time, the mean of 38 tasks competitive.",
        "Needs the 128 million pairs of the pool: `unseen prune shard.npz --clusters 100 --temperature 0.1 --out kept` "
        "writes uids.npy, which DataComp's resharder takes."),
)

claim = Claim(
    slug="concept-pruning",
    ledger=LEDGER,
    behaviour=behaviour,
    experiments={
        "redundant": Experiment(
            run=redundant, data=lambda case: [features(case)], drawn=pool,
            development=("handwritten digits", "printed digits"),
            confirmation=("printed capitals", "printed small letters"), unit="set of characters",
            nothing="random", **seeds(4)),
        "pictures": Experiment(
            run=redundant, data=lambda case: of_split(case.removeprefix("emoji of "), "subgroup"),
            drawn=drawn_of_emoji, development=("emoji of development",), confirmation=("emoji of confirmation",),
            unit="half of the emoji and of the vendors", nothing="random", **seeds(4)),
        "pairs": Experiment(
            run=pairs, data=lambda case: of_split(case, "name", "keywords", "subgroup"), drawn=drawn_pairs,
            development=("development",), confirmation=("confirmation",), nothing="random", **seeds(5),
            unit="half of the emoji and of the vendors (seeds draw which vendors are learnt from, copies and "
                 "captions)"),
    },
    licences=(worlds.DIGITS, worlds.FONTS, worlds.EMOJI, worlds.LITE0, worlds.MINILM),
)
# fmt: on
