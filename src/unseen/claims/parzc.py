"""ParZC's claim: node by node, statistics of untrained networks rank architectures better than their sums do."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from unseen.claims import behaviours, worlds
from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_least, better, not_worse
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.data.architectures import ArchitectureTable
from unseen.data.domain import Domain
from unseen.data.sources.architectures import architectures
from unseen.evaluation.metrics.selection import rank_correlation
from unseen.methods.architecture_rankers import tau
from unseen.methods.compression.parzc import ParZC
from unseen.methods.compression.parzc.method import standardized
from unseen.methods.compression.parzc.statistics import Statistics
from unseen.nn.search_spaces import get
from unseen.nn.search_spaces.measure import PROXIES, measure
from unseen.nn.search_spaces.pictures import halves, read_data
from unseen.nn.search_spaces.search import evolve
from unseen.nn.search_spaces.training import Recipe, train_architecture
from unseen.runtime import without_checkpoints

TRAINED, FEW = 40, 20

ARMS: Mapping[str, Mapping[str, Any]] = {
    "parzc": {},
    "segments not mixed": {"token_mixing": False},
    "weights not Bayesian": {"bayesian": False},
    "min-max within architectures": {"scale": "architecture"},
    "DiffKendall": {"loss": "diffkendall"},
    "pairwise": {"loss": "pairwise"},
    "mean squared error": {"loss": "mse"},
}


def ranker(seed: int, **settings: Any) -> ParZC:
    """An unfitted method."""
    return ParZC(**{**settings, "random_state": seed})


def grade(scores: NDArray[Any], values: NDArray[Any]) -> dict[str, float]:
    """Agreement with the order of accuracies, and how much accuracy the best of five top-ranked ones leaves."""
    top = np.argsort(-scores, kind="stable")[:5]
    return {
        "tau": tau(scores, values),
        "rho": rank_correlation(scores, values),
        "regret": float(values.max() - values[top].max()),
    }


def trees(source: Domain, x: NDArray[Any], seed: int) -> NDArray[Any]:
    """Gradient-boosted trees on the logarithms of the same statistics."""
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(random_state=seed).fit(np.log1p(source.x), source.labels).predict(np.log1p(x))


def perceptron(source: Domain, x: NDArray[Any], seed: int) -> NDArray[Any]:
    """A perceptron with mean squared error on the same statistics, on the scale that ParZC reads them on."""
    from sklearn.neural_network import MLPRegressor

    scale = Statistics(source.n_features, len(PROXIES), "proxy", True).measure(torch.as_tensor(source.x))
    network = MLPRegressor(hidden_layer_sizes=(64,), max_iter=500, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 500 steps are the budget
        network.fit(scale(torch.as_tensor(source.x)), standardized(source.labels))
    return network.predict(scale(torch.as_tensor(x)))


def summed(table: ArchitectureTable) -> Domain:
    """Each proxy as its sum over nodes: one number in place of one per node."""
    return table.domain().replace(x=np.stack(list(table.totals().values()), axis=1).astype(np.float32))


def split(table: ArchitectureTable, seed: int, trained: int = TRAINED) -> tuple[ArchitectureTable, ArchitectureTable]:
    """Architectures whose accuracy is known, and those to rank."""
    order = np.random.default_rng(seed).permutation(len(table))
    return table.take(order[:trained]), table.take(order[trained:])


def read(case: str) -> list[Domain]:
    """A table with its accuracies, and the pictures of its networks, for a stamp."""
    table = architectures(case)
    pictures = read_data(*(table.about[key] for key in ("data", "size", "channels")))
    return [table.domain(), Domain(x=table.accuracy), pictures]


# -- ranking what was trained for real ---------------------------------------------------------------------


@without_checkpoints()
def run_tables(case: str, seed: int) -> Result:
    """All arms on a table of networks trained for real, learned from 40 of them."""
    table = architectures(case)
    learn, others = split(table, seed)
    known, rest = learn.domain(), others.domain()
    y = rest.labels
    fitted = {arm: ranker(seed, **settings).fit(source=known) for arm, settings in ARMS.items()}
    shuffle = np.random.default_rng(seed).permutation
    fitted["permuted accuracies"] = ranker(seed).fit(source=known.replace(y=shuffle(known.labels)))
    out: Result = {arm: grade(method.predict(rest.x), y) for arm, method in fitted.items()}
    for arm in ("parzc", "permuted accuracies"):
        out[arm] |= nodes(fitted[arm], rest)
    out["graded by permuted ones"] = nodes(fitted["parzc"], rest.replace(y=shuffle(y)))
    ranks, true = (rankdata(values, "ordinal") for values in (fitted["parzc"].predict(rest.x), y))
    deviation = fitted["parzc"].uncertainty(rest.x)
    out["parzc"]["doubt and misplacement"] = rank_correlation(deviation, np.abs(ranks - true))
    sums = ranker(seed).fit(source=summed(learn))
    out["sums"] = grade(sums.predict(summed(others).x), y)
    out["trees"] = grade(trees(known, rest.x, seed), y)
    out["perceptron"] = grade(perceptron(known, rest.x, seed), y)
    out |= global_proxies(learn, others)
    out["retrained"] = {"tau": tau(*table.accuracy.T)}
    few, more = (part.domain() for part in split(table, seed, FEW))
    out["parzc few"] = {"tau": tau(ranker(seed).fit(source=few).predict(more.x), more.labels)}
    out["trees few"] = {"tau": tau(trees(few, more.x, seed), more.labels)}
    return out


def global_proxies(known: ArchitectureTable, rest: ArchitectureTable) -> Result:
    """Sums over nodes and the number of parameters, without learning; and the proxy that the trained ones favour."""
    y, before, scores = rest.domain().labels, known.totals(), rest.totals()
    favoured = max(before, key=lambda proxy: tau(before[proxy], known.domain().labels))
    out = {proxy: grade(values, y) for proxy, values in scores.items()}
    out["parameters"] = grade(rest.parameters, y)
    out["best proxy of the trained"] = dict(out[favoured])
    metrics = ("tau", "rho", "regret")
    out["mean proxy"] = {metric: float(np.mean([out[p][metric] for p in PROXIES])) for metric in metrics}
    return out


def nodes(method: ParZC, rest: Domain) -> dict[str, float]:
    """What is told of nodes: whether the quarter that one half of the rest favours matters in the other half, too."""
    order = np.random.default_rng(0).permutation(len(rest))
    halved = [rest.take(order[: len(rest) // 2]), rest.take(order[len(rest) // 2 :])]
    worths = [method.importance(half.x, half.labels, repeats=1) for half in halved]
    used = np.flatnonzero((worths[0].doubt > 0) & (worths[1].doubt > 0))
    values = [worth.importance[used] for worth in worths]
    doubts = [worth.doubt[used] for worth in worths]
    leads = []
    for here, there in (values, values[::-1]):
        best = np.argsort(-here, kind="stable")[: max(round(len(used) / 4), 1)]
        leads.append(there[best].mean() - np.delete(there, best).mean())
    return {
        "lead of the best quarter": float(np.mean(leads)),
        "least doubt of a node": float(np.min(doubts)),
        "agreement on doubt": rank_correlation(*doubts),
    }


# -- vision transformers -----------------------------------------------------------------------------------


@without_checkpoints()
def run_vits(case: str, seed: int) -> Result:
    """Vision transformers: node-wise snip alone, as in the paper's transfer, and all three proxies."""
    table = architectures(case)
    learn, others = split(table, seed)
    known, rest = learn.domain(), others.domain()
    place = PROXIES.index("snip") * len(table.nodes)
    alone = [domain.replace(x=domain.x[:, place : place + len(table.nodes)]) for domain in (known, rest)]
    snip = ranker(seed, proxies=1).fit(source=alone[0])
    sums = ranker(seed).fit(source=summed(learn))
    return {
        "parzc of snip": grade(snip.predict(alone[1].x), rest.labels),
        "parzc": grade(ranker(seed).fit(source=known).predict(rest.x), rest.labels),
        "sums": grade(sums.predict(summed(others).x), rest.labels),
        **global_proxies(learn, others),
    }


