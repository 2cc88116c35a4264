"""GraphCLIP's claim: packages of sections never learnt from, and WordNet, with and without a node's own text."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims import text_graphs as graphs
from unseen.claims import worlds
from unseen.claims.arms import rows_of_each
from unseen.claims.base import Claim, Experiment, Result, of_both, seeds
from unseen.claims.conditions import at_least, beats_all, better, joined, not_worse
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale
from unseen.claims.text_graphs import Around
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.graph_summaries import summarize
from unseen.data.pairs import Pairs
from unseen.data.rows import unit_rows
from unseen.data.samplers import hold_out
from unseen.data.text_graphs import TextAttributedGraph, batch_of, common_neighbours, edge_numbers
from unseen.data.typing import IntArray
from unseen.evaluation.metrics.zero_shot import mean_class_top1
from unseen.methods.multimodal.graphclip import GraphCLIP
from unseen.methods.multimodal.graphclip.steps import as_nodes
from unseen.methods.multimodal.ridge_map import RidgeMap
from unseen.nn.contrastive import supervised_contrast
from unseen.nn.gps import graph_encoder
from unseen.nn.logistic import fit_logistic
from unseen.nn.train import Run, train
from unseen.runtime import reproducible

BUDGET: Mapping[str, Any] = {"hidden": 64, "epochs": 12, "batch_size": 100, "learning_rate": 3e-4}
BARE = "without skip and hidden roots"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "graphclip": {},
    BARE: {"skip": False, "hide_root": 0.0},
    "no adversary": {"adversarial_steps": 1, "step_size": 0.0},
    "ten times the perturbation": {"step_size": 1.4e-2},
    "no adversary, as many passes": {"adversarial_steps": 1, "step_size": 0.0, "epochs": 36},
    "own description": {},
    "no attention": {"attention": False},
    "no positions": {"positions": 0},
}
TENTHS = range(11)
STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
"""C of logistic regressions, of which one is chosen on the sections that are tuned on."""
WAYS = ("node prompt", "graph prompt", "fine-tuning")
RATES = (1e-3, 3e-4, 1e-4)
"""Rates of learning from a few labels, of which each way gets one, chosen there, too; of equals the first."""
EPISODES = 2
"""Draws of labels that choose a rate."""
SHOTS, HIDDEN = 5, 60


# -- learning ----------------------------------------------------------------------------------------------


@functools.cache
def learnt(seed: int, variant: str) -> GraphCLIP:
    """One variant, pretrained on packages of sections that no case asks about; summaries are extracted."""
    around = graphs.learnt_from()
    texts = around.graph.texts[around.places.roots].tolist() if variant == "own description" else summaries()
    pairs = Pairs(around.domain().replace(y=None, classes=None), Domain(x=graphs.vectors(texts), name="summaries"))
    return GraphCLIP(**{**BUDGET, **VARIANTS[variant], "random_state": seed}).fit(pairs=pairs)


@functools.cache
def summaries() -> list[str]:
    """A summary of every subgraph that is learnt from, without the words of any section."""
    around = graphs.learnt_from()
    assert around.graph.classes is not None
    return summarize(around.graph, around.places, banned=around.graph.classes.names).tolist()


def untrained(method: GraphCLIP) -> GraphCLIP:
    """The method with an encoder that learnt nothing: by `skip` the sum of root and mean node."""
    copied = copy.deepcopy(method)
    copied.network_ = graph_encoder(
        copied.n_features_in_, copied.answers_.shape[1], hidden=copied.hidden, layers=copied.layers, heads=copied.heads,
        positions=copied.positions, position_width=copied.position_width, attention=copied.attention, skip=True,
    ).eval()  # fmt: skip
    return copied


@functools.cache
def linear(hidden: bool) -> RidgeMap:
    """The same pairs, by ridge regression from means of texts: of root, neighbours and subgraph, or without the root"""
    around = graphs.learnt_from()
    there = (around.near != 0).any(axis=1)
    left = Domain(x=means(around, hidden)[there], name="means")
    return RidgeMap().fit(pairs=Pairs(left, Domain(x=graphs.vectors(summaries())[there], name="summaries")))


def means(given: Around, hidden: bool) -> NDArray[np.float32]:
    """What a linear map reads of a node: its own text, the mean of its neighbours and that of its subgraph."""
    return np.concatenate([given.near, given.all_] if hidden else [given.own_text, given.near, given.all_], axis=1)


def of_classes(classes: ClassSpace) -> NDArray[np.float32]:
    """Unit vectors of the classes' sentences."""
    assert classes.embeddings is not None
    return unit_rows(classes.embeddings)


