"""Relations of knowledge graphs that no triple has shown: the experiment of OntoZSL's claim, and its baselines."""

from __future__ import annotations

import copy
import functools
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from unseen.claims.schemas import nations_schema, type_of, umls_schema
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.ontologies import with_ontology
from unseen.data.sources.graphs import Graph, knowledge_graph
from unseen.data.typing import FloatArray, IntArray
from unseen.data.words import wordllama
from unseen.evaluation.metrics.ranking import filtered_ranks, known_tails, ranking_scores
from unseen.evaluation.metrics.zero_shot import mean_class_top1
from unseen.methods.zero_shot.ontozsl import OntologyEncoder, RelationOntoZSL
from unseen.methods.zero_shot.ontozsl.pairs import PairEncoder, features_of
from unseen.methods.zero_shot.ontozsl.texts import text_vectors
from unseen.nn.kge import GraphVectors, train_graph_vectors
from unseen.runtime import reproducible

Result = dict[str, dict[str, float]]

FOLDS = 5
RIDGE = {"texts": 0.3, "structure+text": 0.1}
"""Penalties of the arms `ridge`, the best of six from 0.03 to 10 on the development folds of UMLS."""


def centred(told: FloatArray, seen: IntArray) -> FloatArray:
    """Unit vectors less their mean over the seen classes, again at unit length: as all arms get them."""
    unit = told / np.linalg.norm(told, axis=1, keepdims=True)
    unit = unit - unit[seen].mean(axis=0)
    return unit / np.linalg.norm(unit, axis=1, keepdims=True)


class Completion(NamedTuple):
    """Triples to learn from, those of unseen relations, and which tails compete and which are known for each."""

    graph: Graph
    source: Domain
    test: IntArray
    classes: ClassSpace
    known: NDArray[np.bool_]
    within: NDArray[np.bool_]


@functools.cache
def completion(name: str, number: int) -> Completion:
    """A fifth of the relations is unseen, spread over frequencies; rare ones (below 5 triples) and isa are always seen.

    In UMLS the candidates are the entities of the types that the range of the relation declares.
    """
    graph = knowledge_graph(name)
    names, labels = graph.relations.names, graph.pairs.labels
    count = np.bincount(labels, minlength=len(names))
    free = np.array([i for i, relation in enumerate(names) if relation != "isa" and count[i] >= 5])
    free = free[np.argsort(-count[free], kind="stable")]
    rng = np.random.default_rng(0)
    blocks = [rng.permutation(free[i : i + FOLDS]) for i in range(0, len(free), FOLDS)]
    unseen = np.sort([block[number] for block in blocks if len(block) > number])
    schema = umls_schema(graph) if name == "umls" else nations_schema(graph)
    classes = with_ontology(graph.relations, schema).replace(seen=np.setdiff1d(np.arange(len(names)), unseen))
    new = np.isin(labels, unseen)
    test = graph.triples[new]
    within = np.ones((len(test), len(graph.entities)), dtype=bool)
    if name == "umls":
        kinds = type_of(graph)
        for relation in unseen:
            own = test[:, 1] == relation
            within[own] = np.isin(kinds, np.unique(kinds[test[own, 2]]))
    known = known_tails(test[:, :2], graph.triples, len(graph.entities))
    source = graph.pairs.take(~new).replace(classes=classes)
    return Completion(graph, source, test, classes, known, within)


def graded_tails(given: Completion, scores: FloatArray) -> dict[str, float]:
    """Filtered figures, the mean over relations: among candidates of the right type, and among all (`open`)."""
    out: dict[str, float] = {}
    for label, within in (("", given.within), ("open ", None)):
        ranks = filtered_ranks(scores, given.test[:, 2], given.known, within)
        per = [ranking_scores(ranks[given.test[:, 1] == r]) for r in given.classes.unseen]
        out |= {label + key: float(np.mean([one[key] for one in per])) for key in per[0]}
    return out


@functools.cache
def entities(name: str, number: int, seed: int) -> GraphVectors:
    """TransE of the triples of the seen relations, which all arms share."""
    given = completion(name, number)
    pairs = given.source.x
    triples = np.column_stack([pairs[:, 0], given.source.labels, pairs[:, 1]])
    with reproducible(seed):
        return train_graph_vectors(
            triples, len(given.graph.entities), len(given.classes), dim=64, gamma=6.0, negatives=32, batch_size=128,
            steps=1500,
        )  # fmt: skip


class SharedPairs(RelationOntoZSL):
    """RelationOntoZSL that trains the extractor once for all arms on one fold with one seed."""

    def _pair_encoder(self, entities: Tensor, *given: Any) -> PairEncoder:
        key = (entities.numpy().tobytes(), self.random_state, self.feature, self.pair_steps)
        if key not in _PAIRS:
            with reproducible(self.random_state):
                _PAIRS[key] = super()._pair_encoder(entities, *given)
        return copy.deepcopy(_PAIRS[key])


