"""What OntoZSL's claim stands on: folds that leak nothing, schemas that know every relation."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from unseen.claims.completions import Completion, counted, folds, graded_tails, parted
from unseen.claims.ontozsl import incidence
from unseen.claims.schemas import CLDR, NATIONS, UMLS, schema_of, types_of
from unseen.data.ontology import Ontology, build
from unseen.data.sources.downloads import SourceUnavailable
from unseen.data.sources.graphs import Graph, graph, knowledge_graph
from unseen.data.sources.locales import _kept, cldr

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pykeen") is None, reason="the graphs are in pykeen")


def graph_of(name: str) -> Graph:
    if name != "cldr":
        return knowledge_graph(name)
    try:
        return cldr()
    except SourceUnavailable as why:
        pytest.skip(str(why))


def schema_in(given: Completion) -> Ontology:
    assert given.classes.ontology is not None
    return given.classes.ontology


@pytest.mark.parametrize("name", ["umls", "nations", "cldr"])
def test_folds_part_the_relations_and_their_triples_are_never_learnt_from(name: str) -> None:
    whole = graph_of(name)
    held: list[int] = []
    for unseen in folds(whole):
        given = parted(whole, unseen)
        assert np.array_equal(given.classes.unseen, unseen)
        held += unseen.tolist()
        assert not np.isin(given.source.labels, unseen).any()
        assert np.isin(given.test[:, 1], unseen).all()
        assert np.isin(given.test[:, [0, 2]], given.source.x).all()
        assert len(given.source) == int((~np.isin(whole.pairs.labels, unseen)).sum())
        rows = np.arange(len(given.test))
        assert given.within[rows, given.test[:, 2]].all()
        assert given.known[rows, given.test[:, 2]].all()
    assert len(held) == len(set(held))
    if name != "cldr":
        count = np.bincount(whole.pairs.labels)
        names = whole.relations.names
        assert set(held) == {i for i, n in enumerate(names) if count[i] >= 5 and n != "isa"}


@pytest.mark.parametrize("name", ["umls", "nations", "cldr"])
def test_what_a_relation_of_the_exam_is_told_by_does_not_depend_on_its_triples(name: str) -> None:
    """The ends of all triples of unseen relations are drawn anew: schema and learnt triples stay as they are."""
    whole, rng = graph_of(name), np.random.default_rng(0)
    for unseen in folds(whole):
        given, asked = parted(whole, unseen), np.isin(whole.pairs.labels, unseen)
        ends = whole.pairs.x.copy()
        ends[asked] = rng.integers(len(whole.entities), size=(int(asked.sum()), 2))
        other = parted(Graph(whole.entities, whole.pairs.replace(x=ends)), unseen)
        assert not np.array_equal(given.test, other.test)
        assert schema_in(other).named == schema_in(given).named
        assert schema_in(other).texts == schema_in(given).texts
        assert np.array_equal(other.source.x, given.source.x)
        assert np.array_equal(other.source.labels, given.source.labels)


@pytest.mark.parametrize("name", ["umls", "cldr"])
def test_training_relations_have_domain_and_range_and_those_of_the_exam_have_none(name: str) -> None:
    whole = graph_of(name)
    given = parted(whole, folds(whole)[0])
    names = given.classes.names
    stated = {(head, kind) for head, kind, _ in schema_in(given).named}
    for kind in ("domain", "range"):
        assert all((names[r], kind) in stated for r in given.classes.seen)
        assert not any((names[r], kind) in stated for r in given.classes.unseen)


@pytest.mark.parametrize(("name", "told"), [("umls", UMLS), ("nations", NATIONS), ("cldr", CLDR)])
def test_schemas_say_something_of_every_relation(name: str, told: dict[str, dict[str, str]]) -> None:
    whole = graph_of(name)
    schema = schema_of(whole)
    said = {relation for members in told.values() for relation in members}
    assert set(whole.relations.names) <= said | set(told) | {"isa"}
    assert set(whole.relations.names) <= {head for head, _, _ in schema.named}
    assert tuple(schema.concepts[i] for i in schema.nodes) == whole.relations.names
    assert schema.notes == ()


def test_types_are_the_narrowest_of_the_coarse_ones() -> None:
    whole = knowledge_graph("umls")
    kinds = dict(zip(whole.entities, types_of(whole)))
    assert kinds["virus"] == "organism"
    assert kinds["disease_or_syndrome"] == "pathologic_function"


def test_the_schema_of_nations_reads_no_triple() -> None:
    whole = knowledge_graph("nations")
    poor = Graph(whole.entities, whole.pairs.take([0]))
    assert schema_of(poor).named == schema_of(whole).named


def test_triples_of_the_nearest_relation_are_counted() -> None:
    rows = [("a", "near", "b"), ("c", "near", "b"), ("c", "near", "d"), ("a", "far", "d"), ("b", "far", "a")]
    whole = graph([*rows, ("a", "new", "b"), ("d", "new", "a")], name="nations")
    names = whole.relations.names
    source = whole.pairs.take(whole.pairs.labels != names.index("new"))
    classes = whole.relations.replace(seen=[names.index("far"), names.index("near")])
    test = whole.triples[whole.pairs.labels == names.index("new")]
    known = np.zeros((2, 4), dtype=bool)
    told = torch.tensor([{"far": [0.0, 1.0], "near": [1.0, 0.0], "new": [0.9, 0.1]}[name] for name in names])
    given = Completion(whole, source, test, classes, known, ~known)
    expected = np.array([[0, 2 / 3 + 1, 0, 1 / 3], [0, 2 / 3, 0, 1 / 3]])  # heads a and d; tails a, b, c, d
    assert counted(given, told, 1) == pytest.approx(expected)
    assert graded_tails(given, counted(given, told, 1))["mrr"] == pytest.approx((1 + 1 / 3.5) / 2)


def test_entities_of_few_triples_are_dropped_until_none_is_left_over() -> None:
    rows = [("a", "r", "b"), ("b", "s", "c"), ("c", "r", "a"), ("c", "s", "d"), ("d", "r", "e")]
    assert _kept(rows) == rows[:3]


def test_the_incidence_matrix_tells_what_shares_concepts() -> None:
    rows = [(f"c{i}", "has", f"k{i % 3}") for i in range(200)] + [("k0", "subClassOf", "g"), ("k1", "subClassOf", "g")]
    o = build(rows, classes=[f"c{i}" for i in range(200)])
    found = incidence(o)
    assert len(found) == 200

    def distance(a: int, b: int) -> float:
        return float(np.linalg.norm(found[a] - found[b]))

    assert distance(0, 3) == pytest.approx(0, abs=1e-6)
    assert distance(0, 1) < distance(0, 2)  # both below g
