"""Text2Node's claims: titles of ICD-9-CM mapped to the ICD-10-CM tree, where a fifth of the codes has no phrase."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims import worlds
from unseen.claims.base import Claim, Experiment, Result, of_both, seeds
from unseen.claims.conditions import at_least, better, equals, not_worse
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.data.domain import Domain
from unseen.data.taxonomies import Taxonomy, hold_out, icd9_titles, icd10cm
from unseen.data.typing import FloatArray, IntArray
from unseen.data.words import WordVectors, fasttext, sentences, wordllama
from unseen.evaluation.metrics.taxonomy import crowded, hops, taxonomy_scores
from unseen.methods.zero_shot.text2node import Text2Node

CHAPTERS = {"development": ("9", "10"), "confirmation": ("11", "14")}
FOLDS = 5
"""Of the leaves: each case takes the phrases of one fifth of them away."""
ARMS: dict[str, dict[str, Any]] = {
    "mean": dict(Text2Node.card.presets["mean"]),
    "cnn": dict(Text2Node.card.presets["cnn"]),
    "bilstm": {},
}
"""Settings of each mapping function, the best of a few on fold 0 of the development chapters."""
FEW = 3
"""Labelled phrases per category in the downstream task."""


# -- data --------------------------------------------------------------------------------------------------


@functools.cache
def data(split: str) -> tuple[Taxonomy, Domain]:
    """Two chapters of ICD-10-CM as one tree, and the ICD-9-CM titles whose equivalents are in it."""
    tree = icd10cm(CHAPTERS[split])
    return tree, icd9_titles(tree)


@functools.cache
def read(split: str) -> tuple[Domain, ...]:
    """Phrases, titles and their short forms, and what is above each node, for a stamp."""
    tree, titles = data(split)
    edges = np.stack([np.repeat(np.arange(len(tree)), np.diff(tree.starts)), tree.above], axis=1)
    return tree.phrases, titles, worlds.said(titles, "short"), Domain(x=edges)


def without_phrases(tree: Taxonomy, fold: int) -> IntArray:
    """A fifth of the codes at the bottom of the tree, another one in each fold."""
    leaves = np.array([i for i in range(len(tree)) if not len(tree.children(i))])
    return np.sort(np.random.default_rng(0).permutation(leaves)[fold::FOLDS])


def variants(titles: Domain, seed: int) -> dict[str, NDArray[Any]]:
    """The titles with their words in another order, one word dropped, and as ICD-9-CM abbreviates them."""
    rng = np.random.default_rng(seed)
    words = [str(text).split() for text in titles.x]
    gone = [int(rng.integers(len(line))) for line in words]
    dropped = [line[:i] + line[i + 1 :] or line for line, i in zip(words, gone)]
    return {
        "order": np.array([" ".join(rng.permutation(line)) for line in words]),
        "dropped": np.array([" ".join(line) for line in dropped]),
        "short": titles.columns["short"],
    }


@functools.cache
def corpus_vectors() -> WordVectors:
    """FastText trained on 169,000 texts: all names of ICD-10-CM and HPO, and HPO's definitions; no label is in them."""
    return fasttext(names_and_definitions().x.tolist(), dim=256, epochs=5)


@functools.cache
def names_and_definitions() -> Domain:
    """The texts of that training."""
    terms = worlds.hpo()
    texts = [*icd10cm().phrases.x.tolist(), *terms.phrases.x.tolist(), *filter(None, terms.definitions or ())]
    return worlds.of_texts(texts)


@functools.cache
def sentence_vectors(split: str) -> WordVectors:
    """MiniLM's vectors of all phrases and titles of a split."""
    tree, titles = data(split)
    texts = [*tree.phrases.x.tolist(), *titles.x.tolist()]
    return sentences(texts, worlds.minilm(texts), "minilm")


# -- arms --------------------------------------------------------------------------------------------------


def mean_vectors(texts: NDArray[Any], words: WordVectors) -> FloatArray:
    """The mean word vector of each text, (n, d)."""
    tokenized = words.read(texts)
    there = (tokenized.tokens >= 0)[:, :, None]
    return (tokenized.table[tokenized.tokens.clip(min=0)] * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1)


def nearest_text(source: Domain, titles: Domain, k: int = 10) -> IntArray:
    """Nodes of the training phrases nearest to each title, by the cosine of mean word vectors, (n, k)."""
    a, b = (mean_vectors(domain.x, wordllama()) for domain in (titles, source))
    unit = [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9) for x in (a, b)]
    order = np.argsort(-(unit[0] @ unit[1].T), axis=1, kind="stable")[:, : 20 * k]
    ranked = [list(dict.fromkeys(source.labels[row].tolist()))[:k] for row in order]
    return np.array([row + [-1] * (k - len(row)) for row in ranked])


