"""OntoZSL's claims: emoji under Unicode's groups and keywords, and relations of knowledge graphs under a schema."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims import worlds
from unseen.claims.base import Claim, Experiment, Result, of_both, seeds
from unseen.claims.completions import WEAK_RIDGE, centred, completion, read_relations, run_relations
from unseen.claims.conditions import at_least, better
from unseen.claims.drawings import VENDORS, drawn, features, of_split
from unseen.claims.folds import Fold, components, fold_of, near, ridge_prototypes, roles
from unseen.claims.ledger import Assertion, effect, mechanism, not_testable, paper_scale, promised
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.ontologies import with_ontology
from unseen.data.ontology import Ontology, build
from unseen.data.typing import FloatArray, IntArray
from unseen.data.words import wordllama
from unseen.evaluation.metrics.zero_shot import generalized_scores, mean_class_top1
from unseen.methods.baselines.conse import ConSE
from unseen.methods.baselines.devise import DeViSE
from unseen.methods.baselines.sae import SAE
from unseen.methods.zero_shot.ontozsl import OntologyEncoder, OntoZSL
from unseen.methods.zero_shot.ontozsl.encoder import Ends
from unseen.nn.text_vectors import text_vectors

CLASSES, FOLDS = 300, 5
UNSEEN = CLASSES // FOLDS
CHANCE = 1 / UNSEEN
WIDTH = 128
"""Principal components of features, and of the rows of the incidence matrix."""
ALPHA = {"words": 3.0, "words and keywords": 3.0, "incidence": 1.0, "structure": 1.0, "structure+text": 1.0}
"""Penalties of the arms `prototypes`, the best of 0.1, 0.3, 1, 3 and 10 on the development emoji."""
HEADS: dict[str, Any] = {"devise": DeViSE, "conse": ConSE, "sae": SAE}
HANDICAP: dict[str, dict[str, float]] = {
    "words": {"devise": 0.1, "conse": 0.5, "sae": 0.1},
    "ontology": {"devise": 0.1, "conse": 0.3, "sae": 0.05},
}
"""What mappings take from seen classes, the best of eleven from .02 to 1 for each on the development emoji (H)."""
SCHEMA = "relations, schema of training relations"
"""The experiment whose schemas know nothing of what is asked."""
GENERALIZED = dict(OntoZSL.card.presets["generalized"])


# -- emoji -------------------------------------------------------------------------------------------------


def columns_of(split: str) -> Mapping[str, NDArray[Any]]:
    """What is said of 300 emoji."""
    return drawn(split, CLASSES)[0].columns


def emoji_ontology(split: str, keywords: bool = True) -> Ontology:
    """subClassOf from emoji to subgroup to group, and hasKeyword from emoji to the keywords that CLDR gives them."""
    columns = columns_of(split)
    rows: list[tuple[str, str, str]] = []
    texts: dict[str, str] = {}
    for name, group, part, words in zip(*(columns[key].tolist() for key in ("name", "group", "subgroup", "keywords"))):
        wide, narrow = f"group: {group}", f"subgroup: {part}"
        rows += [(name, "subClassOf", narrow), (narrow, "subClassOf", wide)]
        texts |= {name: name, wide: group, narrow: part.replace("-", " ")}
        for word in words.split(", ") if keywords and words else ():
            rows.append((name, "hasKeyword", f"keyword: {word}"))
            texts[f"keyword: {word}"] = word
    return build(dict.fromkeys(rows), texts, classes=columns["name"].tolist())


@functools.cache
def fold(split: str, number: int) -> Fold:
    """A fifth of the classes of each subgroup is unseen."""
    classes, rng = classes_of(split, number)
    return fold_of(features(split, CLASSES), classes, rng, WIDTH)


def drawn_parts(case: str, seed: int) -> list[Any]:
    """What a cell draws: the ontology, which classes are seen, and which drawings are learnt from and asked about."""
    split, number = case.split()
    classes, rng = classes_of(split, int(number))
    o = emoji_ontology(split)
    return [o.triples, o.concepts, classes, roles(len(VENDORS[split]), classes, rng)]


def drawn_relations(case: str, seed: int) -> list[Any]:
    """What a cell draws of a graph: triples to learn from and to ask for, what competes, and the schema."""
    name, number = case.split()
    given = completion(name, int(number))
    schema = given.classes.ontology
    assert schema is not None
    return [given.source, given.test, given.known, given.within, schema.triples, schema.concepts, schema.texts]


def classes_of(split: str, number: int) -> tuple[ClassSpace, np.random.Generator]:
    """The classes of a fold with their ontology, and what else is drawn from."""
    columns, rng = columns_of(split), np.random.default_rng(0)
    order = rng.permutation(CLASSES)
    unseen = order[np.argsort(columns["subgroup"][order], kind="stable")][number::FOLDS]
    seen = np.setdiff1d(np.arange(CLASSES), unseen)
    return with_ontology(ClassSpace(names=tuple(columns["name"].tolist()), seen=seen), emoji_ontology(split)), rng


class WithoutCrossTerms(OntologyEncoder):
    """An encoder whose energy has the terms E_ss and E_tt alone: two of five, so that the margin is 4 instead of 10."""

    def _energy(self, h: Ends, r: Tensor, t: Ends) -> Tensor:
        return (h.s + r - t.s).abs().sum(dim=-1) + (h.t + r - t.t).abs().sum(dim=-1)


@functools.cache
def encoded(
    split: str, seed: int, keywords: bool = True, of: type[OntologyEncoder] = OntologyEncoder, **settings: Any
) -> OntologyEncoder:
    """The encoder of the emoji of a split; it sees no drawing and so serves all folds."""
    return of(random_state=seed, **settings).fit(emoji_ontology(split, keywords))


@functools.cache
def vectors(split: str, seed: int) -> dict[str, FloatArray]:
    """What a class is told by, in each arm."""
    columns, o = columns_of(split), emoji_ontology(split)
    names, encoder = columns["name"].tolist(), encoded(split, seed)
    both = [f"{name} {words}" for name, words in zip(names, columns["keywords"].tolist())]
    return {
        "random": np.random.default_rng(seed).normal(size=(CLASSES, WIDTH)),
        "words": text_vectors(names, wordllama()).vectors.numpy(),
        "words and keywords": text_vectors(both, wordllama()).vectors.numpy(),
        "incidence": incidence(o),
        **{part: encoder.transform(names, part).numpy() for part in ("structure", "text", "structure+text")},
    }


def incidence(o: Ontology) -> FloatArray:
    """The triples as they stand, in principal components: a 1 for each concept that a class, or one above it, has."""
    above: list[set[int]] = [set() for _ in o.concepts]
    for h, _, t in o.triples.tolist():
        above[h].add(t)
    marks = np.zeros((len(o.nodes), len(o.concepts)))
    for row, node in enumerate(o.nodes.tolist()):
        marks[row, list(above[node] | {wide for t in above[node] for wide in above[t]})] = 1
    return components(marks, WIDTH)


def told_by(task: Fold, attributes: FloatArray) -> tuple[Domain, ClassSpace]:
    """The source, and the classes with these vectors and nothing else: the swap of one matrix."""
    classes = task.classes.replace(attributes=centred(attributes, task.classes.seen), embeddings=None, ontology=None)
    return task.source.replace(classes=classes), classes


def graded(method: Any, task: Fold) -> dict[str, float]:
    """Mean per-class top-1 and top-5 among unseen classes."""
    scores = method.decision_function(torch.as_tensor(task.unseen.x)).numpy()
    return ranked(np.argsort(-scores, axis=1, kind="stable")[:, :5], task.unseen.labels)


def ranked(order: IntArray, y: IntArray) -> dict[str, float]:
    """The same of the five likeliest classes of each sample."""
    hit = (order == y[:, None]).any(axis=1)
    top5 = float(np.mean([hit[y == c].mean() for c in np.unique(y)]))
    return {"zsl": mean_class_top1(y, order[:, 0]), "top5": top5}


def among_all(task: Fold, predict: Any) -> dict[str, float]:
    """S, U and H of predictions among all classes."""
    return generalized_scores(task.tests.labels, predict(task.tests), task.classes.seen)


def generated(task: Fold, attributes: FloatArray, seed: int, **settings: Any) -> dict[str, float]:
    """The generator, conditioned on `attributes`, among unseen classes and among all."""
    source, classes = told_by(task, attributes)
    method = OntoZSL(**{"random_state": seed, "condition": "attributes", **settings})
    method.fit(source=source, classes=classes)
    wide = copy.copy(method).set_params(**GENERALIZED).adapt(source=source, classes=classes)
    return graded(method, task) | among_all(task, wide.predict)


def headed(
    head: str, task: Fold, attributes: FloatArray, seed: int, handicap: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Another head on the same vectors, among all classes as it is, and with a handicap of seen ones."""
    source, classes = told_by(task, attributes)
    method = HEADS[head](random_state=seed).fit(source=source, classes=classes)
    wide = HEADS[head](random_state=seed, generalized=True).fit(source=source, classes=classes)
    even = HEADS[head](random_state=seed, generalized=True, handicap=handicap).fit(source=source, classes=classes)
    return graded(method, task) | among_all(task, wide.predict), among_all(task, even.predict)


