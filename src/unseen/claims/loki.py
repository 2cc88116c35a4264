"""Loki's claims: classes never trained on, by a Fréchet mean over a label metric."""

from __future__ import annotations

import functools
from typing import Any
from unittest.mock import patch

import networkx as nx
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims import worlds
from unseen.claims.base import Claim, Experiment, Result, seeds
from unseen.claims.conditions import at_least, better, equals, not_worse, wins
from unseen.claims.drawings import by, of_vendors
from unseen.claims.ledger import effect, mechanism, paper_scale, promised
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.label_metrics import (
    CompleteMetric,
    EmbeddingMetric,
    GraphMetric,
    LabelMetric,
    MatrixMetric,
    TreeMetric,
    taxonomy,
)
from unseen.data.sources import in_common
from unseen.data.typing import FloatArray, IntArray
from unseen.methods.zero_shot.loki import Loki
from unseen.methods.zero_shot.loki.locus import (
    active_classes,
    is_cover,
    locus,
    minimum_cover,
    next_class,
    random_classes,
)
from unseen.methods.zero_shot.loki.measures import mean_squared_distance, relative_improvement, unseen_accuracy
from unseen.methods.zero_shot.loki.rule import metric_cost
from unseen.methods.zero_shot.loki.sampling import central_class, uniform_classes
from unseen.nn.calibration import fit_temperature
from unseen.nn.logistic import fit_logistic

ARMS = {"loki": Loki(), "soft": Loki(**Loki.card.presets["soft"])}
"""Temperature 1, and 2, which was chosen on the development styles."""


def space(metric: LabelMetric, seen: IntArray | None = None) -> ClassSpace:
    """Nameless classes at these distances."""
    return ClassSpace(names=tuple(map(str, range(len(metric)))), metric=metric, seen=seen)


def compared(p: Tensor, y: IntArray, classes: ClassSpace) -> Result:
    """Argmax, always the central class, and Loki at both temperatures, from the same probabilities."""
    metric, seen = classes.metric, classes.seen
    arms = {"argmax": seen[p.argmax(dim=1).numpy()], "centre": np.full(len(y), central_class(metric))}
    arms |= {arm: loki.fit(classes=classes).predict(p) for arm, loki in ARMS.items()}
    new = ~np.isin(y, seen)
    table: Result = {}
    for arm, predicted in arms.items():
        distance = mean_squared_distance(metric, y, predicted)
        table[arm] = {"distance": distance, "accuracy": float((y == predicted).mean())}
        table[arm]["improvement"] = relative_improvement(table["argmax"]["distance"], distance)
        if new.any():
            table[arm]["unseen distance"] = mean_squared_distance(metric, y[new], predicted[new])
            table[arm]["unseen accuracy"] = unseen_accuracy(y, predicted, seen)
    return table


# -- digits: 5 of 10 classes observed, distances between the shapes of another hand ------------------------


def digit_parts(case: str, seed: int) -> tuple[FloatArray, IntArray, NDArray[np.bool_]]:
    """Class means of the style that a case is not of, the five classes that are observed, and samples to train on."""
    rng = np.random.default_rng(seed)
    here, there = worlds.digits(case), worlds.digits("printed" if case == "handwritten" else "handwritten")
    means = np.stack([there.x[there.labels == c].mean(axis=0) for c in range(10)])
    seen = np.sort(uniform_classes(CompleteMetric(10), 5, rng))
    if case == "printed":  # fonts that were not trained on
        train = np.isin(here.columns["font"], rng.permutation(np.unique(here.columns["font"]))[:10])
    else:
        train = rng.random(len(here)) < 0.5
    return means, seen, train


