"""ParZC's claim: node by node, statistics of untrained networks rank architectures better than their sums do."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from unseen.claims.base import Assertion, Claim, Experiment, at_least, at_most, better, equals, not_worse
from unseen.data.architectures import ArchitectureTable
from unseen.data.domain import Domain
from unseen.data.sources import characters, digits
from unseen.data.sources.architectures import architectures
from unseen.methods.compression.parzc import ParZC
from unseen.nn.ranking_losses import diff_kendall
from unseen.nn.search_spaces import get
from unseen.nn.search_spaces.measure import PROXIES, measure
from unseen.nn.search_spaces.pictures import halves, pictures
from unseen.nn.search_spaces.training import Recipe, train_architecture
from unseen.runtime import without_checkpoints

Result = dict[str, dict[str, float]]
TRAINED, FEW = 40, 20
SPLITS = 2
"""Draws of the trained architectures in a cell; metrics are means over them."""

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


def tau(scores: NDArray[Any], values: NDArray[Any]) -> float:
    """Kendall's tau-b, 0 where all scores are equal."""
    return float(kendalltau(scores, values).statistic) if np.ptp(scores) > 0 else 0.0


def grade(scores: NDArray[Any], values: NDArray[Any]) -> dict[str, float]:
    """Agreement with the order of accuracies, and how much accuracy the best of five top-ranked ones leaves."""
    top = np.argsort(-scores, kind="stable")[:5]
    return {
        "tau": tau(scores, values),
        "rho": float(spearmanr(scores, values).statistic) if np.ptp(scores) > 0 else 0.0,
        "regret": float(values.max() - values[top].max()),
    }


def trees(source: Domain, x: NDArray[Any], seed: int) -> NDArray[Any]:
    """Gradient-boosted trees on the logarithms of the same statistics."""
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(random_state=seed).fit(np.log1p(source.x), source.labels).predict(np.log1p(x))


