"""MTE's claims: planted tasks, two Gaussians, and emoji that it saw no drawing of."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims import behaviours, worlds
from unseen.claims.base import Claim, Experiment, Result, of_both, seeds
from unseen.claims.conditions import at_least, better, not_worse, wins
from unseen.claims.drawings import VENDORS, described, drawn, features, of_split
from unseen.claims.folds import components
from unseen.claims.ledger import effect, mechanism, paper_scale, promised
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.typing import FloatArray
from unseen.evaluation.metrics.zero_shot import mean_class_top1
from unseen.methods.baselines.conse import ConSE
from unseen.methods.baselines.dap import DAP
from unseen.methods.zero_shot.mte_zsar import MTEZSAR, regressors
from unseen.methods.zero_shot.mte_zsar.choice import Setting, cross_validate, matched
from unseen.methods.zero_shot.mte_zsar.choice import settings as settings_of
from unseen.nn.density_ratio import kliep
from unseen.nn.semantic import cosines
from unseen.nn.semantic import ridge as ridge_map
from unseen.nn.semantic_network import normalized
from unseen.nn.unseen_classes import class_vectors

FOLDS = 10
GROUPS = ("objects", "travel & places", "smileys & emotion", "animals & nature", "people & body")
WIDTH = 128
"""Principal components of features and of class vectors."""
OWN, POOL = 60, 2
"""Seen classes of the target's own data set, and vendors of the augmentation pool."""
TASKS = 64
"""Latent tasks, half the width of the class vectors."""
NEIGHBOURS = 3
"""K of self-training; the target has two drawings of each class."""


# -- data --------------------------------------------------------------------------------------------------


@functools.cache
def drawings(split: str) -> tuple[NDArray[np.float32], NDArray[np.float32], dict[str, NDArray[Any]]]:
    """Features of all emoji by five vendors, (5, n, 1280), vectors of their texts, (n, 128), and their columns.

    The splits share neither a set of drawings nor an emoji.
    """
    return features(split), components(described(split), WIDTH), columns_of(split)


def columns_of(split: str) -> dict[str, NDArray[Any]]:
    """What is said of all emoji of a split."""
    return dict(drawn(split)[0].columns)


def space(split: str, unseen: NDArray[np.int64]) -> ClassSpace:
    """All emoji of a split as classes, with a vector each."""
    _, vectors, columns = drawings(split)
    seen = np.setdiff1d(np.arange(len(vectors)), unseen)
    return ClassSpace(names=tuple(columns["name"].tolist()), embeddings=vectors, seen=seen)


def domain(split: str, which: NDArray[np.int64], vendors: list[int], name: str) -> Domain:
    """Drawings of some emoji by some vendors; the column `domain` holds what they are in the pool."""
    x, _, columns = drawings(split)
    y = np.tile(which, len(vendors))
    return Domain(
        x=np.concatenate([x[v][which] for v in vendors]), y=y, columns={"domain": kind(columns)[y]}, name=name
    )


def kind(columns: dict[str, NDArray[Any]]) -> NDArray[np.str_]:
    """The group of each emoji; clocks are a group of their own."""
    return np.where(columns["subgroup"] == "time", "clocks", columns["group"])


def reduced(learn: Domain, *others: Domain) -> list[Domain]:
    """All domains in the principal components of the first."""
    from sklearn.decomposition import PCA

    pca = PCA(WIDTH, svd_solver="covariance_eigh").fit(learn.x)
    return [d.replace(x=pca.transform(d.x).astype(np.float32)) for d in (learn, *others)]


STRUCTURES = ("shared", "separate")
# -- toys --------------------------------------------------------------------------------------------------


def simulated_tasks(structure: str, n: int, seed: int) -> tuple[FloatArray, Tensor, Tensor]:
    """The maps of 60 tasks, and n + 300 samples of them with noise, in 30 features."""
    d, t = 30, 60
    rng = np.random.default_rng([seed, n])
    truth = rng.normal(size=(t, d))
    if structure == "shared":
        truth = rng.normal(size=(t, 3)) @ rng.normal(size=(3, d)) / 3**0.5
    x = torch.as_tensor(rng.normal(size=(n + 300, d)))
    return truth, x, x @ torch.as_tensor(truth).T + torch.as_tensor(4 * rng.normal(size=(n + 300, t)))