def mean_of(tables: list[dict[str, float]]) -> dict[str, float]:
    """The mean of figures that all arms have."""
    return {key: float(np.mean([table[key] for table in tables])) for key in tables[0]}


def prototypes(task: Fold, attributes: FloatArray, alpha: float) -> dict[str, float]:
    """Ridge regression from vectors to the means of classes; the nearest by cosine."""
    source, seen, new = task.source, task.classes.seen, task.classes.unseen
    estimated = ridge_prototypes(source.x, source.labels, centred(attributes, seen), seen, alpha)
    centre = source.x.mean(axis=0)
    order = new[np.argsort(-near(task.unseen.x, estimated[new], centre), axis=1, kind="stable")[:, :5]]
    return ranked(order, task.unseen.labels) | among_all(task, lambda d: near(d.x, estimated, centre).argmax(axis=1))


def run_emoji(case: str, seed: int) -> Result:
    """One generator under seven conditions; three other heads and prototypes with words and with the ontology.

    `heads` are means over DeViSE, ConSE, SAE and the generator, `mappings` over the first three.
    """
    split, number = case.split()
    task, matrices = fold(split, int(number)), vectors(split, seed)
    table: Result = {name: generated(task, matrix, seed) for name, matrix in matrices.items()}
    for prior, condition in (("words", "words"), ("ontology", "structure+text")):
        results = [headed(head, task, matrices[condition], seed, HANDICAP[prior][head]) for head in HEADS]
        table |= {f"{head}, {prior}": plain for head, (plain, _) in zip(HEADS, results)}
        table[f"mappings, {prior}"] = mean_of([plain for plain, _ in results])
        table[f"calibrated mappings, {prior}"] = mean_of([even for _, even in results])
        table[f"heads, {prior}"] = mean_of([table[condition], *(plain for plain, _ in results)])
    for name, alpha in ALPHA.items():
        table[f"prototypes, {name}"] = prototypes(task, matrices[name], alpha)
    return table