def scores(ranked: IntArray, titles: Domain, held: IntArray, tree: Taxonomy, nodes: FloatArray | None = None) -> Any:
    """Metrics on all titles, on those whose right node has no phrase in training (``unseen``), on wrong answers."""
    new, metric = np.isin(titles.labels, held), tree.classes.metric
    whole = taxonomy_scores(titles.labels, ranked, metric, nodes)
    part = taxonomy_scores(titles.labels[new], ranked[new], metric, nodes)
    far = hops(titles.labels, ranked[:, 0], metric)
    whole["wrong hops"] = float(far[far > 0].mean())
    return whole | {f"unseen {key}": value for key, value in part.items()}


def graded(method: Text2Node, titles: Domain, held: IntArray, tree: Taxonomy) -> dict[str, float]:
    """Metrics of a fitted method."""
    return scores(method.rank(titles, 10).nodes, titles, held, tree, method.nodes_.numpy())


class SharedNodes(Text2Node):
    """Text2Node that trains node2vec once for all arms on one graph with one seed."""

    def node_vectors(self, edges: IntArray, n: int) -> Tensor:
        """As `Text2Node`, from memory if they are there."""
        settings = (self.dim, self.p, self.q, self.walks, self.walk_length, self.window, self.node_epochs)
        key = (n, edges.tobytes(), self.random_state, self.least_steps, *settings)
        if key not in _VECTORS:
            _VECTORS[key] = super().node_vectors(edges, n)
        return _VECTORS[key]


_VECTORS: dict[Any, Tensor] = {}


class RandomNodes(Text2Node):
    """Text2Node whose nodes have random unit vectors instead of node2vec's."""

    def node_vectors(self, edges: IntArray, n: int) -> Tensor:
        """Random directions, (n, dim)."""
        return F.normalize(torch.randn(n, self.dim), dim=1)


def next_best(method: Text2Node, titles: Domain, tree: Taxonomy) -> float:
    """Mean hops of the nearest node that is not the right one: what is found where the exact concept is missing."""
    ranked = method.rank(titles, 2).nodes
    nearest = np.where(ranked[:, 0] == titles.labels, ranked[:, 1], ranked[:, 0])
    return float(tree.classes.metric.between(titles.labels, nearest).mean())


def few_labels(titles: Domain, seed: int) -> tuple[IntArray, IntArray, NDArray[Any]]:
    """Titles to learn from, `FEW` of each three-digit category of twice as many, others to ask, and categories."""
    assert titles.ids is not None
    category = np.array([identity[:3] for identity in titles.ids.tolist()])
    rng = np.random.default_rng(seed)
    large = [c for c in np.unique(category) if (category == c).sum() >= 2 * FEW]
    train = np.concatenate([rng.permutation(np.flatnonzero(category == c))[:FEW] for c in large])
    return train, np.setdiff1d(np.flatnonzero(np.isin(category, large)), train), category