def run_digits(case: str, seed: int) -> Result:
    """Logistic regression on five classes of one style; the metric is between class means of the other."""
    here = worlds.digits(case)
    means, seen, train = digit_parts(case, seed)
    metric = EmbeddingMetric(means - means.mean(axis=0), normalize=False)
    use = train & np.isin(here.labels, seen)
    network = fit_logistic(torch.as_tensor(here.x[use]), np.searchsorted(seen, here.labels[use]), 5, C=0.1)
    with torch.no_grad():
        p = torch.softmax(network(torch.as_tensor(here.x[~train])), dim=1)
    y = here.labels[~train]
    table = compared(p, y, space(metric, seen))
    naive = [min(range(10), key=lambda c: (row * metric.rows(seen)[:, c] ** 2).sum()) for row in p.numpy()]
    table["loki"]["as enumerated"] = float((Loki().fit(classes=space(metric, seen)).predict(p) == naive).mean())
    complete = Loki().fit(classes=space(CompleteMetric(10), seen)).predict(p)
    table["complete graph"] = {"as argmax": float((complete == seen[p.argmax(dim=1).numpy()]).mean())}
    return table


# -- emoji: 100 of some 1,500 classes observed in one vendor's style, all tested in another's ---------------


@functools.cache
def _features(style: str) -> Domain:
    """Unit features of the emoji of a style, standardized in the style."""
    domain = worlds.lite0(by(style))
    z = (domain.x - domain.x.mean(axis=0)) / (domain.x.std(axis=0) + 1e-6)
    return domain.replace(x=z / np.linalg.norm(z, axis=1, keepdims=True))


def observed(metric: LabelMetric, seed: int) -> IntArray:
    """The emoji that are observed."""
    return np.sort(uniform_classes(metric, 100, np.random.default_rng(seed)))


def emoji_parts(case: str, seed: int) -> tuple[tuple[Domain, ...], IntArray]:
    """The emoji that three styles share, by their numbers, and which of them are observed."""
    styles = in_common(*(worlds.numbered(by(style)) for style in case.split(" > ")))
    return styles, observed(CompleteMetric(len(styles[0])), seed)


def run_emoji(metric_of: str, case: str, seed: int) -> Result:
    """One drawing per observed class, softmax of cosines; temperature fitted on a third style."""
    source, calibration, exam = in_common(*map(_features, case.split(" > ")))
    names = source.columns["name"]
    if metric_of == "names":
        metric: LabelMetric = EmbeddingMetric(worlds.minilm(names.tolist()))
    else:
        metric = taxonomy(list(zip(source.columns["group"], source.columns["subgroup"], names)))
    seen = observed(metric, seed)
    known = source.x[seen]
    temperature = fit_temperature(calibration.x[seen] @ known.T, np.arange(len(seen)))
    p = torch.softmax(torch.as_tensor(exam.x @ known.T) / temperature, dim=1)
    return compared(p, np.arange(len(names)), space(metric, seen))


# -- lite-clip: zero-shot over all emoji, metric from its own text vectors ----------------------------------


@functools.cache
def _in_one_space(style: str) -> tuple[NDArray[np.float32], ClassSpace]:
    """Vectors of the drawings of a style, and its classes in the same order with vectors of their texts."""
    domain, encoder = by(style), worlds.encoder("lite-clip")
    return encoder.encode(domain).x, encoder.embed(worlds.space_of(domain)).take(domain.labels)