@functools.cache
def shares(hidden: bool) -> tuple[float, float, float]:
    """Shares of own text, neighbours and subgraph in the mix that names the sections that are tuned on best."""
    around = graphs.tuned_on()
    w = of_classes(graphs.sentences("packages", around.names)).T
    tried = [
        (a / 10, b / 10, (10 - a - b) / 10)
        for a in (TENTHS[:1] if hidden else TENTHS) for b in TENTHS if a + b <= TENTHS[-1]
    ]  # fmt: skip
    return max(tried, key=lambda some: mean_class_top1(around.y, (mixed(around, some) @ w).argmax(axis=1)))


def mixed(given: Around, some: tuple[float, float, float]) -> NDArray[np.float32]:
    """A mix of own text, neighbours and subgraph, each of length 1."""
    parts = zip(some, (given.own_text, given.near, given.all_))
    return np.sum([share * unit_rows(part) for share, part in parts], axis=0, dtype=np.float32)


# -- zero labels -------------------------------------------------------------------------------------------


def zero_shot(case: str, seed: int) -> Result:
    """Sections, or fields of WordNet, named by a sentence each; the case is `SPLIT KIND NUMBER`.

    `accuracy` and `f1` (macro) with all texts, `hidden` and `hidden_f1` where the node's own text is not there;
    `abroad` and `hidden abroad` are accuracies in WordNet alone, a graph of another kind than was learnt from.
    """
    kind = case.split()[1]
    target = graphs.asked_about(case)
    classes = graphs.sentences(kind, target.names)
    w = of_classes(classes).T
    table: Result = {
        "own text": figures(target.y, target.own_text @ w, None),
        "neighbours": figures(target.y, target.near @ w, target.near @ w),
        "subgraph": figures(target.y, unit_rows(target.own_text) @ w + unit_rows(target.all_) @ w, target.all_ @ w),
        "tuned mix": figures(target.y, *(mixed(target, shares(hidden)) @ w for hidden in (False, True))),
        "ridge map": figures(
            target.y,
            *(linear(hidden).transform(means(target, hidden)).numpy() @ w for hidden in (False, True)),
        ),
        "chance": {key: 1 / len(classes) for key in ("accuracy", "f1", "hidden", "hidden_f1")},
    }
    for name in ("untrained", *VARIANTS):
        method = untrained(learnt(seed, "graphclip")) if name == "untrained" else learnt(seed, name)
        method = copy.deepcopy(method).adapt(classes=classes)
        scores = [method.decision_function(target.domain(hide_roots=hidden)).numpy() for hidden in (False, True)]
        table[name] = figures(target.y, *scores)
    if kind == "wordnet":
        for row in table.values():
            row["abroad"], row["hidden abroad"] = row["accuracy"], row["hidden"]
    return table


def figures(y: NDArray[np.int64], full: NDArray[Any], hidden: NDArray[Any] | None) -> dict[str, float]:
    """Accuracy and macro-F1 of scores with and without the root's text; without it at chance where there are none."""
    from sklearn.metrics import f1_score

    out = {}
    for keys, scores in ((("accuracy", "f1"), full), (("hidden", "hidden_f1"), hidden)):
        guess = np.zeros(len(y), dtype=np.int64) if scores is None else scores.argmax(axis=1)
        out[keys[0]] = float((guess == y).mean())
        out[keys[1]] = float(f1_score(y, guess, average="macro", zero_division=0))
    return out