_PAIRS: dict[Any, PairEncoder] = {}


def texts_of(classes: ClassSpace) -> list[str]:
    """The text of each relation."""
    assert classes.ontology is not None
    assert classes.ontology.texts is not None
    return [classes.ontology.texts[i] for i in classes.ontology.nodes]


@functools.cache
def relation_vectors(name: str, seed: int) -> dict[str, Float[Tensor, "r a"]]:
    """What a relation is told by, in each arm."""
    classes = completion(name, 0).classes
    assert classes.ontology is not None
    encoder = OntologyEncoder(random_state=seed).fit(classes.ontology)
    names = list(classes.names)
    plain = [relation.replace("_", " ") for relation in names]
    with reproducible(seed):
        random = torch.randn(len(names), 64)
    return {
        "random": random,
        "names": text_vectors(plain, wordllama()).vectors,
        "texts": text_vectors(texts_of(classes), wordllama()).vectors,
        **{part: encoder.transform(names, part) for part in ("structure", "text", "structure+text")},
    }


def completed(
    given: Completion, told: Tensor, seed: int, vectors: Tensor, of: Any = SharedPairs, **changes: Any
) -> Any:
    """A generator of pair features, conditioned on `told`."""
    classes = given.classes.replace(attributes=told.numpy(), ontology=None)
    method = of(random_state=seed, condition="attributes", **changes)
    return method.fit(source=given.source.replace(classes=classes), classes=classes, encoder=vectors)


def transferred(given: Completion, told: Tensor, model: GraphVectors, k: int) -> FloatArray:
    """The score of the k seen relations whose vectors are nearest, by TransE; `k` is the best of 1 and 3 for each."""
    seen = torch.as_tensor(given.classes.seen)
    o = F.normalize(told - told[seen].mean(dim=0), dim=1)
    near = seen[(o @ o[seen].T).topk(k, dim=1).indices]
    tails = torch.arange(len(given.graph.entities))
    out = []
    for h, r, _ in given.test.tolist():
        rows = [model.score(torch.full_like(tails, h), torch.full_like(tails, int(s)), tails) for s in near[r]]
        out.append(torch.stack(rows).detach().sigmoid().mean(dim=0).numpy())
    return np.stack(out)


def regressed(given: Completion, told: Tensor, method: Any, alpha: float) -> FloatArray:
    """Ridge regression from vectors to the mean pair features of seen relations, in the place of the generator."""
    from sklearn.linear_model import Ridge

    net, pairs, y = method.pairs_, torch.as_tensor(given.source.x), given.source.labels
    x = F.normalize(features_of(net, pairs), dim=1).numpy()
    seen = given.classes.seen
    means = np.stack([x[y == r].mean(axis=0) for r in seen])
    a = centred(told.numpy(), seen)
    found = torch.as_tensor(Ridge(alpha=alpha).fit(a[seen], means).predict(a), dtype=torch.float32)
    tails = torch.arange(len(given.graph.entities))
    out = []
    for h, r, _ in given.test.tolist():
        own = F.normalize(features_of(net, torch.stack([torch.full_like(tails, h), tails], dim=1)), dim=1)
        out.append((own @ F.normalize(found[r], dim=0)).numpy())
    return np.stack(out)


def run_relations(case: str, seed: int) -> Result:
    """Generators under six conditions, parts off, and baselines that rank without a generator."""
    name, number = case.split()
    given, told = completion(name, int(number)), relation_vectors(name, seed)
    model = entities(name, int(number), seed)
    vectors = model.entities.detach()
    queries, test = given.test[:, :2], given.test
    table: Result = {}
    for arm, matrix in told.items():
        method = completed(given, matrix, seed, vectors)
        table[arm] = graded_tails(given, method.score_tails(queries).numpy())
        table[arm]["relation"] = mean_class_top1(test[:, 1], method.predict(test[:, [0, 2]]))
    for arm, alpha in RIDGE.items():
        table[f"ridge, {arm}"] = graded_tails(given, regressed(given, told[arm], method, alpha))
    for arm, changes in {"without pivot": {"pivot_weight": 0.0}, "without matching": {"matching": 0.0}}.items():
        other = completed(given, told["structure+text"], seed, vectors, **changes)
        table[arm] = graded_tails(given, other.score_tails(queries).numpy())
    rng = np.random.default_rng(seed)
    often = np.bincount(given.source.x[:, 1], minlength=len(given.graph.entities)).astype(float)
    table["random order"] = graded_tails(given, rng.random((len(test), len(often))))
    table["random order"]["relation"] = 1 / len(given.classes.unseen)
    table["frequent tails"] = graded_tails(given, np.tile(often, (len(test), 1)))
    table["range, then frequent"] = graded_tails(given, given.within * (often.max() + 1) + often)
    for arm, k in (("names", 1), ("texts", 3), ("structure+text", 3)):
        table[f"transfer, {arm}"] = graded_tails(given, transferred(given, told[arm], model, k))
    return table