def nine_tenths(n: int, seed: int) -> IntArray:
    """Which of n classes stay."""
    return np.sort(np.random.default_rng(seed).permutation(n)[: -(n // 10)])


def run_lite_clip(case: str, seed: int) -> Result:
    """Every emoji of a style, predicted from its keywords alone; a seed leaves a tenth of the classes out."""
    features, classes = _in_one_space(case)
    kept = nine_tenths(len(classes), seed)
    classes = classes.take(kept)
    p = torch.as_tensor(worlds.encoder("lite-clip").classify(features[kept], classes))
    return compared(p, np.arange(len(kept)), classes)


# -- theory ------------------------------------------------------------------------------------------------


def star(arms: int, length: int) -> tuple[TreeMetric, IntArray]:
    """Paths of equal length that meet in a root, and their ends; two arms are one long path."""
    parents = [-1] + [0 if step == 0 else arm * length + step for arm in range(arms) for step in range(length)]
    return TreeMetric(np.array(parents)), np.arange(1, arms + 1) * length


def labelled_by_a_star(arms: int, n: int, dimension: int, seed: int) -> tuple[Tensor, IntArray, Tensor, Tensor]:
    """n samples with a label drawn by their probabilities; 4,000 others with their probabilities."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((dimension, arms)) * 2 / np.sqrt(dimension)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        x = rng.standard_normal((n, dimension))
        return torch.as_tensor(x).float(), torch.softmax(torch.as_tensor(x @ weight), dim=1).float()

    x, p = draw(n)
    y = (p.cumsum(dim=1) < torch.as_tensor(rng.random((n, 1)))).sum(dim=1).clamp_max(arms - 1).numpy()
    return x, y, *draw(4000)


def run_samples(case: str, seed: int) -> Result:
    """How often probabilities learnt from n samples give another class than the true ones."""
    arms = int(case.split()[0])

    def wrong(n: int = 500, diameter: int = 8, dimension: int = 8) -> dict[str, float]:
        metric, observed = star(arms, diameter // 2)
        x, y, new, p = labelled_by_a_star(arms, n, dimension, seed)
        network = fit_logistic(x, y, arms, C=100.0)
        with torch.no_grad():
            learnt = torch.softmax(network(new), dim=1)
        loki = Loki().fit(classes=space(metric, observed))
        return {"wrong": float((loki.predict(learnt) != loki.predict(p)).mean())}

    return {
        "base": wrong(),
        "8 x dimension": wrong(dimension=64),
        "8 x dimension, 8 x samples": wrong(4000, dimension=64),
        "4 x diameter": wrong(diameter=32),
        "4 x diameter, 16 x samples": wrong(8000, diameter=32),
    }


def tree(kind: str, n: int, rng: np.random.Generator) -> TreeMetric:
    """A random tree: uniform among labelled ones, or grown node by node."""
    if kind == "grown":
        return TreeMetric(np.array([-1, *(int(rng.integers(i)) for i in range(1, n))]))
    graph = nx.from_prufer_sequence(rng.integers(0, n, n - 2).tolist())
    parents = np.full(n, -1)
    for parent, node in nx.bfs_edges(graph, 0):
        parents[node] = parent
    return TreeMetric(parents)


def tree_of(case: str, rng: np.random.Generator) -> tuple[TreeMetric, IntArray]:
    """The tree of a case, `KIND NODES`, and three classes that are observed."""
    kind, n = case.split()
    t = tree(kind, int(n), rng)
    return t, uniform_classes(t, 3, rng)


def drawn_tree(case: str, seed: int) -> list[NDArray[Any]]:
    """What a cell draws: the distances in a tree, and three classes."""
    t, observed = tree_of(case, np.random.default_rng(seed))
    return [t.rows(np.arange(len(t))), observed]


def run_locus(case: str, seed: int) -> Result:
    """The characterizations, each as 1 (true) or 0, against Loki's own predictions and linear programs."""
    rng = np.random.default_rng(seed)
    t, observed = tree_of(case, rng)
    leaves, everything = minimum_cover(t), np.arange(len(t))
    inside = locus(t, observed)
    weights = torch.as_tensor(rng.dirichlet(np.full(3, 0.4), 2000)).float()
    reached = Loki().fit(classes=space(t, observed)).predict(weights)
    programs = locus(MatrixMetric(t.rows(everything)), observed, "exact")
    side = 3 + seed % 3
    grid = GraphMetric(nx.to_scipy_sparse_array(nx.grid_2d_graph(side, side)))
    complete = CompleteMetric(len(t))
    spared = [is_cover(t, np.setdiff1d(everything, [leaf])) for leaf in leaves]
    opposite, aside = np.array([0, side * side - 1]), np.array([0, side - 1])
    return {
        "tree": {
            "locus": bool((programs == inside).all() and inside[reached].all()),
            "minimum cover": is_cover(t, leaves) and not any(spared),
        },
        "grid": {"opposite corners cover": is_cover(grid, opposite) and not is_cover(grid, aside)},
        "complete graph": {
            "only all classes cover": is_cover(complete, everything) and not locus(complete, everything[1:], "exact")[0]
        },
    }


def run_active(case: str, seed: int) -> Result:
    """Labels asked for until every class can be predicted, and classes in reach after three of them.

    All start from three random classes. A random leaf is a baseline that knows what is never reached between others.
    """
    rng = np.random.default_rng(seed)
    t, observed = tree_of(case, rng)
    outside = np.flatnonzero(~locus(t, observed))
    gain = {v: locus(t, np.append(observed, v)).sum() for v in outside.tolist()}
    chosen = {
        "active": active_classes(t, observed),
        "random": random_classes(t, observed, rng),
        "random leaf": rng.permutation(np.intersect1d(minimum_cover(t), outside)),
    }
    table: Result = {
        arm: {"labels": len(classes), "reached": float(locus(t, np.r_[observed, classes[:3]]).mean())}
        for arm, classes in chosen.items()
    }
    few, many = table["active"]["labels"], table["random"]["labels"]
    table["active"] |= {
        "fewer": relative_improvement(many, few),
        "not worse": few <= many,
        "largest growth": not gain or gain[next_class(t, observed)] == max(gain.values()),
    }
    return table


# -- scale -------------------------------------------------------------------------------------------------


def large_space(case: str, n: int, k: int, rng: np.random.Generator) -> tuple[LabelMetric, IntArray, Tensor]:
    """n classes at the distances of a case, k of them that are observed, and probabilities of these for 64 samples."""
    kind, size = case.split()
    if kind == "vectors":
        centres = rng.standard_normal((500, int(size)), dtype=np.float32)
        noise = 0.7 * rng.standard_normal((n, int(size)), dtype=np.float32)
        metric: LabelMetric = EmbeddingMetric(centres[rng.integers(500, size=n)] + noise)
    else:
        metric = TreeMetric((np.arange(n) - 1) // int(size), rng.uniform(0.5, 1.5, n))
    observed = uniform_classes(metric, k, rng)
    return metric, observed, torch.softmax(torch.as_tensor(3 * rng.standard_normal((64, k))).float(), dim=1)


def small_space(case: str, seed: int) -> list[Any]:
    """What a cell draws, of fewer classes: some of the distances, what is observed, and probabilities."""
    metric, observed, p = large_space(case, 2_000, 100, np.random.default_rng(seed))
    return [metric.rows(observed[:3]), observed, p]


def run_scale(case: str, seed: int) -> Result:
    """300,000 classes, 1,000 of them observed: predictions against distances to 20,000 written out."""
    n, k = 300_000, 1_000
    rng = np.random.default_rng(seed)
    metric, observed, p = large_space(case, n, k, rng)
    with patch.object(metric, "rows", wraps=metric.rows) as rows:
        predicted = Loki().fit(classes=space(metric, observed)).predict(p)
    some = np.unique(np.r_[observed, predicted, rng.choice(n, 20_000, replace=False)])
    dense = metric_cost(p, metric.take(some), np.searchsorted(some, observed)).numpy()
    excess = dense[np.arange(len(p)), np.searchsorted(some, predicted)] - dense.min(axis=1)
    return {"loki": {"as dense": float((excess <= 1e-5 * dense.max()).mean()), "rows of distances": rows.call_count}}


STYLES = ("noto", "twemoji", "openmoji", "fluent-emoji-flat")
FRESH = ("noto-v1", "emojione", "fluent-emoji", "fxemoji")


def turns(styles: tuple[str, ...]) -> tuple[str, ...]:
    """Every style once as source, the next one for calibration, the one after as exam."""
    return tuple(" > ".join(np.roll(styles, -i)[:3]) for i in range(len(styles)))


def behaviour() -> dict[str, Any]:
    """What can be predicted in a tree and a grid, and which classes are asked for next."""
    tree = TreeMetric(np.array([-1, *((np.arange(1, 30) - 1) // 2)]))
    grid = GraphMetric(nx.to_scipy_sparse_array(nx.grid_2d_graph(4, 4)))
    some = np.array([7, 12, 3])
    metrics: dict[str, LabelMetric] = {"tree": tree, "grid": grid}
    return {name: [np.flatnonzero(locus(metric, some)), central_class(metric)] for name, metric in metrics.items()} | {
        "cover": minimum_cover(tree), "active": active_classes(tree, some),
    }  # fmt: skip


# fmt: off
LEDGER = (
    mechanism("digits", equals("loki", "as enumerated", 1.0),
        "The rule replaces argmax and needs no samples and no training: it is the Fréchet mean of the "
        "probabilities, the class with the least expected squared distance, as enumeration finds it."),
    mechanism("digits", equals("complete graph", "as argmax", 1.0),
        "Without any structure, all classes equally far apart, it is argmax."),
    promised("digits", wins("soft", "argmax", "distance", of=0.9, lower=True),
        "Digits of which five of ten are observed are predicted nearer to the truth than by argmax, in at least 90 "
        "% of the splits."),
    promised("digits", at_least("soft", "improvement", 0.02),
        "The mean squared distance of digits falls by at least 2 %."),
    promised("emoji by names", better("soft", "argmax", "unseen distance", lower=True),
        "Samples of classes that were never observed are predicted nearer to the truth: emoji, 100 of some 1,500 "
        "classes observed, distances between names."),
    effect("emoji by names", at_least("soft", "unseen accuracy", 0.1),
        "New classes are predicted reliably: at least one sample in ten of an unobserved emoji is named right."),
    promised("samples", better("base", "8 x dimension", "wrong", by=0.1, lower=True),
        "Learning theory: more dimensions need more samples. With the same samples, features of 8 times the "
        "dimension give more wrong Fréchet means, by over ten points."),
    promised("samples", not_worse("8 x dimension, 8 x samples", "base", "wrong", within=0.05, lower=True),
        "The need grows no faster than the dimension: 8 times the samples undo that, to five points."),
    promised("samples", better("base", "4 x diameter", "wrong", by=0.1, lower=True),
        "So does a label space of larger diameter: with the same samples, 4 times the diameter gives more wrong "
        "Fréchet means, by over ten points."),
    promised("samples", not_worse("4 x diameter, 16 x samples", "base", "wrong", within=0.05, lower=True),
        "The need grows no faster than the squared diameter: 16 times the samples undo that, to five points."),
    mechanism("locus", equals("tree", "locus", 1.0),
        "It is known which classes can be predicted: in a tree, all on paths between observed ones, as linear "
        "programs find too; no weights ever predict another."),
    mechanism("locus", equals("tree", "minimum cover", 1.0),
        "The leaves of a tree are enough to predict every class, and none can be spared."),
    mechanism("locus", equals("grid", "opposite corners cover", 1.0),
        "Two opposite corners of a grid are enough to predict every class, as one of a set; two corners on one side "
        "are not."),
    mechanism("locus", equals("complete graph", "only all classes cover", 1.0),
        "In a complete graph nothing but observing all classes is enough."),
    mechanism("active", equals("active", "largest growth", 1.0),
        "Where not all classes can be predicted, the next class to label is chosen optimally: no other makes the "
        "locus of a tree grow more."),
    promised("active", at_least("active", "fewer", 0.15),
        "Choosing so, all classes can be predicted after at least 15 % fewer labels than by random choice among the "
        "classes outside the locus. (Random leaves need as few: all leaves are needed in the end.)"),
    promised("active", at_least("active", "not worse", 28 / 30),
        "The choice needs no more labels than the random one in at least 28 of 30 trees."),
    promised("active", better("active", "random leaf", "reached", by=0.05),
        "On the way it is ahead even of random leaves: after three labels, at least five points more of the classes "
        "can be predicted."),
    paper_scale("Up to 29.7 % relative improvement over SimCLR on ImageNet with an external metric.",
        "Needs ImageNet and SimCLR's weights. Give the probabilities of K observed classes as a domain of kind "
        "'probabilities', the WordNet tree as TreeMetric, and compare mean_squared_distance."),
    effect("emoji by taxonomy", better("soft", "argmax", "distance", lower=True),
        "An easily available external metric improves on argmax: emoji with Unicode's own taxonomy, 100 classes "
        "observed."),
    effect("emoji by names", at_least("soft", "improvement", 0.05),
        "An external metric of sentence embeddings improves the mean squared distance by at least 5 %."),
    mechanism("scale", equals("loki", "as dense", 1.0),
        "It scales to hundreds of thousands of classes: among 300,000, the predictions have the least cost when "
        "20,000 and all distances to them are written out."),
    mechanism("scale", equals("loki", "rows of distances", 0.0), "There it asks for no distance between two classes."),
    paper_scale("With a metric from its own class embeddings it improves pretrained zero-shot models by 10.5 %, such "
        "as CLIP.",
        "Needs CLIP's weights and its benchmarks: encoders.get('open_clip:...') embeds the classes, ClassSpace derives "
        "the metric, and the experiment 'lite-clip' is the recipe."),
    promised("lite-clip", better("loki", "argmax", "distance", lower=True),
        "With a metric from its own class embeddings it improves the zero-shot model lite-clip over all emoji."),
    promised("lite-clip", at_least("soft", "improvement", 0.05),
        "With softer probabilities (temperature 2) it improves lite-clip by at least 5 %."),
    effect("lite-clip", better("soft", "centre", "distance", lower=True),
        "With softer probabilities it is nearer to the truth than always answering the most central class, which "
        "alone beats lite-clip's argmax."),
    effect("lite-clip", better("loki", "centre", "distance", lower=True),
        "At its default temperature it is nearer to the truth than always answering the most central class."),
    effect("lite-clip", not_worse("soft", "argmax", "accuracy", within=0.001),
        "The nearer predictions of lite-clip cost no accuracy (at most a thousandth)."),
)

claim = Claim(
    slug="loki",
    ledger=LEDGER,
    behaviour=behaviour,
    experiments={
        "digits": Experiment(
            run=run_digits, data=lambda case: [worlds.digits(style) for style in ("handwritten", "printed")],
            drawn=digit_parts,
            development=("handwritten",), confirmation=("printed",), unit="digit data set", **seeds(20)),
        **{
            f"emoji by {metric_of}": Experiment(
                run=functools.partial(run_emoji, metric_of),
                data=lambda case: of_vendors(case.split(" > "), "name", "subgroup", "group"), drawn=emoji_parts,
                development=turns(STYLES), confirmation=turns(FRESH[:3]), unit="exam style")
            for metric_of in ("names", "taxonomy")
        },
        "lite-clip": Experiment(
            run=run_lite_clip, data=lambda case: of_vendors([case], "name", "keywords"),
            drawn=lambda case, seed: nine_tenths(len(by(case)), seed),
            development=STYLES, confirmation=FRESH, unit="style"),
        "samples": Experiment(
            run=run_samples,
            drawn=lambda case, seed: labelled_by_a_star(int(case.split()[0]), 500, 8, seed),
            development=("2 arms", "3 arms"), confirmation=("5 arms", "6 arms", "8 arms"),
            unit="label space", **seeds(10)),
        "locus": Experiment(
            run=run_locus, drawn=drawn_tree, development=("uniform 20", "uniform 30"),
            confirmation=("grown 25", "grown 40"),
            unit="kind of tree", **seeds(5)),
        "active": Experiment(
            run=run_active, drawn=drawn_tree, development=("uniform 20", "uniform 50"),
            confirmation=("grown 30", "grown 60"),
            unit="kind of tree", **seeds(30)),
        "scale": Experiment(
            run=run_scale, drawn=small_space, development=("vectors 128", "tree 4"),
            confirmation=("vectors 64", "tree 2"),
            unit="label space", **seeds(1)),
    },
    licences=(worlds.EMOJI, worlds.DIGITS, worlds.LITE0, worlds.MINILM),
)
# fmt: on