# -- a few labels ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Episode:
    """Five labelled nodes of each class, and the others, which are asked about."""

    few: Around
    rest: Around
    classes: ClassSpace

    @classmethod
    def drawn(cls, given: Around, classes: ClassSpace, seed: int) -> Episode:
        """An episode with nodes drawn by a seed."""
        few = labelled_rows(given.y, seed)
        return cls(given.take(few), given.take(np.setdiff1d(np.arange(len(given.y)), few)), classes)


@functools.cache
def tuning(seed: int) -> Episode:
    """The episode in the sections that are tuned on."""
    return Episode.drawn(graphs.tuned_on(), graphs.sentences("packages", graphs.TUNED), seed)


def few_shot(case: str, seed: int) -> Result:
    """Five labelled nodes of each class: prompts, fine-tuning, and what learns from them without the encoder.

    `accuracy` on the other nodes. `elsewhere` is the zero-shot accuracy, afterwards, on sections of no case that were
    learnt from: what is forgotten. `taken` says whether what was learnt told held-out labels better than nothing, else
    the zero-shot model stays. `numbers` counts what is learnt from the labels.
    """
    target = graphs.asked_about(case)
    episode = Episode.drawn(target, graphs.sentences(case.split()[1], target.names), seed)
    y, truth = episode.few.y, episode.rest.y
    table: Result = {"zero-shot": told(seed, episode, None)}
    for way in WAYS:
        table[way] = told(seed, episode, way, rate(seed, way))
    for name, features in read(seed).items():
        head = logistic(features(episode.few), y, strength(seed, name))
        table[f"regression on {name}"] = {"accuracy": float((head(features(episode.rest)) == truth).mean())}
    few, rest = (unit_rows(mixed(part, shares(False))) for part in (episode.few, episode.rest))
    centres = unit_rows(np.stack([few[y == c].mean(axis=0) for c in range(len(episode.classes))]))
    guess = (rest @ (of_classes(episode.classes) + centres).T).argmax(axis=1)
    table["sentence and class mean"] = {"accuracy": float((guess == truth).mean())}
    return table


def told(seed: int, episode: Episode, way: str | None, rate: float = 0.0) -> dict[str, float]:
    """What a way of learning from the labels gives."""
    support, test, old = episode.few.domain(), episode.rest, graphs.tuned_on()
    method = copy.deepcopy(learnt(seed, "graphclip")).set_params(prompt_learning_rate=rate or 1.0)
    if way is None:
        method, taken, numbers = method.adapt(classes=episode.classes), False, 0
    elif way == "fine-tuning":
        method = method.adapt(classes=episode.classes)
        taken = fine_tuned(method, support, rate)
        numbers = sum(p.numel() for p in method.network_.parameters())
    else:
        method = method.set_params(prompt=way.partition(" ")[0]).adapt(classes=episode.classes, support=support)
        taken = bool(len(method.prompt_))
        numbers = method.n_features_in_ * (method.tokens if method.prompt == "graph" else 1)
    moved = copy.deepcopy(method).adapt(classes=graphs.sentences("packages", old.names))
    moved.prompt_ = method.prompt_
    return {
        "accuracy": float((method.predict(test.domain()) == test.y).mean()),
        "elsewhere": mean_class_top1(old.y, moved.predict(old.domain())),
        "taken": float(taken),
        "numbers": float(numbers),
    }


@functools.cache
def rate(seed: int, way: str) -> float:
    """The rate that does best in the sections that are tuned on; of equals the first."""

    def right(some: float) -> float:
        episodes = [tuning(1000 * seed + i) for i in range(EPISODES)]
        return float(np.mean([told(seed, episode, way, some)["accuracy"] for episode in episodes]))

    return max(RATES, key=right)


