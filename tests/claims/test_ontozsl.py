"""What OntoZSL's claim stands on: folds that leak nothing, schemas that know every relation."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from unseen.claims.ontozsl import incidence
from unseen.data.ontology import build

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pykeen") is None, reason="the graphs are in pykeen")


@pytest.mark.parametrize("name", ["umls", "nations"])
def test_folds_part_the_relations_and_their_triples_are_never_learnt_from(name: str) -> None:
    from unseen.claims.completions import FOLDS, completion

    held: list[int] = []
    for number in range(FOLDS):
        given = completion(name, number)
        unseen = given.classes.unseen
        held += unseen.tolist()
        assert not np.isin(given.source.labels, unseen).any()
        assert np.isin(given.test[:, 1], unseen).all()
        assert len(given.source) + len(given.test) == len(given.graph.pairs)
        rows = np.arange(len(given.test))
        assert given.within[rows, given.test[:, 2]].all()
        assert given.known[rows, given.test[:, 2]].all()
    assert len(held) == len(set(held))
    count = np.bincount(given.graph.pairs.labels)
    names = given.graph.relations.names
    assert set(held) == {i for i, n in enumerate(names) if count[i] >= 5 and n != "isa"}


def test_schemas_say_something_of_every_relation() -> None:
    from unseen.claims.schemas import NATIONS, UMLS, nations_schema, type_of, umls_schema
    from unseen.data.sources.graphs import knowledge_graph

    umls, nations = knowledge_graph("umls"), knowledge_graph("nations")
    told = {name for members in UMLS.values() for name in members} | set(UMLS) | {"isa"}
    assert set(umls.relations.names) <= told
    assert {name for members in NATIONS.values() for name in members} == set(nations.relations.names)
    for graph, schema in ((umls, umls_schema(umls)), (nations, nations_schema(nations))):
        heads = {head for head, _, _ in schema.named}
        assert set(graph.relations.names) <= heads
        assert tuple(schema.concepts[i] for i in schema.nodes) == graph.relations.names
        assert schema.notes == ()
    kinds = dict(zip(umls.entities, type_of(umls)))
    assert kinds["virus"] == "organism"
    assert kinds["disease_or_syndrome"] == "pathologic_function"


def test_the_schema_of_nations_reads_no_triple() -> None:
    from unseen.claims.schemas import nations_schema
    from unseen.data.sources.graphs import Graph, knowledge_graph

    whole = knowledge_graph("nations")
    poor = Graph(whole.entities, whole.pairs.take([0]))
    assert nations_schema(poor).named == nations_schema(whole).named


def test_the_incidence_matrix_tells_what_shares_concepts() -> None:
    rows = [(f"c{i}", "has", f"k{i % 3}") for i in range(200)] + [("k0", "subClassOf", "g"), ("k1", "subClassOf", "g")]
    o = build(rows, classes=[f"c{i}" for i in range(200)])
    found = incidence(o)
    assert len(found) == 200
    distance = lambda a, b: float(np.linalg.norm(found[a] - found[b]))
    assert distance(0, 3) == pytest.approx(0, abs=1e-6)
    assert distance(0, 1) < distance(0, 2)  # both below g