def perceptron(source: Domain, x: NDArray[Any], seed: int) -> NDArray[Any]:
    """A perceptron with mean squared error on the same statistics, standardized."""
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    y = (source.labels - source.labels.mean()) / source.labels.std()
    network = MLPRegressor(hidden_layer_sizes=(64,), max_iter=500, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 500 steps are the budget
        return make_pipeline(StandardScaler(), network).fit(np.log1p(source.x), y).predict(np.log1p(x))


def summed(domain: Domain) -> Domain:
    """Each proxy as its sum over nodes: one number in place of one per node."""
    return domain.replace(x=domain.x.reshape(len(domain), len(PROXIES), -1).sum(axis=2))


def mean_of(results: list[Result]) -> Result:
    """The mean of every figure."""
    return {
        arm: {metric: float(np.mean([one[arm][metric] for one in results])) for metric in metrics}
        for arm, metrics in results[0].items()
    }


def split(whole: Domain, seed: int, trained: int = TRAINED) -> tuple[Domain, Domain]:
    """Architectures whose accuracy is known, and those to rank."""
    order = np.random.default_rng(seed).permutation(len(whole))
    return whole.take(order[:trained]), whole.take(order[trained:])


# -- ranking what was trained for real ---------------------------------------------------------------------


def run_tables(case: str, seed: int) -> Result:
    """All arms on a table of networks trained for real, learned from 40 of them."""
    table = architectures(case)
    with without_checkpoints():
        return mean_of([one_split(table, SPLITS * seed + i) for i in range(SPLITS)])


def one_split(table: ArchitectureTable, seed: int) -> Result:
    """All arms on one draw of the trained architectures."""
    whole = table.domain()
    known, rest = split(whole, seed)
    y = rest.labels
    fitted = {arm: ranker(seed, **settings).fit(source=known) for arm, settings in ARMS.items()}
    out: Result = {arm: grade(method.predict(rest.x), y) for arm, method in fitted.items()}
    sums = ranker(seed).fit(source=summed(known))
    out["sums"] = grade(sums.predict(summed(rest).x), y)
    out["trees"] = grade(trees(known, rest.x, seed), y)
    out["perceptron"] = grade(perceptron(known, rest.x, seed), y)
    out |= global_proxies(known, rest)
    out["retrained"] = {"tau": tau(*table.accuracy.T)}
    out["parzc"] |= mechanics(fitted["parzc"], known, rest)
    few, others = split(whole, seed, FEW)
    out["parzc few"] = {"tau": tau(ranker(seed).fit(source=few).predict(others.x), others.labels)}
    out["trees few"] = {"tau": tau(trees(few, others.x, seed), others.labels)}
    return out


def global_proxies(known: Domain, rest: Domain) -> Result:
    """Sums over nodes and the number of parameters, without learning; and the proxy that the trained ones favour."""
    scores = {proxy: summed(rest).x[:, i] for i, proxy in enumerate(PROXIES)}
    before = {proxy: summed(known).x[:, i] for i, proxy in enumerate(PROXIES)}
    favoured = max(before, key=lambda proxy: tau(before[proxy], known.labels))
    out = {proxy: grade(values, rest.labels) for proxy, values in scores.items()}
    out["parameters"] = grade(rest.columns["parameters"], rest.labels)
    out["best proxy of the trained"] = dict(out[favoured])
    out["mean proxy"] = {
        metric: float(np.mean([out[p][metric] for p in PROXIES])) for metric in ("tau", "rho", "regret")
    }
    return out


def mechanics(method: ParZC, known: Domain, rest: Domain) -> dict[str, float]:
    """What the parts do: the order learned, the worth of nodes, what is uncertain."""
    scores = method.predict(known.x)
    worth = method.importance(rest.x, rest.labels, repeats=2)
    used = known.x.reshape(len(known), len(PROXIES), -1).any(axis=(0, 1))
    value, doubt = np.sort(np.maximum(worth.importance[used], 0))[::-1], worth.uncertainty[used]
    top = max(round(len(value) / 4), 1)
    deviation = method.uncertainty(rest.x)
    again = method.predict(rest.x)
    misplaced = np.abs(rank_of(again) - rank_of(rest.labels))
    return {
        "tau of the learned": tau(scores, known.labels),
        "share of the best quarter": float(value[:top].sum() / max(value.sum(), 1e-12)),
        "nodes in doubt": float((doubt > 0).mean()),
        "spread of doubt": float(doubt.max() / max(np.median(doubt), 1e-12)),
        "doubt of an architecture": float(np.median(deviation)),
        "doubt and misplacement": float(np.nan_to_num(spearmanr(deviation, misplaced).statistic)),
        "the same twice": float(np.array_equal(again, method.predict(rest.x))),
        "gap to tau": gap_to_tau(rest.labels, again),
    }


def rank_of(values: NDArray[Any]) -> NDArray[Any]:
    """Ranks from 0."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable")


def gap_to_tau(values: NDArray[Any], scores: NDArray[Any]) -> float:
    """How far DiffKendall with a steep sigmoid is from (concordant - discordant) / pairs."""
    signs = np.sign(scores[:, None] - scores[None]) * np.sign(values[:, None] - values[None])
    exact = signs.sum() / (len(values) * (len(values) - 1))
    steep = diff_kendall(torch.as_tensor(1e6 * scores), torch.as_tensor(1e6 * values), alpha=10.0)
    return abs(float(steep) - float(exact))


# -- vision transformers -----------------------------------------------------------------------------------


def run_vits(case: str, seed: int) -> Result:
    """Vision transformers: node-wise snip alone, as in the paper's transfer, and all three proxies."""
    table = architectures(case)
    results = []
    with without_checkpoints():
        for draw in range(SPLITS * seed, SPLITS * seed + SPLITS):
            known, rest = split(table.domain(), draw)
            nodes = len(table.nodes)
            place = PROXIES.index("snip") * nodes
            alone = [domain.replace(x=domain.x[:, place : place + nodes]) for domain in (known, rest)]
            snip = ranker(draw, proxies=1).fit(source=alone[0])
            all_three = ranker(draw).fit(source=known)
            sums = ranker(draw).fit(source=summed(known))
            out: Result = {
                "parzc of snip": grade(snip.predict(alone[1].x), rest.labels),
                "parzc": grade(all_three.predict(rest.x), rest.labels),
                "sums": grade(sums.predict(summed(rest).x), rest.labels),
                **global_proxies(known, rest),
            }
            results.append(out)
    return mean_of(results)


# -- searching ---------------------------------------------------------------------------------------------

CANDIDATES = 400
TOP = 3
RECIPES = {"cells": Recipe(epochs=4), "vits": Recipe(epochs=8)}


@functools.cache
def parts(data: str) -> tuple[Domain, Domain]:
    """The pictures of a table, to learn from and to grade on."""
    if data == "digits":
        return halves(pictures(digits("handwritten", size=8, flat=True)))
    return halves(pictures(characters("ABCDEFGHIJKLMNOPQRSTUVWXYZ", size=8, copies=4)))


def run_search(case: str, seed: int) -> Result:
    """Score architectures that are in no table by what 40 taught, and train the best three for real."""
    table = architectures(case)
    name, _, data = case.partition("-")
    space, (learn, held_out) = get(name), parts(data)
    n_classes = int(learn.labels.max()) + 1
    candidates = [str(one) for one in space.sample(CANDIDATES, 7000 + seed)]
    candidates = [one for one in candidates if one not in set(table.architectures)]
    order = np.random.default_rng(seed).permutation(len(table))[:TRAINED]
    init = seed % len(table.statistics)
    known = table.take(order).domain(init)
    x = measure(space, candidates, learn, n_classes=n_classes, seed=init).astype(np.float32)
    snip = x.reshape(len(x), len(PROXIES), -1).sum(axis=2)[:, PROXIES.index("snip")]

    def reached(scores: NDArray[Any]) -> float:
        best = [candidates[i] for i in np.argsort(-scores, kind="stable")[:TOP]]
        return float(
            np.mean(
                [
                    train_architecture(
                        space, one, learn, held_out, n_classes=n_classes, seed=0, recipe=RECIPES[name]
                    ).accuracy
                    for one in best
                ]
            )
        )

    with without_checkpoints():
        scores = ranker(seed).fit(source=known).predict(torch.as_tensor(x))
        return {
            "parzc": {"accuracy": reached(scores)},
            "snip": {"accuracy": reached(snip)},
            "random": {"accuracy": float(table.accuracy.mean())},
            "best of the trained": {"accuracy": float(known.labels.max())},
        }


# -- the ledger --------------------------------------------------------------------------------------------

mechanism = functools.partial(Assertion, level="mechanism")
promised = functools.partial(Assertion, level="effect", promised=True)
effect = functools.partial(Assertion, level="effect")
paper_scale = functools.partial(Assertion, level="paper scale")
not_testable = functools.partial(Assertion, level="not testable")

DEVELOPMENT = ("cells-digits", "vits-digits")
CONFIRMATION = ("cells-letters", "vits-letters")

claim = Claim(
    slug="parzc",
    experiments={
        "tables": Experiment(
            run=run_tables, development=DEVELOPMENT, confirmation=CONFIRMATION, unit="search space and data"
        ),
        "vits": Experiment(
            run=run_vits, development=("vits-digits",), confirmation=("vits-letters",), unit="search space and data"
        ),
        "search": Experiment(
            run=run_search,
            development=DEVELOPMENT,
            confirmation=CONFIRMATION,
            seeds=(0, 1),
            fresh_seeds=(100, 101),
            unit="search space and data",
        ),
    },
    ledger=(
        not_testable(
            text="Zero-shot architecture search has advanced by zero-cost proxies; their automated design needs a "
            "tedious search.",
            reason="Background, about other work.",
        ),
        mechanism(
            text="Nodes do not contribute alike: the best quarter of them holds at least 40 % of what all are worth "
            "(25 % if they were alike).",
            experiment="tables",
            holds=at_least("parzc", metric="share of the best quarter", value=0.4),
        ),
        effect(
            text="Adding nodes up loses this: the same network on one sum per proxy ranks worse, by 5 points of tau, "
            "in both spaces.",
            experiment="tables",
            holds=better("parzc", "sums", metric="tau", by=0.05),
        ),
        promised(
            text="The same for vision transformers, by 20 points of tau.",
            experiment="vits",
            holds=better("parzc", "sums", metric="tau", by=0.2),
        ),
        mechanism(
            text="Each node has a degree of uncertainty: the worth of every node varies over draws of the weights.",
            experiment="tables",
            holds=equals("parzc", metric="nodes in doubt", value=1),
        ),
        mechanism(
            text="It is specific to the node: the largest is above the median one by a tenth.",
            experiment="tables",
            holds=at_least("parzc", metric="spread of doubt", value=1.1),
        ),
        effect(
            text="The uncertainty of an architecture says how far it is misplaced (rank correlation).",
            experiment="tables",
            holds=at_least("parzc", metric="doubt and misplacement", value=0.1),
        ),
        mechanism(
            text="Parameters make proxies adaptable: MABN learns the order of the trained architectures, tau above "
            "0.9.",
            experiment="tables",
            holds=at_least("parzc", metric="tau of the learned", value=0.9),
        ),
        mechanism(
            text="Scores are no lottery, although weights are drawn: asked twice, they are the same.",
            experiment="tables",
            holds=equals("parzc", metric="the same twice", value=1),
        ),
        effect(
            text="Segments that are mixed, as the paper draws it, rank better than the official code's, which are not.",
            experiment="tables",
            holds=better("parzc", "segments not mixed", metric="tau"),
        ),
        effect(
            text="Bayesian weights rank better than plain ones.",
            experiment="tables",
            holds=better("parzc", "weights not Bayesian", metric="tau"),
        ),
        promised(
            text="Neither costs: within 3 points of tau of the network without mixing.",
            experiment="tables",
            holds=not_worse("parzc", "segments not mixed", metric="tau", within=0.03),
        ),
        promised(
            text="And of the network without Bayesian weights.",
            experiment="tables",
            holds=not_worse("parzc", "weights not Bayesian", metric="tau", within=0.03),
        ),
        mechanism(
            text="DiffKendall is Kendall's tau made differentiable: with a steep sigmoid it is concordant minus "
            "discordant over all pairs, on the scores and accuracies of the tables.",
            experiment="tables",
            holds=at_most("parzc", metric="gap to tau", value=0.01),
        ),
        effect(
            text="DiffKendall alone ranks better than mean squared error.",
            experiment="tables",
            holds=better("DiffKendall", "mean squared error", metric="tau"),
        ),
        effect(
            text="The sum of pairwise loss and DiffKendall ranks better than mean squared error.",
            experiment="tables",
            holds=better("parzc", "mean squared error", metric="tau"),
        ),
        promised(
            text="It is at most 3 points of tau behind it.",
            experiment="tables",
            holds=not_worse("parzc", "mean squared error", metric="tau", within=0.03),
        ),
        promised(
            text="Better than a perceptron with mean squared error on the same statistics, by 4 points of tau.",
            experiment="tables",
            holds=better("parzc", "perceptron", metric="tau", by=0.04),
        ),
        effect(
            text="Better than gradient-boosted trees on the same statistics.",
            experiment="tables",
            holds=better("parzc", "trees", metric="tau"),
        ),
        effect(
            text="With 20 trained architectures, too.",
            experiment="tables",
            holds=better("parzc few", "trees few", metric="tau"),
        ),
        promised(
            text="At most 3 points of tau behind trees.",
            experiment="tables",
            holds=not_worse("parzc", "trees", metric="tau", within=0.03),
        ),
        effect(
            text="Better than zero-shot ranking, by the proxy that the trained architectures favour, by 5 points of "
            "tau, in both spaces.",
            experiment="tables",
            holds=better("parzc", "best proxy of the trained", metric="tau", by=0.05),
        ),
        effect(
            text="Better than the mean of the three proxies, by 5 points of tau.",
            experiment="tables",
            holds=better("parzc", "mean proxy", metric="tau", by=0.05),
        ),
        effect(
            text="Better than the number of parameters, in both spaces.",
            experiment="tables",
            holds=better("parzc", "parameters", metric="tau"),
        ),
        promised(
            text="What is found by it is good: of new architectures the best three by score, trained for real, reach "
            "more than the mean of the table, by 5 points.",
            experiment="search",
            holds=better("parzc", "random", metric="accuracy", by=0.05),
        ),
        effect(
            text="More than the best three by snip.",
            experiment="search",
            holds=better("parzc", "snip", metric="accuracy"),
        ),
        promised(
            text="It transfers to vision transformers: node-wise snip, learned from 40, ranks better than snip, by "
            "15 points of tau.",
            experiment="vits",
            holds=better("parzc of snip", "snip", metric="tau", by=0.15),
        ),
        promised(
            text="And all three proxies better than the best of them as a sum, by 15 points.",
            experiment="vits",
            holds=better("parzc", "best proxy of the trained", metric="tau", by=0.15),
        ),
        paper_scale(
            text="Superior to zero-shot methods on NAS-Bench-101 and NAS-Bench-201.",
            reason="Needs their files with node-wise statistics: `unseen nas rank zc_nasbench201_layerwise.json --data "
            "cifar10 --trained 78 --set projected=256 --set patch=16 --set width=512 --set depth=4`; the paper's "
            "tables add a topology branch, which is left out.",
        ),
        paper_scale(
            text="Superior to zero-shot methods on NDS.",
            reason="Needs NDS's networks to measure and its accuracies: `read_architectures('DARTS.json')` beside "
            "`nodewise_statistics`, then `ParZC(projected=752, patch=16, width=1600, depth=5, dropout=0.18)`.",
        ),
        paper_scale(
            text="Transfer to the AutoFormer space of vision transformers on CIFAR-100.",
            reason="Needs AutoFormer's supernet and accuracies: `nodewise_statistics(net, x, y, ('snip',), "
            "reduce='mean')`, then `ParZC(proxies=1, scale='architecture', logarithm=False)`.",
        ),
    ),
    licences=(
        "scikit-learn's digits: BSD-3-Clause",
        "Fonts: DejaVu (Bitstream Vera licence), STIX and Computer Modern, as matplotlib ships them",
    ),
)