# -- searching ---------------------------------------------------------------------------------------------

CANDIDATES = 200
TOP = 3


def candidates_of(table: ArchitectureTable, seed: int) -> list[str]:
    """Architectures that are in no table."""
    drawn = [str(architecture) for architecture in get(table.about["space"]).sample(CANDIDATES, 7000 + seed)]
    return [architecture for architecture in drawn if architecture not in set(table.architectures)]


def drawn_tables(case: str, seed: int) -> dict[str, Any]:
    """What a cell draws: which architectures are known and which are to be ranked, and candidates."""
    table = architectures(case)
    parts = [list(part.architectures) for part in split(table, seed)]
    return {"parts": parts, "few": list(split(table, seed, FEW)[0].architectures), "new": candidates_of(table, seed)}


@without_checkpoints()
def run_search(case: str, seed: int) -> Result:
    """Score architectures that are in no table by what 40 taught, and train the best three for real."""
    table = architectures(case)
    space, recipe = get(table.about["space"]), Recipe(**table.about["recipe"])
    learn, held_out = halves(read_data(*(table.about[key] for key in ("data", "size", "channels"))))
    n_classes = int(learn.labels.max()) + 1
    candidates = candidates_of(table, seed)
    init = seed % len(table.statistics)
    known = split(table, seed)[0].domain(init)
    x = measure(space, candidates, learn, n_classes=n_classes, seed=init).astype(np.float32)
    snip = x.reshape(len(x), len(PROXIES), -1).sum(axis=2)[:, PROXIES.index("snip")]

    def trained(scores: NDArray[Any]) -> float:
        best = [candidates[i] for i in np.argsort(-scores, kind="stable")[:TOP]]
        reached = [
            train_architecture(space, architecture, learn, held_out, n_classes=n_classes, seed=0, recipe=recipe)
            for architecture in best
        ]
        return float(np.mean([result.accuracy for result in reached]))

    scores = ranker(seed).fit(source=known).predict(torch.as_tensor(x))
    return {
        "parzc": {"accuracy": trained(scores)},
        "snip": {"accuracy": trained(snip)},
        "mean of the table": {"accuracy": float(table.accuracy.mean())},
        "best of the trained": {"accuracy": float(known.labels.max())},
    }