def run_ablation(case: str, seed: int) -> Result:
    """The ontology with less in it, and the encoder and the generator with one part off at a time."""
    split, number = case.split()
    task = fold(split, int(number))
    names = list(task.classes.names)
    whole = encoded(split, seed)
    poor = encoded(split, seed, keywords=False)
    table = {
        "hierarchy, not text-aware": poor.transform(names, "structure"),
        "hierarchy, text-aware": poor.transform(names),
        "hierarchy and keywords, not text-aware": whole.transform(names, "structure"),
        "hierarchy and keywords, text-aware": whole.transform(names),
        "names only": text_vectors(names, wordllama()).vectors,
        "negatives alike": encoded(split, seed, temperature=0.0).transform(names),
        "without terms across": encoded(split, seed, of=WithoutCrossTerms, margin=4.0).transform(names),
    }
    out = {arm: generated(task, matrix.numpy(), seed) for arm, matrix in table.items()}
    matrix = whole.transform(names).numpy()
    for arm, changes in {
        "without pivot": {"pivot_weight": 0.0},
        "without classification": {"classification": 0.0},
        "with souls": {"pivot_weight": 0.0, "sample_souls": 1e-2, "class_souls": 1.0},
    }.items():
        out[arm] = generated(task, matrix, seed, **changes)
    return out


