"""GraphCLIP's claim: packages of sections never learnt from, and WordNet, with and without a node's own text."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims import text_graphs as graphs
from unseen.claims import worlds
from unseen.claims.base import Claim, Experiment, Result
from unseen.claims.conditions import beats_all, better, not_worse
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.claims.text_graphs import Around
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.text_graphs import batch_of, edge_numbers
from unseen.methods.multimodal.graphclip import GraphCLIP, summarize
from unseen.methods.multimodal.graphclip.steps import as_nodes
from unseen.methods.multimodal.ridge_map import RidgeMap
from unseen.nn.contrastive import supervised_contrast
from unseen.nn.logistic import fit_logistic
from unseen.nn.train import Run, train
from unseen.runtime import reproducible

BUDGET: Mapping[str, Any] = {"hidden": 64, "epochs": 8, "batch_size": 100}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "graphclip": {},
    "as published": {"skip": False, "hide_root": 0.0},
    "no adversary": {"adversarial_steps": 1, "step_size": 0.0},
    "ten times the perturbation": {"step_size": 1.4e-2},
    "no adversary, as many passes": {"adversarial_steps": 1, "step_size": 0.0, "epochs": 24},
    "own description": {},
    "no attention": {"attention": False},
    "no positions": {"positions": 0},
}
MIXES = tuple(np.linspace(0, 1, 11))
"""Shares of the node's own text that are tried, on the sections that are learnt from."""
SHOTS, HIDDEN = 5, 100


# -- learning ----------------------------------------------------------------------------------------------


@functools.cache
def learnt(split: str, seed: int, variant: str) -> GraphCLIP:
    """One variant, pretrained on packages of other sections; summaries are extracted."""
    given = graphs.learnt_from(split)
    if variant == "own description":
        told = given.graph.texts[given.places.roots].tolist()
    else:
        told = summaries(split)
    pairs = Pairs(given.domain().replace(y=None, classes=None), Domain(x=graphs.vectors(told), name="summaries"))
    return GraphCLIP(**{**BUDGET, **VARIANTS[variant], "random_state": seed}).fit(pairs=pairs)


@functools.cache
def summaries(split: str) -> list[str]:
    """A summary of every subgraph that is learnt from, without the words of any section."""
    given = graphs.learnt_from(split)
    assert given.graph.classes is not None
    return summarize(given.graph, given.places, banned=given.graph.classes.names).tolist()


@functools.cache
def linear(split: str, hidden: bool) -> RidgeMap:
    """The same pairs, by ridge regression from means of texts: of root and subgraph, or of the subgraph alone."""
    given = graphs.learnt_from(split)
    there = (given.near != 0).any(axis=1)
    left = Domain(x=means(given, hidden)[there], name="means")
    return RidgeMap().fit(pairs=Pairs(left, Domain(x=graphs.vectors(summaries(split))[there], name="summaries")))


def means(given: Around, hidden: bool) -> NDArray[np.float32]:
    """What a linear map reads of a subgraph."""
    return np.concatenate([given.near, given.all_] if hidden else [given.own, given.near, given.all_], axis=1)


@functools.cache
def mix(split: str) -> float:
    """The share of the own text in the mean with the neighbours that names the sections learnt from best."""
    given = graphs.learnt_from(split)
    rows = np.flatnonzero((given.y >= 0) & (given.near != 0).any(axis=1))
    w = unit(graphs.sentences("packages", given.names).embeddings).T
    right = [float(((mixed(given, a)[rows] @ w).argmax(axis=1) == given.y[rows]).mean()) for a in MIXES]
    return float(MIXES[int(np.argmax(right))])


def mixed(given: Around, share: float) -> NDArray[np.float32]:
    """share * own text + (1 - share) * neighbours, both of length 1."""
    return np.asarray(share * unit(given.own) + (1 - share) * unit(given.near), dtype=np.float32)


def unit(x: Any) -> NDArray[np.float32]:
    """Rows of length 1; rows of zeros stay."""
    x = np.asarray(x, dtype=np.float32)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


# -- zero labels -------------------------------------------------------------------------------------------