def behaviour() -> dict[str, Any]:
    """Architectures that are drawn, what is measured of them untrained, and what a search finds by a score."""
    out: dict[str, Any] = {}
    data = behaviours.blobs("image")

    def score(texts: Sequence[str]) -> NDArray[np.float64]:
        return np.array([zlib.crc32(text.encode()) % 997 for text in texts], dtype=float)

    for name in ("cells", "vits"):
        space = get(name)
        drawn = [str(architecture) for architecture in space.sample(4, 0)]
        out[f"{name} drawn"] = drawn
        out[f"{name} measured"] = measure(space, drawn[:2], data, n_classes=4)
        out[f"{name} evolved"] = evolve(space, score, 40, 10, 3, 0).architectures[:5]
    return out


# fmt: off
LEDGER = (
    not_testable("Zero-shot architecture search has advanced by zero-cost proxies; designing them is a tedious search.",
        "Background, about other work."),
    mechanism("tables", better("parzc", "graded by permuted ones", "lead of the best quarter", by=0.02),
        "Nodes do not contribute alike: the quarter that matters most on one half of the architectures to rank "
        "leads on the other half, by 2 points of tau more than with permuted accuracies there."),
    effect("tables", better("parzc", "permuted accuracies", "lead of the best quarter"),
        "It leads by more than for a network that learned permuted accuracies."),
    effect("tables", better("parzc", "sums", "tau", by=0.05),
        "Adding nodes up loses this: the same network on one sum per proxy ranks worse, by 5 points of tau."),
    promised("vits", better("parzc", "sums", "tau", by=0.2), "The same for vision transformers, by 20 points of tau."),
    mechanism("tables", at_least("parzc", "least doubt of a node", 0.001),
        "Each node has a degree of uncertainty: how far the scores move without it varies over draws of the "
        "weights, by a thousandth at least for every node (plain weights: not at all)."),
    effect("tables", better("parzc", "permuted accuracies", "agreement on doubt"),
        "It is specific to the node: two halves of the architectures agree on it more than for a network that "
        "learned permuted accuracies."),
    effect("tables", at_least("parzc", "doubt and misplacement", 0.1),
        "The uncertainty of an architecture says how far it is misplaced (rank correlation)."),
    mechanism("tables", better("parzc", "permuted accuracies", "tau", by=0.4),
        "Parameters make proxies adaptable: MABN learns an order that holds for others, by 40 points of tau above "
        "the one that it learns from permuted accuracies."),
    effect("tables", better("parzc", "segments not mixed", "tau"),
        "Segments that are mixed, as the paper draws it, rank better than the official code's, which are not."),
    effect("tables", better("parzc", "weights not Bayesian", "tau"), "Bayesian weights rank better than plain ones."),
    promised("tables", not_worse("parzc", "segments not mixed", "tau", within=0.03),
        "Neither costs: within 3 points of tau of the network without mixing."),
    promised("tables", not_worse("parzc", "weights not Bayesian", "tau", within=0.03),
        "And of the network without Bayesian weights."),
    effect("tables", not_worse("min-max within architectures", "parzc", "tau", within=0.03),
        "The official code's scale, min-max within each architecture, ranks as well, within 3 points."),
    mechanism("tables", better("DiffKendall", "permuted accuracies", "tau", by=0.4),
        "DiffKendall directly optimizes tau: alone it teaches an order that holds for others, by 40 points of tau "
        "above permuted accuracies."),
    effect("tables", better("DiffKendall", "mean squared error", "tau"),
        "DiffKendall alone ranks better than mean squared error."),
    effect("tables", better("DiffKendall", "pairwise", "tau"), "And better than the pairwise loss alone."),
    effect("tables", better("parzc", "mean squared error", "tau"),
        "The sum of pairwise loss and DiffKendall ranks better than mean squared error."),
    promised("tables", not_worse("parzc", "mean squared error", "tau", within=0.03),
        "It is at most 3 points of tau behind it."),
    effect("tables", better("parzc", "perceptron", "tau", by=0.015),
        "Better than a perceptron with mean squared error on statistics of the same scale, by 1.5 points."),
    promised("tables", not_worse("parzc", "perceptron", "tau", within=0.02), "At most 2 points of tau behind it."),
    effect("tables", better("parzc", "trees", "tau"), "Better than gradient-boosted trees on the same statistics."),
    effect("tables", better("parzc few", "trees few", "tau"), "With 20 trained architectures, too."),
    promised("tables", not_worse("parzc", "trees", "tau", within=0.03), "At most 3 points of tau behind trees."),
    effect("tables", better("parzc", "best proxy of the trained", "tau", by=0.05),
        "Better than zero-shot ranking, by the proxy that the trained architectures favour, by 5 points."),
    effect("tables", better("parzc", "mean proxy", "tau", by=0.05),
        "Better than the mean of the three proxies, by 5 points of tau."),
    effect("tables", better("parzc", "parameters", "tau"), "Better than the number of parameters, in both spaces."),
    promised("search", not_worse("parzc", "snip", "accuracy", within=0.03),
        "What is found by it is good: of new architectures the best three by score, trained for real, reach what "
        "the best three by the sum of snip reach, within 3 points."),
    effect("search", better("parzc", "mean of the table", "accuracy", by=0.05),
        "More than the mean of the table, which holds networks that learn nothing, by 5 points."),
    effect("search", better("parzc", "best of the trained", "accuracy"),
        "More than the best of the 40 that taught it."),
    promised("vits", better("parzc of snip", "snip", "tau", by=0.15),
        "It transfers to vision transformers: node-wise snip ranks better than snip, by 15 points of tau."),
    promised("vits", better("parzc", "best proxy of the trained", "tau", by=0.15),
        "And all three proxies better than the best of them as a sum, by 15 points."),
    paper_scale("Superior to zero-shot methods on NAS-Bench-101 and NAS-Bench-201.",
        "Needs their files with node-wise statistics: `unseen nas rank zc_nasbench201_layerwise.json --data cifar10 "
        "--method parzc --proxies grad_norm,snip,synflow --trained 78 --set projected=256 --set patch=16 --set "
        "width=512 --set depth=4 --set epochs=300 --set learning_rate=1e-4`; the paper's tables add a topology branch, "
        "which is left out."),
    paper_scale("Superior to zero-shot methods on NDS.",
        "Needs NDS's networks to measure and its accuracies: `read_architectures('DARTS.json')` beside "
        "`nodewise_statistics`, then `ParZC(projected=752, patch=16, width=1600, depth=5, dropout=0.18)`."),
    paper_scale("Transfer to the AutoFormer space of vision transformers on CIFAR-100.",
        "Needs AutoFormer's supernet and accuracies: `nodewise_statistics(net, x, y, ('snip',), reduce='mean')`, "
        "then `ParZC(proxies=1, scale='architecture', logarithm=False)`."),
)
BOTH: Mapping[str, Any] = {
    "development": ("cells-digits", "vits-digits"), "confirmation": ("cells-letters", "vits-letters"),
    "unit": "search space and data", "data": read, "drawn": drawn_tables,
}

claim = Claim(
    slug="parzc",
    ledger=LEDGER,
    behaviour=behaviour,
    experiments={
        "tables": Experiment(run=run_tables, **BOTH),
        "vits": Experiment(
            run=run_vits, data=read, drawn=drawn_tables, development=("vits-digits",), confirmation=("vits-letters",),
            unit="search space and data"),
        "search": Experiment(run=run_search, **BOTH, **seeds(2)),
    },
    licences=(worlds.DIGITS, worlds.FONTS),
)
# fmt: on