def run_tasks(case: str, seed: int) -> Result:
    """So many noisy samples of 60 tasks, which are mixtures of three (`shared`) or have nothing in common (`separate`).

    Each mapping gets the penalty that is best on 300 other samples; the error is that of the map, over its size.
    """
    table: Result = {}
    n = int(case)
    for structure in STRUCTURES:
        truth, x, z = simulated_tasks(structure, n, seed)
        d = truth.shape[1]
        m = regressors.moments(x[:n], z[:n])
        penalties = [10.0**power for power in np.arange(-2, 1.1, 0.25)]
        maps = {
            "RR": [regressors.ridge(m, p) for p in penalties],
            "RMTL": [regressors.rmtl(m, p, q) for p in penalties for q in penalties],
            "GOMTL": [regressors.gomtl(m, d, p, p) for p in penalties],
            "MTE": [regressors.mte(m, d, p, p) for p in penalties],
        }
        for arm, tried in maps.items():
            w = min((f.s @ f.a for f in tried), key=lambda w: float((z[n:] - x[n:] @ w.T).square().mean()))
            error = float((w - torch.as_tensor(truth)).square().sum() / np.square(truth).sum())
            table[f"{arm}, {structure}"] = {"error": error}
    return table


def two_gaussians(d: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """400 training samples, half near the target, half far from it and of another linear map, with what they map to;
    the target, and the map near it."""
    rng = np.random.default_rng(seed)
    t, n = 8, 200
    near, far = (rng.normal(size=(d, t)) for _ in range(2))
    shift = 3 * np.ones(d) / d**0.5
    x = np.concatenate([rng.normal(size=(n, d)), shift + rng.normal(size=(n, d))])
    z = np.concatenate([x[:n] @ near, x[n:] @ far]) + 0.1 * rng.normal(size=(2 * n, t))
    return x, z, -0.5 * shift + rng.normal(size=(n, d)), near


def run_gaussians(case: str, seed: int) -> Result:
    """Training samples half near the target, half far from it and of another linear map; ridge regression."""
    x, z, target, near = two_gaussians(int(case), seed)
    n = len(target)
    x_, z_, pool = (torch.as_tensor(value) for value in (x, z, target))
    weights = kliep(pool, x_)(x_)
    errors = {
        "uniform": ridge_map(x_, z_, 1e-3),
        "weighted": ridge_map(x_, z_, 1e-3, weights),
        "near only": ridge_map(x_[:n], z_[:n], 1e-3),
    }
    truth = pool @ torch.as_tensor(near)
    table: Result = {arm: {"error": float((pool @ w - truth).square().mean())} for arm, w in errors.items()}
    table["weighted"]["removed"] = 1 - table["weighted"]["error"] / table["uniform"]["error"]
    table["near"], table["far"] = {"weight": float(weights[:n].mean())}, {"weight": float(weights[n:].mean())}
    return table


# -- emoji: the mapping ------------------------------------------------------------------------------------

INDUCTIVE: dict[str, Any] = {"weights": "none", "hubs": False}
TUNED: dict[str, dict[str, Any]] = {"ConSE": {"top": 10, "C": 1.0}, "DAP": {"C": 0.01}}
"""The best of top in 1 to 50 and C in 0.01 to 1 on the development emoji."""
MAPPINGS: dict[str, dict[str, Any]] = {
    "RR": {"mapping": "ridge"},
    "RMTL": {"mapping": "rmtl"},
    "GOMTL": {"mapping": "gomtl", "tasks": TASKS},
    "MTE word": {"tasks": TASKS, "matching": "word"},
    "MTE": {"tasks": TASKS},
}


def mapping_parts(case: str, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Unseen emoji, seen ones, and which drawings of these, vendor after vendor, are held out.

    Of every seen class one vendor's drawing, another one from class to class, is not learnt from.
    """
    split, fold = case.split()
    pictured = np.flatnonzero(columns_of(split)["group"] != "symbols")
    rng = np.random.default_rng(seed)
    unseen = np.sort(np.array_split(rng.permutation(pictured), FOLDS)[int(fold)])
    seen, vendors = np.setdiff1d(pictured, unseen), len(VENDORS[split])
    n = len(seen)
    return unseen, seen, np.arange(n * vendors) // n == np.tile(rng.integers(vendors, size=n), vendors)


def run_mapping(case: str, seed: int) -> Result:
    """A tenth of the emoji is unseen; all mappings, inductive, each with settings from held-out seen classes."""
    split = case.split()[0]
    unseen, known_classes, held = mapping_parts(case, seed)
    classes, everyone = space(split, unseen), list(range(len(VENDORS[split])))
    seen = domain(split, known_classes, everyone, "seen")
    source, known, test = reduced(seen.take(~held), seen.take(held), domain(split, unseen, everyone, "unseen"))

    table: Result = {}
    learnt: dict[str, MTEZSAR] = {}
    for arm, settings in MAPPINGS.items():
        method = learnt[arm] = MTEZSAR(**INDUCTIVE, **settings).fit(source=source, classes=classes)
        table[arm] = {"top1": mean_class_top1(test.labels, method.predict(test))}
    for arm in ("RR", "MTE"):
        pooled = MTEZSAR(**learnt[arm].get_params() | learnt[arm].setting_ | {"hubs": True})
        pooled.fit(source=source, classes=classes, target=test)
        table[f"{arm} NRM"] = {"top1": mean_class_top1(test.labels, pooled.transduction_)}
    for arm, samples in (("known", known), ("new", test)):
        projected = learnt["RR"].transform(torch.as_tensor(samples.x))
        prototypes = learnt["RR"].network_.prototypes[samples.labels]
        table[arm] = {"cosine": float(torch.cosine_similarity(projected, prototypes, dim=1).mean())}
    table["RR latent"] = {"top1": mean_class_top1(test.labels, ridge_by_factors(source, classes, test))}
    for arm, baseline in (("ConSE", ConSE(**TUNED["ConSE"])), ("DAP", DAP(**TUNED["DAP"]))):
        baseline.fit(source=source, classes=classes)
        table[arm] = {"top1": mean_class_top1(test.labels, baseline.predict(test))}
    table["MTE"]["times chance"] = table["MTE"]["top1"] * len(unseen)
    return table


def ridge_by_factors(source: Domain, classes: ClassSpace, test: Domain) -> NDArray[np.int64]:
    """Ridge regression, cut to k singular values, matched between its factors as MTE is: what matching alone does."""
    vectors = class_vectors(classes)
    x, new = (normalized(torch.as_tensor(part.x).double()) for part in (source, test))
    x, new = x - x.mean(dim=0), new - x.mean(dim=0)

    def regress(m: regressors.Moments, setting: Setting, tolerance: float) -> regressors.Factors:
        u, s, v = torch.linalg.svd(regressors.ridge(m, setting.penalty_a).a, full_matrices=False)
        root = s[: setting.tasks].sqrt()
        return regressors.Factors(u[:, : setting.tasks] * root, root[:, None] * v[: setting.tasks])

    y, weights = source.labels, torch.ones(len(x), dtype=torch.float64)
    setting, _ = cross_validate(settings_of(WIDTH, TASKS, None, None), regress, x, y, vectors, weights, latent=True)
    factors = regress(regressors.moments(x, vectors[y]), setting, 0.0)
    return classes.unseen[cosines(*matched(factors, new, vectors[classes.unseen], setting, True)).argmax(dim=1).numpy()]


# -- emoji: the augmentation -------------------------------------------------------------------------------


WEIGHTS = {"uniform": "none", "visual": "visual", "category": "category", "full": "full"}
POST: dict[str, dict[str, Any]] = {
    "ST": {"self_training": NEIGHBOURS},
    "NRM": {"hubs": True},
    "ST+NRM": {"self_training": NEIGHBOURS, "hubs": True},
}


def augmentation_parts(
    case: str, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], list[int]]:
    """Unseen emoji, the seen ones at hand, those of the pool, and the vendors, the first two for what is at hand."""
    split, group, half = case.split("/")
    kinds = kind(columns_of(split))
    rng = np.random.default_rng(seed)
    unseen = np.sort(np.array_split(rng.permutation(np.flatnonzero(kinds == group)), 2)[int(half)])
    rest = np.setdiff1d(np.arange(len(kinds)), unseen)
    mine = np.sort(rng.permutation(rest[~np.isin(kinds[rest], ("symbols", "clocks"))])[:OWN])
    return unseen, mine, np.setdiff1d(rest, mine), rng.permutation(len(VENDORS[split])).tolist()


def run_augmentation(case: str, seed: int) -> Result:
    """Half of a group is unseen; 60 seen classes by two vendors, and a pool of all others by three other vendors.

    The pool holds the other half of the group, which is relevant, and symbols and clocks, which are not. The target
    is drawn by the vendors of the 60 classes.
    """
    split, group, _ = case.split("/")
    unseen, mine, others, vendors = augmentation_parts(case, seed)
    at_hand = domain(split, mine, vendors[:2], "own")
    pool = domain(split, others, vendors[2:], "pool")
    both = Domain(x=np.concatenate([at_hand.x, pool.x]))
    _, source, auxiliary, target = reduced(both, at_hand, pool, domain(split, unseen, vendors[:2], "target"))
    inputs: dict[str, Any] = {"source": source, "classes": space(split, unseen)}
    everything = {**inputs, "auxiliary": auxiliary, "target": target}

    runs: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
        ("RR own", {"mapping": "ridge", "weights": "none"}, inputs),
        ("MTE own", {"tasks": TASKS, "weights": "none"}, inputs),
        ("RR uniform", {"mapping": "ridge", "weights": "none"}, everything),
        *((f"MTE {name}", {"tasks": TASKS, "weights": mode}, everything) for name, mode in WEIGHTS.items()),
    )
    table: Result = {}
    learnt: dict[str, MTEZSAR] = {}
    for arm, settings, data in runs:
        method = learnt[arm] = MTEZSAR(hubs=False, **settings).fit(**data)
        table[arm] = {"top1": mean_class_top1(target.labels, method.predict(target))}
        if arm.startswith("MTE") and data is everything:
            table[arm]["effective size"] = method.effective_size_ / len(method.weights_)
    relevance = learnt["MTE full"].relevance_
    table["its group"] = {"weight": relevance[group]}
    table["other groups"] = {"weight": max(w for name, w in relevance.items() if name not in (group, "source"))}
    for name in ("RR uniform", "MTE category", "MTE full"):
        fixed = {**learnt[name].get_params(), **learnt[name].setting_}
        for arm, after in POST.items():
            method = MTEZSAR(**{**fixed, **after}).fit(**everything)
            table[f"{name} {arm}"] = {"top1": mean_class_top1(target.labels, method.transduction_)}
    return table


def behaviour() -> dict[str, Any]:
    """The regressors that the mapping is compared with, and weights by a ratio of densities."""
    x, other = (torch.as_tensor(behaviours.blobs(seed=seed).x).double() for seed in (3, 4))
    z = x @ torch.as_tensor(np.random.default_rng(0).normal(size=(x.shape[1], 5)))
    m = regressors.moments(x, z)
    maps = {
        "ridge": regressors.ridge(m, 1.0), "rmtl": regressors.rmtl(m, 1.0, 0.1),
        "gomtl": regressors.gomtl(m, 3, 0.1, 0.1), "mte": regressors.mte(m, 3, 0.1, 0.1),
    }  # fmt: skip
    return {name: factors.s @ factors.a for name, factors in maps.items()} | {"weights": kliep(other, x, centres=20)(x)}


# fmt: off
LEDGER = (
    mechanism("mapping", at_least("MTE", "times chance", 5.0),
        "Zero-shot learning recognizes categories without annotated examples: drawings of unseen emoji are "
        "recognized at least five times as often as by chance."),
    mechanism("mapping", wins("known", "new", "cosine", of=1.0),
        "Existing methods suffer from a shift between auxiliary and target classes, as one map serves both: new "
        "drawings of unseen classes land farther from their class vector than new drawings of seen ones, in all "
        "splits."),
    mechanism("tasks", wins("MTE, shared", "RR, shared", "error", lower=True, of=1.0),
        "A multi-task mapping whose parameters lie on a low-dimensional manifold generalizes better where the tasks "
        "share structure: on planted tasks its error is lower than that of ridge regression, in all runs."),
    effect("tasks", not_worse("RR, separate", "MTE, separate", "error", within=0.0, lower=True),
        "On tasks that share nothing it is no better than ridge regression, as it should be."),
    effect("mapping", better("MTE", "RR", "top1", by=0.02),
        "The mapping, matched among the latent tasks, recognizes more unseen emoji than ridge regression, by two "
        "points at least, inductively."),
    effect("mapping", better("MTE word", "RR", "top1"),
        "Matched as class vectors, as ridge regression is, it recognizes more than ridge regression, too."),
    effect("mapping", better("MTE NRM", "RR NRM", "top1"),
        "It recognizes more than ridge regression where both have the hub correction over the pool."),
    effect("mapping", better("MTE", "RMTL", "top1"),
        "It recognizes more than the multi-task mapping around a shared mean, RMTL."),
    effect("mapping", better("MTE", "GOMTL", "top1"),
        "It recognizes more than the multi-task mapping of sparse combinations, GOMTL."),
    effect("mapping", better("MTE", "MTE word", "top1"),
        "Matching among the latent tasks recognizes more than matching as class vectors."),
    effect("mapping", better("MTE", "RR latent", "top1"),
        "A control: the low-rank training helps, and not only the matching. It recognizes more than ridge "
        "regression that is cut to as many singular values and matched between their factors."),
    mechanism("augmentation", wins("its group", "other groups", "weight", of=1.0),
        "Re-weighting prioritises relevant data: the target's own group weighs more than every other group of the "
        "pool, in all runs and under both ratios together."),
    mechanism("gaussians", at_least("weighted", "removed", 0.5),
        "Where half of the auxiliary data obeys another mapping, weights remove at least half of the error of ridge "
        "regression on the target."),
    promised("augmentation", better("MTE uniform", "MTE own", "top1"),
        "Expanding the pool of auxiliary data helps, even unweighted."),
    *(effect("augmentation", better(f"MTE {arm}", "MTE uniform", "top1", by=0.005),
        f"Weights of the pool by {what} help over uniform ones.")
      for arm, what in (("visual", "features"), ("category", "class vectors"), ("full", "both"))),
    *(effect("augmentation", better("MTE full", f"MTE {arm}", "top1"),
        f"Weights by both help over weights by {what} alone.")
      for arm, what in (("visual", "features"), ("category", "class vectors"))),
    *(effect("augmentation", better(f"MTE {weights} {arm}", f"MTE {weights}", "top1"),
        f"{what} helps the weighted mapping ({weights}).")
      for weights in ("category", "full")
      for arm, what in (
          ("ST", "Self-training"), ("NRM", "The hub correction"), ("ST+NRM", "Self-training with hub correction"))),
    promised("augmentation", better("MTE category", "RR own", "top1"),
        "Model and data together, inductive but for the weights, generalize better than ridge regression on the "
        "target's own seen classes: 60 classes stand against these and the whole pool."),
    effect("augmentation", better("MTE category NRM", "RR uniform NRM", "top1"),
        "They generalize better than ridge regression on the whole pool, both with the hub correction."),
    *(effect("mapping", better("MTE", arm, "top1"),
        f"It has advantages over existing zero-shot models: over {arm}, inductively.")
      for arm in ("ConSE", "DAP")),
    paper_scale("It is applied to zero-shot action recognition, HMDB51, UCF101 and Olympic Sports, and is better there "
        "than existing models.",
        "No action videos or their features are in a package, and nothing here ran on them. With features and label "
        "numbers in a file: data = unseen.load('hmdb51.mat') (variables `features` and `labels`, MATLAB -v7; or .npz, "
        "Parquet, CSV); vectors = unseen.data.word_vectors.name_vectors(names, word2vec), `names` in the order of the "
        "numbers; classes = data.classes.replace(embeddings=vectors, seen=half); then MTEZSAR(power=0.2, "
        "weights='full', self_training=100).fit(source=the samples of `half`, classes=classes, target=the others), for "
        "50 random halves. Other data sets join as `auxiliary`, by unseen.data.classes.join and realign."),
)
EMOJI: dict[str, Any] = {"data": lambda case: of_split(case, "name", "keywords", "group", "subgroup")}
HALVES: dict[str, Any] = {
    split: tuple(f"{split}/{group}/{half}" for group in GROUPS for half in range(2)) for split in VENDORS}

claim = Claim(
    slug="mte-zsar",
    ledger=LEDGER,
    behaviour=behaviour,
    experiments={
        "tasks": Experiment(
            run=run_tasks,
            drawn=lambda case, seed: [simulated_tasks(structure, int(case), seed) for structure in STRUCTURES],
            development=("60", "80", "120"), confirmation=("50", "70", "100"),
            unit="number of samples", **seeds(5)),
        "gaussians": Experiment(
            run=run_gaussians, drawn=lambda case, seed: two_gaussians(int(case), seed), development=("2", "5", "10"),
            confirmation=("3", "7", "12"),
            unit="number of features", **seeds(5)),
        "mapping": Experiment(
            run=run_mapping, drawn=mapping_parts, unit="tenth of the classes", **EMOJI, **of_both(range(FOLDS)),
            **seeds(1)),
        "augmentation": Experiment(
            run=run_augmentation, drawn=augmentation_parts, unit="half of a group", **EMOJI, **HALVES, **seeds(2)),
    },
    licences=(worlds.EMOJI, worlds.LITE0, worlds.MINILM),
)
# fmt: on