def zero_shot(case: str, seed: int) -> Result:
    """Sections, or fields of WordNet, named by a sentence each; the case is `SPLIT KIND NUMBER`.

    `accuracy` and `f1` (macro) with all texts, `hidden` and `hidden_f1` where the node's own text is not there.
    """
    split, kind, _ = case.split()
    asked = graphs.asked_about(case)
    classes = graphs.sentences(kind, asked.names)
    w = unit(classes.embeddings).T
    share = mix(split)
    table: Result = {
        "own text": figures(asked.y, asked.own @ w, None),
        "neighbours": figures(asked.y, asked.near @ w, asked.near @ w),
        "subgraph": figures(asked.y, unit(asked.own) @ w + unit(asked.all_) @ w, asked.all_ @ w),
        "tuned mix": figures(asked.y, mixed(asked, share) @ w, asked.near @ w),
        "ridge map": figures(
            asked.y,
            *(linear(split, hidden).transform(means(asked, hidden)).numpy() @ w for hidden in (False, True)),
        ),
        "chance": {key: 1 / len(classes) for key in ("accuracy", "f1", "hidden", "hidden_f1")},
    }
    for name in VARIANTS:
        method = adapted(split, seed, name, classes)
        scores = [method.decision_function(asked.domain(hide_roots=hidden)).numpy() for hidden in (False, True)]
        table[name] = figures(asked.y, *scores)
    return table


def adapted(
    split: str, seed: int, variant: str, classes: ClassSpace, support: Domain | None = None, **changes: Any
) -> GraphCLIP:
    """A pretrained variant, asked about these classes."""
    method = learnt(split, seed, variant)
    return copy.deepcopy(method).set_params(**changes).adapt(classes=classes, support=support)


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


def few_shot(case: str, seed: int) -> Result:
    """Five labelled nodes of each class: prompts, fine-tuning, and logistic regression on MiniLM.

    `accuracy` on the other nodes, `hidden` where no node's own text is there (labelled or not). `elsewhere` is the
    zero-shot accuracy, afterwards, on the sections that were learnt from: what is forgotten.
    """
    split, kind, _ = case.split()
    asked = graphs.asked_about(case)
    classes = graphs.sentences(kind, asked.names)
    rng = np.random.default_rng(seed)
    few = np.concatenate([rng.permutation(np.flatnonzero(asked.y == c))[:SHOTS] for c in range(len(classes))])
    rest = np.setdiff1d(np.arange(len(asked.y)), few)
    given, test = asked.take(few), asked.take(rest)
    before = graphs.learnt_from(split)
    known = np.flatnonzero(before.y >= 0)[:400]
    known_classes = graphs.sentences("packages", before.names)
    old = before.take(known)

    def graded(methods: tuple[GraphCLIP, GraphCLIP]) -> dict[str, float]:
        full, hidden = methods
        moved = full.adapt(classes=known_classes)  # a copy, without the prompt
        moved.prompt_ = full.prompt_
        return {
            "accuracy": float((full.predict(test.domain()) == test.y).mean()),
            "hidden": float((hidden.predict(test.domain(hide_roots=True)) == test.y).mean()),
            "elsewhere": float((moved.predict(old.domain()) == old.y).mean()),
        }

    def both(learn: Any) -> tuple[GraphCLIP, GraphCLIP]:
        return learn(given.domain()), learn(given.domain(hide_roots=True))

    def named(support: Domain | None, **changes: Any) -> GraphCLIP:
        return adapted(split, seed, "graphclip", classes, support, **changes)

    table: Result = {
        "zero-shot": graded(both(lambda _: named(None))),
        "node prompt": graded(both(named)),
        "graph prompt": graded(both(lambda support: named(support, prompt="graph"))),
        "fine-tuning": graded(both(lambda support: fine_tuned(named(None), support))),
    }
    z = [[named(None).transform(part.domain(hide_roots=h)).numpy() for part in (given, test)] for h in (False, True)]
    table["probe of graphclip"] = probed(given.y, test.y, z)
    table["probe of text"] = probed(given.y, test.y, [[given.own, test.own], None])
    table["probe of text and neighbours"] = probed(
        given.y, test.y, [[means(part, h) for part in (given, test)] for h in (False, True)]
    )
    return table


def probed(y: NDArray[np.int64], truth: NDArray[np.int64], sides: list[Any]) -> dict[str, float]:
    """Logistic regression on features of the labelled nodes, with all texts and without the roots'; C is 10."""
    out = {}
    for key, features in zip(("accuracy", "hidden"), sides):
        if features is None:
            out[key] = float((truth == 0).mean())
            continue
        x, other = (torch.as_tensor(np.ascontiguousarray(part)).float() for part in features)
        head = fit_logistic(x, y, int(y.max()) + 1, C=10.0)
        with torch.no_grad():
            out[key] = float((head(other).argmax(dim=1).numpy() == truth).mean())
    return out