def fine_tuned(method: GraphCLIP, support: Domain, rate: float) -> bool:
    """Move all weights of the encoder by the loss, the steps, the held-out labels and the fallback of prompts.

    Whether the held-out labels are told better; else the weights are as they were.
    """
    learn, judge = map(np.flatnonzero, hold_out(support.labels, method.validation, method.random_state))
    y = torch.as_tensor(support.labels)
    nodes, held_out = (as_nodes(batch_of(support.take(rows)), method.positions) for rows in (learn, judge))
    network, present = method.network_, torch.unique(y[learn])
    network.eval().requires_grad_(True)  # its statistics stay: a batch is thirty nodes
    before = copy.deepcopy(network.state_dict())

    def objective(batch: None, run: Run) -> Tensor:
        z = torch.cat([F.normalize(network(*nodes), dim=1), method.answers_[present]])
        return supervised_contrast(z, torch.cat([y[learn], present]), method.prompt_temperature)

    def judged() -> float:
        with torch.no_grad():
            logits = F.normalize(network(*held_out), dim=1) @ method.answers_.T / method.prompt_temperature
            return -float(F.cross_entropy(logits, y[judge]))

    untouched = judged()
    with reproducible(method.random_state):
        adam = torch.optim.Adam(network.parameters(), lr=rate)
        run = train(objective, name="fine-tuned", nets={"network": network}, optimizers={"adam": adam}, batches=None,
                    epochs=method.prompt_epochs, steps_per_epoch=1, score=lambda run: judged(),
                    patience=method.patience)  # fmt: skip
    network.eval()
    if run.best is None or run.best <= untouched:
        network.load_state_dict(before)
        return False
    return True


def read(seed: int) -> dict[str, Callable[[Around], NDArray[np.float32]]]:
    """What logistic regressions read of nodes."""
    method = learnt(seed, "graphclip")
    return {
        "text": lambda part: unit_rows(part.own_text),
        "text and neighbours": lambda part: np.concatenate(
            [unit_rows(x) for x in (part.own_text, part.near, part.all_)], axis=1
        ),
        "graphclip": lambda part: method.transform(part.domain()).numpy(),
    }


def logistic(
    x: NDArray[np.float32], y: NDArray[np.int64], C: float
) -> Callable[[NDArray[np.float32]], NDArray[np.int64]]:
    """What logistic regression on vectors as they are says of others."""
    head = fit_logistic(torch.as_tensor(x), y, int(y.max()) + 1, C=C, standardize=False)
    return lambda other: head(torch.as_tensor(other)).detach().argmax(dim=1).numpy()


@functools.cache
def strength(seed: int, name: str) -> float:
    """C that does best in the sections that are tuned on; of equals the least."""
    few, rest = tuning(1000 * seed).few, tuning(1000 * seed).rest
    x, other = map(read(seed)[name], (few, rest))
    return max(STRENGTHS, key=lambda C: float((logistic(x, few.y, C)(other) == rest.y).mean()))


# -- links -------------------------------------------------------------------------------------------------