def downstream(method: Text2Node, titles: Domain, seed: int) -> Result:
    """Accuracy of the three-digit category of an ICD-9 title from few labels: word means, f(phrase), and both."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, test, category = few_labels(titles, seed)
    words, mapped = mean_vectors(titles.x, wordllama()), method.transform(titles).numpy()
    out: Result = {}
    for name, x in {"words": words, "f": mapped, "both": np.hstack([words, mapped])}.items():
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)).fit(x[train], category[train])
        out[f"downstream {name}"] = {"accuracy": float(model.score(x[test], category[test]))}
    return out


def fit(
    settings: dict[str, Any], source: Domain, seed: int, words: Any = None, of: type[Text2Node] = SharedNodes
) -> Text2Node:
    """One arm, fitted."""
    method = of(**{"random_state": seed, **settings})
    return method.fit(source=source, classes=worlds.space_of(source), encoder=words)


def cell(case: str, seed: int) -> tuple[Taxonomy, Domain, IntArray, Domain, int]:
    """Tree, titles, codes without phrases and the phrases of the others; every fold has a seed of its own."""
    split, fold = case.split()
    tree, titles = data(split)
    held = without_phrases(tree, int(fold))
    return tree, titles, held, hold_out(tree.phrases, held)[0], seed + int(fold)


def drawn_parts(case: str, seed: int) -> dict[str, Any]:
    """What a cell draws: codes without phrases, the phrases of the others, titles changed, and few labels."""
    _, titles, held, source, seed = cell(case, seed)
    few = [rows[:50] for rows in few_labels(titles, seed)[:2]]
    return {"held": held, "source": source, "variants": variants(titles, seed), "labels": few}


def fifth_of(source: Domain, seed: int) -> IntArray:
    """A fifth of the phrases."""
    return np.random.default_rng(seed).permutation(len(source))[: len(source) // 5]


def run_icd(case: str, seed: int) -> Result:
    """The mapping functions and retrieval on one fold; the Bi-LSTM on variants of the titles and downstream."""
    tree, titles, held, source, seed = cell(case, seed)
    methods = {arm: fit(settings, source, seed) for arm, settings in ARMS.items()}
    table: Result = {arm: graded(method, titles, held, tree) for arm, method in methods.items()}
    table["nearest text"] = scores(nearest_text(source, titles), titles, held, tree)
    best = methods["bilstm"]
    table["bilstm"] |= {"crowded": crowded(best.nodes_.numpy())}
    table |= {"other node": {"hops": next_best(best, titles, tree)}, "three hops": {"wrong hops": 3.0}}
    table["constant node"] = {"hops": float(tree.classes.metric.rows(titles.labels).mean(axis=0).min())}
    for name, texts in variants(titles, seed).items():
        table[f"bilstm, {name}"] = graded(best, titles.replace(x=texts), held, tree)
    return table | downstream(best, titles, seed)


def run_ablation(case: str, seed: int) -> Result:
    """The Bi-LSTM on one fold with one part changed at a time; word vectors of three kinds under each mapper."""
    tree, titles, held, source, seed = cell(case, seed)
    fifth = fifth_of(source, seed)
    arms = {
        "bilstm": fit({}, source, seed),
        "all concepts": fit({}, tree.phrases, seed),
        "fifth of phrases": fit({}, source.take(fifth), seed),
        "mse": fit({"loss": "mse"}, source, seed),
        "early stop": fit({"validation": 0.1}, source, seed),
        "fasttext of names": fit({}, source, seed, fasttext(source.x.tolist(), dim=256, random_state=seed)),
        "random nodes": fit({}, source, seed, of=RandomNodes),
    }
    for kind, words in {"fasttext": corpus_vectors(), "sentences": sentence_vectors(case.split()[0])}.items():
        arms |= {f"{kind}, {mapper}": fit(settings, source, seed, words) for mapper, settings in ARMS.items()}
    table: Result = {arm: graded(method, titles, held, tree) for arm, method in arms.items()}
    table["nearest text, all concepts"] = scores(nearest_text(tree.phrases, titles), titles, held, tree)
    return table


# fmt: off
LEDGER = (
    not_testable("Health records are kept everywhere and hardly exchanged, since systems code them by other standards.",
        "Background, about the state of health care."),
    not_testable("Mapping by experts, dictionaries, symbolic language processing and classification does not scale to "
        "large records.",
        "A statement about other people's work."),
    mechanism("icd", at_least("bilstm", "hit@10", 0.5),
        "Phrases of one coding system are mapped to the concepts of another taxonomy: the right one of some "
        "thousand nodes is among the first ten for half of the titles. Folds share their titles, here and in all "
        "that is over all titles, and differ in the codes that lose their phrases."),
    mechanism("icd", not_worse("bilstm", "three hops", "wrong hops", within=0.0, lower=True),
        "Wrong concepts lie near: three hops from the right one or less, on the mean over wrong answers."),
    mechanism("icd", at_least("bilstm", "unseen hit@10", 0.35),
        "It generalizes to concepts without training phrases: the right one is among the first ten for 35 in 100 of "
        "their titles."),
    mechanism("icd", equals("nearest text", "unseen hit@10", 0.0),
        "Retrieval of the nearest training phrase can never name such a concept."),
    effect("icd", better("bilstm", "nearest text", "unseen hops", lower=True),
        "What is found for them lies nearer to the right concept than what that retrieval finds."),
    effect("ablation", not_worse("bilstm", "all concepts", "unseen hops", within=0.5, lower=True),
        "Training without the phrases of a fifth of the codes is comparable to training with all: the titles of "
        "these codes come half a hop further away at most."),
    effect("ablation", not_worse("fifth of phrases", "bilstm", "hit@10", within=0.1),
        "A limited set of annotated phrases suffices: with a fifth of them the right concept is among the first ten "
        "for 10 in 100 titles fewer at most."),
    paper_scale("It is scalable.",
        "Run benchmarks/taxonomy.py, which maps 10,000 phrases to 100,000 nodes and tells time and memory."),
    not_testable("It is a new contribution of method to linking phrases to a taxonomy, and helps the exchange of data.",
        "A statement about what others had published by 2019, and about what came after."),
    effect("icd", not_worse("bilstm, order", "bilstm", "hit@10", within=0.1),
        "With words in another order the right concept is among the first ten as often, but for 10 in 100 titles at "
        "most."),
    effect("icd", not_worse("bilstm, dropped", "bilstm", "hit@10", within=0.1), "So it is with one word dropped."),
    effect("icd", not_worse("bilstm, short", "bilstm", "hit@10", within=0.1),
        "So it is where titles are abbreviated to 24 characters, as ICD-9-CM itself does."),
    effect("icd", not_worse("bilstm, order", "bilstm", "hops", within=1 / 3, lower=True),
        "It is robust to the order of words: a third of a hop further away at most."),
    effect("icd", not_worse("bilstm, dropped", "bilstm", "hops", within=0.5, lower=True),
        "It is robust to a dropped word: half a hop further away at most."),
    effect("icd", not_worse("bilstm, short", "bilstm", "hops", within=0.5, lower=True),
        "It is robust to abbreviated titles, as ICD-9-CM cuts them to 24 characters: half a hop further away at most."),
    mechanism("icd", better("other node", "constant node", "hops", lower=True),
        "Where the exact concept does not exist, a relevant one is found: the best of the other nodes is nearer "
        "than the one node that lies nearest to all right ones together."),
    mechanism("icd", at_least("mean", "unseen hit@10", 0.25),
        "Words become vectors: their mean alone finds one in four of the unseen concepts."),
    mechanism("ablation", better("bilstm", "random nodes", "unseen hit@10", by=0.2),
        "Nodes become vectors by node2vec, which carries what is known of the taxonomy: with random vectors in "
        "their place, unseen concepts are found at least .2 less often."),
    promised("icd", better("cnn", "mean", "hit@10", by=0.1),
        "Mapping functions that read sequences are better than the mean: CNN, hit@10 by .1."),
    promised("icd", better("bilstm", "mean", "hit@10", by=0.1),
        "Mapping functions that read sequences are better than the mean: Bi-LSTM, hit@10 by .1."),
    effect("icd", better("bilstm", "cnn", "hit@10"), "The Bi-LSTM is better than the CNN (hit@10)."),
    effect("ablation", better("bilstm", "mse", "hit@10"), "Cosine loss is better than squared error (hit@10)."),
    effect("ablation", better("fasttext, bilstm", "bilstm", "hit@10"),
        "FastText, trained on 169,000 names and definitions of diseases, is better than general word vectors "
        "(hit@10)."),
    effect("ablation", better("fasttext, bilstm", "fasttext of names", "hit@10"),
        "Trained on these it is better than trained on the names of the taxonomy's two chapters alone."),
    effect("ablation", better("fasttext, cnn", "fasttext, mean", "hit@10"),
        "With FastText, too, a mapping function that reads sequences is better than the mean (CNN, hit@10)."),
    effect("ablation", better("bilstm", "sentences, bilstm", "hit@10"),
        "Vectors of words are better than one vector of the whole phrase (MiniLM; hit@10)."),
    paper_scale("GloVe and FastText, trained on PubMed Central, are compared.",
        "Such files are in no package. With one at hand: unseen.data.words.read_vectors(FILE) as encoder, or unseen "
        "map --words FILE."),
    effect("ablation", better("all concepts", "nearest text, all concepts", "hit@10"),
        "It is better than retrieval by words where the taxonomy names every concept (hit@10)."),
    paper_scale("It maps the diagnoses of ICD-9-CM to SNOMED CT.",
        "SNOMED CT needs a licence. With a release in DIR: unseen map --taxonomy rf2:DIR phrases.csv, or "
        "unseen.data.taxonomies.rf2(DIR) in the place of icd10cm here."),
    effect("icd", better("downstream both", "downstream words", "accuracy"),
        "The vector of a phrase carries the taxonomy into other models: the category of a title is predicted better "
        "from three labels each with it beside the mean word vector than without."),
    effect("icd", better("downstream f", "downstream words", "accuracy"),
        "So it is with f(phrase) in the place of the mean word vector."),
    not_testable("It improves clinical predictive models.",
        "Patients' records are in no package; the two assertions above are on phrases."),
)
claim = Claim(
    slug="text2node",
    ledger=LEDGER,
    experiments={
        "icd": Experiment(
            run=run_icd, data=lambda case: read(case.split()[0]), drawn=drawn_parts,
            unit="fold of codes without phrases", **of_both(range(FOLDS)), **seeds(1)),
        "ablation": Experiment(
            run=run_ablation, data=lambda case: [*read(case.split()[0]), names_and_definitions()],
            drawn=lambda case, seed: [drawn_parts(case, seed)["held"], fifth_of(*cell(case, seed)[3:])],
            unit="fold of codes without phrases", **of_both(range(2)), **seeds(1)),
    },
    licences=(
        "ICD-9-CM, ICD-10-CM and the general equivalence maps: NCHS and CMS, public domain",
        "HPO: free use with citation; wordllama: MIT", worlds.MINILM,
    ),
)
# fmt: on