# fmt: off
LEDGER: tuple[Assertion, ...] = (
    not_testable("Zero-shot learning, which predicts classes that the training data never showed, has much interest.",
        "Background."),
    mechanism("emoji", better("structure+text", "random", "top5", by=0.1),
        "Prior knowledge of classes is the key: with vectors of the ontology the generator has the right one of 60 "
        "unseen emoji among its five likeliest at least ten points more often than with meaningless vectors."),
    promised("emoji", better("structure+text", "words", "zsl", by=0.01),
        "The priors of existing methods are limited: in the same generator the ontology beats the word vectors of "
        "the names by more than a point (top-1)."),
    promised("emoji", better("structure+text", "words", "top5", by=0.01), "The same among the five likeliest."),
    effect("emoji", better("structure+text", "words and keywords", "zsl"),
        "It is not the keywords alone: the ontology beats word vectors of names and keywords together (top-1)."),
    effect("emoji", better("structure+text", "structure", "top5"),
        "Texts add to the structure: text-aware vectors beat TransE's alone among the five likeliest."),
    promised("emoji", better("structure+text", "text", "zsl"), "The structural half adds to the text half (top-1)."),
    effect("emoji", better("structure+text", "incidence", "zsl"),
        "The embedding represents the ontology better than its triples as they stand, a row of the incidence matrix "
        "for each class, in the same generator."),
    effect("ablation", better("hierarchy and keywords, text-aware", "hierarchy, text-aware", "zsl"),
        "More relations tell more: hierarchy and keywords beat the hierarchy alone, both text-aware."),
    effect("ablation", better("hierarchy and keywords, not text-aware", "hierarchy, not text-aware", "zsl"),
        "The same for the structure alone."),
    effect("ablation", better("hierarchy, text-aware", "names only", "zsl"),
        "The hierarchy, text-aware, beats the word vectors of the names."),
    effect("ablation", better("hierarchy and keywords, text-aware", "without terms across", "zsl"),
        "The energies across structure and text help, compared with one for each."),
    effect("ablation", better("hierarchy and keywords, text-aware", "negatives alike", "zsl"),
        "Self-adversarial weights of TransE's negatives help, compared with equal ones."),
    mechanism("ablation", better("hierarchy and keywords, text-aware", "without pivot", "zsl", by=0.05),
        "The regularizer of cluster means holds the generator: without it five points or more are lost in a short "
        "training."),
    mechanism("emoji", at_least("structure+text", "zsl", 3 * CHANCE),
        "A generator makes samples of classes that have none: a classifier trained on these alone recognizes unseen "
        "emoji at least three times as often as chance."),
    promised("emoji", better("structure+text", "mappings, ontology", "u", by=0.02),
        "Generated samples mend the imbalance of seen and unseen classes: among all classes, unseen ones are "
        "recognized more often than by mappings learnt on seen ones as they are, by at least two points."),
    effect("emoji", better("structure+text", "calibrated mappings, ontology", "u"),
        "And than by mappings that handicap seen classes."),
    promised("emoji", better("structure+text", "mappings, ontology", "h"),
        "So seen and unseen classes together (H) are."),
    effect("emoji", better("structure+text", "calibrated mappings, ontology", "h"),
        "H is better than that of mappings that handicap seen classes, too."),
    mechanism("nations", better("structure+text", "random", "mrr"),
        "The framework carries over to knowledge graphs: on Nations, with a schema of topics from the names of the "
        "relations, tails of relations without a triple are ranked better than with meaningless vectors."),
    effect("nations", better("structure+text", "texts", "mrr"),
        "There it beats a generator that knows the texts of the relations alone."),
    effect(SCHEMA, better("structure+text", "random", "open mrr"),
        "On a graph of locales, whose schema states the domains and ranges of training relations alone, tails of "
        "relations without a triple are ranked better than with meaningless vectors."),
    effect(SCHEMA, better("structure+text", "random order", "relation", by=0.1),
        "What is generated for an unseen relation is like its pairs: given a pair, the right one of the unseen "
        "relations is named at least ten points more often than by chance, with such a schema."),
    effect(SCHEMA, better("structure+text", "texts", "open mrr"),
        "With such a schema the ontology beats a generator that knows the texts of the relations alone."),
    effect(SCHEMA, better("structure+text", "structure", "open mrr"),
        "Text-aware vectors beat the structure of such a schema alone."),
    effect(SCHEMA, better("structure+text", "counted, texts", "open mrr"),
        "It beats the strongest simple alternative of the development cases: the triples of the three training "
        "relations whose texts are nearest, counted."),
    effect(SCHEMA, better("structure+text", "counted, structure+text", "open mrr"),
        "It beats the triples of the five training relations whose vectors are nearest, counted: the same vectors "
        "without a generator."),
    effect(SCHEMA, better("structure+text", "ridge, structure+text", "open mrr"),
        "The generator beats ridge regression from the same vectors to the same pair features."),
    effect(SCHEMA, better("structure+text", "transfer, structure+text", "open mrr"),
        "It beats the TransE scores of the three training relations whose vectors are nearest."),
    effect(SCHEMA, better("structure+text", "transfer, names", "open mrr"),
        "It beats the TransE score of the training relation whose name is nearest."),
    effect(SCHEMA, better("structure+text", "frequent tails", "open mrr"),
        "It beats the tails that are frequent in other relations."),
    effect(SCHEMA, better("structure+text", "without pivot", "open mrr"),
        "The regularizer of cluster means helps for relations, too."),
    effect(SCHEMA, better("structure+text", "without matching", "open mrr"), "The hinge on class scores helps."),
    not_testable("So it is for the relations of Kinships.",
        "Its relations and entities are numbers: nothing can be said of a relation without its triples, and a "
        "schema made from those would leak what is asked."),
    paper_scale("The evaluation is comprehensive, on zero-shot data sets of two domains: AwA, ImNet-A and ImNet-O; "
        "NELL-ZS and Wiki-ZS.",
        "They are in no package. With res101.mat and att_splits.mat in DIR and the ontology as triples in FILE: data = "
        "unseen.data.loaders.matlab.load_zsl(DIR), classes = unseen.data.ontologies.with_ontology(data.classes, "
        "unseen.data.ontologies.load(FILE)), OntoZSL(**OntoZSL.card.presets['paper']).fit(source=data.train_seen, "
        "classes=classes). For a graph: unseen complete GRAPH --ontology FILE --queries QUERIES."),
    effect("emoji", better("structure+text", "prototypes, incidence", "zsl"),
        "It often does better than the state of the art. Here: than ridge regression from the rows of the incidence "
        "matrix to prototypes, the best of the baselines (top-1)."),
    effect("emoji", better("structure+text", "prototypes, words", "zsl"),
        "Than ridge regression from word vectors to prototypes."),
    promised("emoji", better("heads, ontology", "heads, words", "zsl"),
        "On the mean over four heads (DeViSE, ConSE, SAE, generator) the ontology beats the word vectors of the "
        "names in standard zero-shot recognition."),
    effect("emoji", better("heads, ontology", "heads, words", "zsl", by=0.124), "The mean gain is 12.4 points."),
    *(effect("emoji", better(f"{head}, ontology", f"{head}, words", "zsl"),
        f"The ontology beats the word vectors of the names with {name}.")
      for head, name in (("devise", "DeViSE"), ("conse", "ConSE"), ("sae", "SAE"))),
)