def hidden_edges(graph: TextAttributedGraph, roots: IntArray) -> tuple[IntArray, IntArray]:
    """Edges that are hidden, the same for all seeds, and pairs without an edge."""
    rng = np.random.default_rng(0)
    edges = graph.edges[np.isin(graph.edges, roots).any(axis=1)]
    gone = edges[rng.permutation(len(edges))[: min(HIDDEN, max(20, len(edges) // 10))]]
    partner = rng.permutation(gone[:, 1])
    wrong = np.stack([gone[:, 0], partner], axis=1)
    there = np.isin(edge_numbers(wrong, len(graph)), edge_numbers(graph.edges, len(graph)))
    return gone, wrong[(wrong[:, 0] != wrong[:, 1]) & ~there]


def drawn_nodes(case: str, seed: int) -> dict[str, Any]:
    """What a cell draws: nodes that are learnt from and asked about, some of their subgraphs, labels and links."""
    graph, roots, names = graphs.roots_of(case)
    learnt, learnt_roots = graphs.learnt_roots()
    return {
        "asked": roots, "learnt": learnt.names[learnt_roots].tolist(), "walks": graphs.walked(graph, roots[:20], 0),
        "walks learnt": graphs.walked(learnt, learnt_roots[:20], 0), "links": hidden_edges(graph, roots),
        "labelled": labelled_rows(graphs.labels_of(graph, roots, names), seed),
    }  # fmt: skip


def labelled_rows(y: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Which nodes have a label in an episode."""
    return rows_of_each(y, SHOTS, np.random.default_rng(seed))


def links(case: str, seed: int) -> Result:
    """A tenth of the edges at the nodes that are asked about is hidden; `auc` against as many pairs without an edge."""
    target = graphs.asked_about(case)
    graph, roots = target.graph, target.places.roots
    gone, wrong = hidden_edges(graph, roots)
    pairs = np.concatenate([gone, wrong])
    truth = np.repeat([1, 0], [len(gone), len(wrong)])
    left = graph.without(gone)
    nodes, place = np.unique(pairs, return_inverse=True)
    around = graphs.around(left, nodes, target.names, 0)
    a, b = place.reshape(-1, 2).T

    def cosine(x: NDArray[Any]) -> NDArray[Any]:
        return (unit_rows(x)[a] * unit_rows(x)[b]).sum(axis=1)

    method = learnt(seed, "graphclip")
    table = {
        "own text": cosine(around.own_text),
        "neighbours": cosine(around.near),
        "tuned mix": cosine(mixed(around, shares(False))),
        "ridge map": cosine(linear(False).transform(means(around, False)).numpy()),
        "common neighbours": common_neighbours(left, pairs),
        "untrained": cosine(untrained(method).transform(around.domain()).numpy()),
        "graphclip": cosine(method.transform(around.domain()).numpy()),
    }
    from sklearn.metrics import roc_auc_score

    return {name: {"auc": float(roc_auc_score(truth, score))} for name, score in table.items()}


# fmt: off
SIMPLE = ("own text", "neighbours", "subgraph", "tuned mix", "ridge map", "untrained")
ABROAD = ("own text", "neighbours", "untrained")
FEW = ("sentence and class mean", "regression on text", "regression on text and neighbours",
       "regression on graphclip")
LINKED = ("own text", "neighbours", "tuned mix", "ridge map", "common neighbours", "untrained")
LEDGER = (
    mechanism("zero-shot", better(BARE, "chance", "hidden", by=0.1),
        "An encoder of graphs that begins with nothing and learns from pairs of subgraph and summary names nodes by "
        "sentences about classes that it never saw, without a label and without the node's own text, ten points above "
        "chance."),
    effect("zero-shot", better("graphclip", "untrained", "accuracy"),
        "With the skip, which makes an encoder begin as the mean of the texts, learning still helps: it is better than "
        "the same encoder untrained, all texts being there."),
    effect("zero-shot", better("graphclip", "untrained", "hidden"),
        "It is better than the same encoder untrained where the node's own text is hidden."),
    effect("zero-shot", better("graphclip", "neighbours", "hidden", by=0.03),
        "Where the node's own text is hidden it is better than the mean of its neighbours' texts by more than three "
        "points."),
    effect("zero-shot", beats_all("graphclip", SIMPLE, "hidden"),
        "There, it is better than all simple alternatives, a ridge map learnt from the same pairs among them."),
    effect("zero-shot", better("graphclip", "own text", "accuracy", by=0.01),
        "With all texts it is better than the node's own text by more than a point. What reads neighbours untrained "
        "may be, too: see the rows beside."),
    effect("zero-shot", beats_all("graphclip", SIMPLE, "accuracy"),
        "With all texts it is better than all simple alternatives."),
    effect("zero-shot", beats_all("graphclip", ABROAD, "abroad"),
        "Across domains: learnt on packages, it names WordNet's nouns better than their own text, the mean of the "
        "neighbours and the untrained encoder."),
    effect("zero-shot", beats_all("graphclip", ABROAD, "hidden abroad"),
        "It does so where the nouns' own text is hidden, too."),
    effect("zero-shot", better(BARE, "neighbours", "hidden"),
        "Without skip and hidden roots, which the paper does not have, it is better than the mean of the neighbours "
        "where the own text is hidden."),
    effect("zero-shot", better(BARE, "own text", "accuracy"),
        "Without them it is better than the own text where all texts are there."),
    effect("zero-shot", better("graphclip", "ten times the perturbation", "accuracy"),
        "The published perturbation, brought to vectors of length one, is better than the same number on them."),
    effect("zero-shot", better("graphclip", "no adversary", "accuracy"),
        "Invariant learning (adversarial perturbations) helps transfer, all texts being there."),
    effect("zero-shot", better("graphclip", "no adversary", "hidden"), "It helps where the own text is hidden, too."),
    effect("zero-shot", better("graphclip", "no adversary, as many passes", "accuracy"),
        "It helps more than as many passes through the network without an adversary."),
    effect("zero-shot", better("graphclip", "own description", "accuracy"),
        "Summaries of subgraphs teach more than the centre's own text in their place."),
    effect("zero-shot", better("graphclip", "own description", "hidden"),
        "They do so where the own text is hidden, too."),
    effect("zero-shot", better("graphclip", "no attention", "accuracy"), "Attention over the subgraph helps."),
    effect("zero-shot", better("graphclip", "no positions", "accuracy"),
        "Return probabilities beside the features help."),
    effect("few-shot", better("node prompt", "zero-shot", "accuracy", by=0.03),
        "A prompt learnt from five labelled nodes of each class is better than none by more than three points."),
    effect("few-shot", at_least("node prompt", "taken", 0.5),
        "It is taken, because it tells held-out labels better than none, in at least half of the runs."),
    effect("few-shot", better("graph prompt", "node prompt", "accuracy"),
        "A prompt graph of several nodes is better than one vector."),
    effect("few-shot", beats_all("node prompt", FEW, "accuracy"),
        "A prompt is better than what learns from the same labels without the encoder (class sentences moved to the "
        "labelled nodes, logistic regression on texts), and than logistic regression on the encoder's vectors."),
    effect("few-shot", better("node prompt", "fine-tuning", "accuracy"),
        "A prompt is better than fine-tuning the encoder on the same labels."),
    effect("few-shot", joined(better("node prompt", "fine-tuning", "elsewhere"),
                              not_worse("node prompt", "fine-tuning", "accuracy", within=0.01)),
        "A prompt forgets less than fine-tuning (classes known before are named better afterwards), and names the new "
        "classes at most a point worse."),
    effect("few-shot", joined(better("node prompt", "fine-tuning", "numbers", lower=True),
                              not_worse("node prompt", "fine-tuning", "accuracy", within=0.01),
                              better("node prompt", "zero-shot", "accuracy")),
        "It costs less to learn: fewer numbers than fine-tuning name the new classes at most a point worse, and better "
        "than none."),
    effect("links", better("graphclip", "own text", "auc", by=0.02),
        "It serves other tasks: hidden edges are found better than by the texts alone, by more than .02 of AUC."),
    effect("links", beats_all("graphclip", LINKED, "auc"),
        "Hidden edges are found better than by any simple alternative."),
    not_testable("Methods so far rely on labels and transfer poorly across domains; curation costs limit them.",
        "It motivates the method; nothing here trains those methods."),
    paper_scale("Large-scale pairs of graph and summary, made with a large language model.",
        "`unseen nodes GRAPH --pretrain ARXIV --pretrain PRODUCTS --writer causal:MODEL --preset published --starts "
        "200000`, or `--summaries FILE` with summaries written elsewhere; not run. Summaries are extracted here."),
    paper_scale("Better zero-shot and few-shot than graph foundation models before it on seven target graphs.",
        "With Cora, CiteSeer, WikiCS, Instagram, Ele-Photo, Ele-Computers and Books-History as files of "
        "torch-geometric with texts: `unseen nodes cora.pt --classes cora.csv --model PRETRAINED`; not run."),
)
GROUPS = {
    "development": ("packages 1", "packages 2", "wordnet 1"),
    "confirmation": ("packages 1", "packages 2", "packages 3", "wordnet 1", "wordnet 2"),
}
CASES: dict[str, Any] = {**of_both(GROUPS), "unit": "group of classes", "data": graphs.said, "drawn": drawn_nodes}

claim = Claim(
    slug="graphclip",
    ledger=LEDGER,
    experiments={
        "zero-shot": Experiment(run=zero_shot, **CASES, **seeds(2)),
        "few-shot": Experiment(run=few_shot, **CASES, **seeds(2)),
        "links": Experiment(run=links, **CASES, **seeds(1)),
    },
    licences=(
        f"Debian's package index, {graphs.INDEX}: package metadata by the Debian project and the packages' maintainers",
        "WordNet 3.1: WordNet licence", worlds.MINILM,
    ),
)
# fmt: on