def fine_tuned(method: GraphCLIP, support: Domain, steps: int = 60, rate: float = 1e-4) -> GraphCLIP:
    """All weights of the encoder move by the loss of the prompts, as many steps."""
    y = torch.as_tensor(support.labels)
    nodes = as_nodes(batch_of(support), method.positions)
    network, present = method.network_, torch.unique(y)
    network.eval().requires_grad_(True)  # its statistics stay: a batch is thirty nodes

    def objective(batch: None, run: Run) -> Tensor:
        z = torch.cat([F.normalize(network(*nodes), dim=1), method.answers_[present]])
        return supervised_contrast(z, torch.cat([y, present]), method.prompt_temperature)

    with reproducible(method.random_state):
        adam = torch.optim.Adam(network.parameters(), lr=rate)
        train(objective, name="fine-tuned", nets={"network": network}, optimizers={"adam": adam}, batches=None,
              epochs=1, steps_per_epoch=steps)  # fmt: skip
    network.eval()
    return method


# -- links -------------------------------------------------------------------------------------------------


def links(case: str, seed: int) -> Result:
    """A tenth of the edges at the nodes that are asked about is hidden; `auc` against as many pairs without an edge."""
    split = case.split()[0]
    asked = graphs.asked_about(case)
    graph, roots = asked.graph, asked.places.roots
    rng = np.random.default_rng(0)  # the same edges for all seeds
    here = graph.edges[np.isin(graph.edges, roots).any(axis=1)]
    gone = here[rng.permutation(len(here))[: min(HIDDEN, max(20, len(here) // 10))]]
    partner = rng.permutation(gone[:, 1])
    wrong = np.stack([gone[:, 0], partner], axis=1)
    there = np.isin(edge_numbers(wrong, len(graph)), edge_numbers(graph.edges, len(graph)))
    wrong = wrong[(wrong[:, 0] != wrong[:, 1]) & ~there]
    pairs = np.concatenate([gone, wrong])
    truth = np.repeat([1, 0], [len(gone), len(wrong)])
    left = graph.without(gone)
    nodes, place = np.unique(pairs, return_inverse=True)
    given = graphs.around(left, nodes, asked.names, 0)
    a, b = place.reshape(-1, 2).T

    def cosine(x: NDArray[Any]) -> NDArray[Any]:
        return (unit(x)[a] * unit(x)[b]).sum(axis=1)

    share = mix(split)
    table = {
        "own text": cosine(given.own),
        "neighbours": cosine(given.near),
        "tuned mix": cosine(mixed(given, share)),
        "ridge map": cosine(linear(split, False).transform(means(given, False)).numpy()),
        "common neighbours": common_neighbours(left, pairs),
    }
    for name in ("graphclip", "as published", "no adversary"):
        table[name] = cosine(learnt(split, seed, name).transform(given.domain()).numpy())
    from sklearn.metrics import roc_auc_score

    return {name: {"auc": float(roc_auc_score(truth, score))} for name, score in table.items()}


def common_neighbours(graph: Any, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Neighbours that two nodes share, each counted less the more it has itself (Adamic and Adar, 2003)."""
    starts, others = graph.neighbours
    weight = 1 / np.log(np.maximum(graph.degrees, 2))
    shared = [
        np.intersect1d(others[starts[a] : starts[a + 1]], others[starts[b] : starts[b + 1]]) for a, b in pairs.tolist()
    ]
    return np.array([weight[nodes].sum() for nodes in shared])


# fmt: off
SIMPLE = ("own text", "neighbours", "subgraph", "tuned mix", "ridge map")
LINKED = ("own text", "neighbours", "tuned mix", "ridge map", "common neighbours")
LEDGER = (
    mechanism("zero-shot", better("graphclip", "chance", "hidden", by=0.1),
        "An encoder of graphs that learnt from pairs of subgraph and summary names nodes by sentences about classes "
        "that it never saw, without a label and without the node's own text, ten points above chance."),
    effect("zero-shot", better("graphclip", "neighbours", "hidden"),
        "Where the node's own text is hidden it is better than the mean of its neighbours' texts."),
    effect("zero-shot", better("graphclip", "neighbours", "hidden", by=0.03),
        "It is so by more than three points."),
    effect("zero-shot", beats_all("graphclip", SIMPLE, "hidden"),
        "There, it is better than all simple alternatives, a ridge map learnt from the same pairs among them."),
    promised("zero-shot", not_worse("graphclip", "own text", "accuracy", within=0.01),
        "With all texts it is at most a point below the node's own text."),
    promised("zero-shot", better("graphclip", "own text", "accuracy", by=0.01),
        "With all texts it is better than the node's own text by more than a point."),
    effect("zero-shot", beats_all("graphclip", SIMPLE, "accuracy"),
        "With all texts it is better than all simple alternatives."),
    effect("zero-shot", better("as published", "neighbours", "hidden"),
        "Trained as published, without a skip and hidden roots, it is better than the mean of the neighbours where the "
        "own text is hidden."),
    effect("zero-shot", better("as published", "own text", "accuracy"),
        "Trained as published it is better than the own text where all texts are there."),
    effect("zero-shot", better("graphclip", "ten times the perturbation", "accuracy"),
        "The published perturbation, brought to vectors of length one, is better than the same number on them."),
    effect("zero-shot", better("graphclip", "no adversary", "accuracy"),
        "Invariant learning (adversarial perturbations) helps transfer, all texts being there."),
    effect("zero-shot", better("graphclip", "no adversary", "hidden"),
        "It helps where the own text is hidden, too."),
    effect("zero-shot", better("graphclip", "no adversary, as many passes", "accuracy"),
        "It helps more than as many passes through the network without an adversary."),
    effect("zero-shot", better("graphclip", "own description", "accuracy"),
        "Summaries of subgraphs teach more than the centre's own text in their place."),
    effect("zero-shot", better("graphclip", "own description", "hidden"),
        "They do so where the own text is hidden, too."),
    effect("zero-shot", better("graphclip", "no attention", "accuracy"),
        "Attention over the subgraph helps."),
    effect("zero-shot", better("graphclip", "no positions", "accuracy"),
        "Return probabilities beside the features help."),
    effect("few-shot", better("node prompt", "zero-shot", "accuracy"),
        "A prompt learnt from five labelled nodes of each class is better than none."),
    effect("few-shot", better("node prompt", "zero-shot", "accuracy", by=0.03),
        "It is so by more than three points."),
    effect("few-shot", better("graph prompt", "node prompt", "accuracy"),
        "A prompt graph of several nodes is better than one vector."),
    effect("few-shot", better("node prompt", "probe of text and neighbours", "accuracy"),
        "A prompt is better than logistic regression on the texts of node and neighbours."),
    effect("few-shot", better("node prompt", "fine-tuning", "accuracy"),
        "A prompt is better than fine-tuning the encoder on the same labels."),
    effect("few-shot", better("node prompt", "fine-tuning", "elsewhere"),
        "A prompt forgets less than fine-tuning: classes known before are named better afterwards."),
    effect("links", better("graphclip", "own text", "auc", by=0.02),
        "It serves other tasks: hidden edges are found better than by the texts alone, by more than .02 of AUC."),
    effect("links", beats_all("graphclip", LINKED, "auc"),
        "Hidden edges are found better than by any simple alternative."),
    not_testable("Methods so far rely on labels and transfer poorly across domains; curation costs limit them.",
        "It motivates the method; nothing here trains those methods."),
    paper_scale("Large-scale pairs of graph and summary, made with a large language model.",
        "`unseen nodes GRAPH --pretrain ARXIV --pretrain PRODUCTS --writer causal:MODEL --preset published --seeds "
        "200000`, or `--summaries FILE` with summaries written elsewhere; not run. Summaries are extracted here."),
    paper_scale("Better zero-shot and few-shot than graph foundation models before it on seven target graphs.",
        "With Cora, CiteSeer, WikiCS, Instagram, Ele-Photo, Ele-Computers and Books-History as files of "
        "torch-geometric with texts: `unseen nodes cora.pt --classes cora.csv --model PRETRAINED`; not run."),
)
DEVELOPMENT = ("development packages 1", "development packages 2", "development wordnet 1")
CONFIRMATION = ("confirmation packages 1", "confirmation packages 2", "confirmation packages 3",
                "confirmation wordnet 1", "confirmation wordnet 2")
CASES: dict[str, Any] = {"development": DEVELOPMENT, "confirmation": CONFIRMATION, "seeds": (0, 1),
                         "fresh_seeds": (100, 101), "unit": "group of classes", "data": graphs.said}
claim = Claim(
    slug="graphclip",
    ledger=LEDGER,
    experiments={
        "zero-shot": Experiment(run=zero_shot, **CASES),
        "few-shot": Experiment(run=few_shot, **CASES),
        "links": Experiment(run=links, **{**CASES, "seeds": (0,), "fresh_seeds": (100,)}),
    },
    licences=(
        "Debian's package index: package metadata by the Debian project and the packages' maintainers",
        "WordNet 3.1: WordNet licence", worlds.MINILM,
    ),
)
# fmt: on