EMOJI: dict[str, Any] = {
    "data": lambda case: of_split(case, "name", "group", "subgroup", "keywords", n=CLASSES), "unit": "fold of classes",
    "drawn": drawn_parts,
    **of_both(range(3)), **seeds(2)}
RELATIONS: dict[str, Any] = {"data": read_relations, "drawn": drawn_relations, "unit": "fold of relations"}

claim = Claim(
    slug="ontozsl",
    ledger=LEDGER,
    experiments={
        "emoji": Experiment(run=run_emoji, **EMOJI),
        "ablation": Experiment(run=run_ablation, **EMOJI),
        "nations": Experiment(
            run=run_relations, development=("nations 0",),
            confirmation=("nations 1", "nations 2", "nations 3", "nations 4"), **RELATIONS, **seeds(2)),
        SCHEMA: Experiment(
            run=functools.partial(
                run_relations, conditions=("random", "texts", "structure", "structure+text"), ridge=WEAK_RIDGE),
            development=("umls 0", "umls 1", "umls 2", "nations 0"),
            confirmation=("cldr 0", "cldr 1", "cldr 2", "cldr 3", "cldr 4"), **RELATIONS, **seeds(1)),
    },
    licences=(
        worlds.EMOJI, worlds.LITE0, "wordllama: MIT",
        "UMLS Semantic Network: NLM, public domain; Nations: Kemp et al. 2006; both as pykeen (MIT) ships them",
        "CLDR: Unicode License V3",
    ),
)
# fmt: on
