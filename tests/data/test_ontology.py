"""Ontologies: what they refuse, where they come from, what becomes of them, and classes that carry one."""

from __future__ import annotations

import csv
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.data import ontologies
from unseen.data.classes import ClassSpace, join
from unseen.data.compositions import compositions
from unseen.data.label_metrics import GraphMetric, TreeMetric, taxonomy
from unseen.data.ontologies import build, derived, merge, related, schema, with_ontology
from unseen.data.ontology import Ontology, readable
from unseen.data.taxonomies import build as build_taxonomy
from unseen.nn.state import digest, load_state, save_state

ROWS = [
    ("owl", "subClassOf", "bird"),
    ("carp", "subClassOf", "fish"),
    ("owl", "hasPart", "wing"),
    ("bird", "subClassOf", "animal"),
    ("fish", "subClassOf", "animal"),
]


def zoo() -> Ontology:
    return build(ROWS, {"owl": "a bird of the night"}, classes=["carp", "owl"])


# -- what it is --------------------------------------------------------------------------------------------


def test_concepts_and_properties_are_indexed_and_classes_are_some_of_the_concepts() -> None:
    o = zoo()
    assert set(o.concepts) == {"owl", "bird", "carp", "fish", "wing", "animal"}
    assert o.properties == ("subClassOf", "hasPart")
    assert o.named == tuple(ROWS)
    assert [o.concepts[i] for i in o.nodes] == ["carp", "owl"]
    assert o.texts is not None
    assert o.texts[o.places["owl"]] == "a bird of the night"
    assert o.texts[o.places["wing"]] == "wing"
    assert repr(o) == "Ontology(2 classes among 6 concepts, 5 triples, 2 properties)"


def test_triples_that_repeat_are_dropped_and_counted() -> None:
    o = build([*ROWS, ROWS[0], ROWS[0]])
    assert len(o.triples) == 5
    assert o.notes == ("2 triples that repeat are dropped",)


def test_concepts_apart_from_the_most_are_allowed_and_counted() -> None:
    names = sorted({name for head, _, tail in ROWS for name in (head, tail)})
    o = build([*ROWS, ("idea", "relatedTo", "thought")], concepts=[*names, "idea", "thought", "alone"])
    assert o.notes == ("3 concepts are not connected with the most",)
    assert build(ROWS).notes == ()


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match="relate a concept to itself; 'owl' is, by 'eats'"):
        build([("owl", "eats", "owl")])
    with pytest.raises(ValueError, match=r"concept 'wing' of the triple \(owl, has, wing\) is not among"):
        build([("owl", "has", "wing")], concepts=["owl"])
    with pytest.raises(ValueError, match="none of them empty"):
        build([("owl", "", "wing")])
    with pytest.raises(ValueError, match="class 'cow' is no concept of the ontology; it has 6"):
        build(ROWS, classes=["owl", "carp"]).with_classes(["cow"])
    with pytest.raises(ValueError, match="at least one concept"):
        build([])
    plain = {"concepts": ("a", "b"), "properties": ("p",), "triples": [[0, 0, 1]]}
    for wrong, told in (
        ({"concepts": ("a", "a")}, "concepts must be unique"),
        ({"properties": ("p", "")}, "properties must be unique and not empty"),
        ({"triples": [[0, 1, 1]]}, r"properties in \[0, 1\)"),
        ({"triples": [[0, 0, 2]]}, r"concepts in \[0, 2\)"),
        ({"triples": [[0, 0, 1], [0, 0, 1]]}, "must not repeat"),
        ({"texts": ("a",)}, "texts has 1 entries"),
        ({"nodes": [0, 0]}, "nodes must not repeat"),
        ({"nodes": [2]}, "nodes must hold"),
    ):
        with pytest.raises(ValueError, match=told):
            Ontology(**{**plain, **wrong})  # type: ignore[arg-type]


def test_a_name_becomes_words() -> None:
    assert readable("http://example.org/zoo#hasBodyPart") == "has Body Part"
    assert readable("concept:animal:snow_owl") == "snow owl"
    assert readable("wing ") == "wing"


def test_classes_are_found_by_name_else_by_text_in_any_case() -> None:
    o = build([("http://z/Q1", "p", "http://z/Q2"), ("http://z/great_auk", "p", "http://z/Q2")], {"http://z/Q1": "Owl"})
    found = o.with_classes(["owl", "Great auk"])
    assert [found.concepts[i] for i in found.nodes] == ["http://z/Q1", "http://z/great_auk"]
    two = build([("a", "p", "b")], {"a": "owl", "b": "Owl"})
    with pytest.raises(ValueError, match="'OWL' could be 2 concepts of the ontology, such as 'a' and 'b'"):
        two.with_classes(["OWL"])


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(5)))
def test_the_canonical_order_does_not_depend_on_that_of_the_triples(order: list[int]) -> None:
    o = build([ROWS[i] for i in order], {"owl": "night"}, classes=["owl"]).canonical()
    assert digest(o) == digest(build(ROWS, {"owl": "night"}, classes=["owl"]).canonical())
    assert sorted(o.named) == sorted(ROWS)
    assert o.concepts[o.nodes[0]] == "owl"


def test_an_ontology_becomes_a_metric_and_a_graph() -> None:
    o = zoo()
    metric = o.metric()
    assert isinstance(metric, GraphMetric)
    assert metric.rows(np.array([0])).tolist() == [[0, 4]]  # carp, fish, animal, bird, owl
    graph = o.graph()
    assert graph.number_of_edges() == 5
    assert graph.nodes["owl"]["text"] == "a bird of the night"
    back = ontologies.from_graph(graph)
    assert sorted(back.named) == sorted(ROWS)
    apart = build([("owl", "p", "bird"), ("carp", "p", "fish")], classes=["owl", "carp"])
    with pytest.raises(ValueError, match="must connect all classes"):
        apart.metric()


# -- readers -----------------------------------------------------------------------------------------------


def test_a_table_of_triples_is_read_with_labels_and_comments_as_texts(tmp_path: Path) -> None:
    lines = ["\t".join(row) for row in ROWS]
    lines += ["owl\tlabel\tOwl", "owl\trdfs:comment\tflies at night", "wing\tdescription\twhat birds fly with"]
    (tmp_path / "zoo.tsv").write_text("\n".join(lines) + "\n\n")
    o = ontologies.load(tmp_path / "zoo.tsv")
    assert o.named == tuple(ROWS)
    assert o.texts is not None
    assert o.texts[o.places["owl"]] == "Owl. flies at night"
    assert o.texts[o.places["wing"]] == "what birds fly with"
    assert o.texts[o.places["fish"]] == "fish"


def test_a_table_may_have_a_header_in_any_order_and_commas(tmp_path: Path) -> None:
    with (tmp_path / "zoo.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["weight", "object", "predicate", "subject"])
        writer.writerows([1, t, p, h] for h, p, t in ROWS)
        writer.writerow([1, "an owl, a bird", "comment", "owl"])
    o = ontologies.load(tmp_path / "zoo.csv")
    assert o.named == tuple(ROWS)
    assert o.texts is not None
    assert o.texts[o.places["owl"]] == "an owl, a bird"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("owl\tp\n", "row 1: must hold head, property, tail; got 2 entries"),
        ("owl\tp\tbird\nowl\t\twing\n", "row 2: an entry is empty"),
        ("head\trelation\ttail\n", "no row beneath the header"),
        ("", "there is no row"),
        ("owl\tlabel\tOwl\n", "no triple that relates two concepts"),
    ],
)
def test_a_bad_table_is_named_with_its_row(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "bad.tsv").write_text(text)
    with pytest.raises(ValueError, match=told):
        ontologies.load(tmp_path / "bad.tsv")


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"an ontology ends in \.tsv"):
        ontologies.load(tmp_path / "zoo.doc")


TURTLE = """\
@prefix : <http://zoo.org/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
:owl a owl:Class ; rdfs:subClassOf :bird ; rdfs:label "owl"@en, "Eule"@de ; rdfs:comment "flies at night" ;
    rdfs:subClassOf [ a owl:Restriction ; owl:onProperty :hasPart ; owl:someValuesFrom :wing ] ;
    rdfs:subClassOf [ a owl:Restriction ; owl:onProperty :hasPart ; owl:maxCardinality 2 ] .
:bird rdfs:subClassOf :animal, owl:Thing ; :weight 3 .
:hasPart rdfs:domain :animal .
"""


def test_rdf_is_read_with_its_restrictions_and_english_texts(tmp_path: Path) -> None:
    pytest.importorskip("rdflib")
    (tmp_path / "zoo.ttl").write_text(TURTLE)
    o = ontologies.load(tmp_path / "zoo.ttl")
    assert set(o.named) == {
        ("owl", "subClassOf", "bird"),
        ("owl", "hasPart", "wing"),
        ("bird", "subClassOf", "animal"),
        ("hasPart", "domain", "animal"),
    }
    assert o.texts is not None
    assert o.texts[o.places["owl"]] == "owl. flies at night"
    assert o.texts[o.places["hasPart"]] == "has Part"
    assert "1 values that are no concepts are passed over" in o.notes
    assert "1 nameless nodes are passed over" in o.notes
    (tmp_path / "bad.ttl").write_text("nonsense")
    with pytest.raises(ValueError, match="cannot be read as RDF"):
        ontologies.load(tmp_path / "bad.ttl")


def test_uris_that_end_alike_keep_their_names(tmp_path: Path) -> None:
    pytest.importorskip("rdflib")
    (tmp_path / "two.nt").write_text("<http://a/owl> <http://p/is> <http://b/owl> .\n")
    assert ontologies.load(tmp_path / "two.nt").concepts == ("http://a/owl", "http://b/owl")


def test_graphs_tell_properties_by_attribute_or_key() -> None:
    graph = nx.DiGraph()
    graph.add_edge("owl", "bird", property="subClassOf")
    graph.add_edge("owl", "carp")
    graph.add_node("owl", description="a bird")
    o = ontologies.from_graph(graph)
    assert o.named == (("owl", "subClassOf", "bird"), ("owl", "relatedTo", "carp"))
    assert o.texts is not None
    assert o.texts[o.places["owl"]] == "a bird"
    assert len(ontologies.from_graph(nx.Graph([("a", "b"), ("b", "c")])).triples) == 2
    with pytest.raises(TypeError, match="networkx"):
        ontologies.from_graph([("a", "b")])
    with pytest.raises(ValueError, match="itself"):
        ontologies.from_graph(nx.DiGraph([("a", "a")]))


# -- builders ----------------------------------------------------------------------------------------------


def test_a_tree_of_classes_becomes_sub_classes_and_inner_nodes_tell_their_classes() -> None:
    metric = taxonomy([("animal", "bird", "owl"), ("animal", "bird", "eagle"), ("animal", "fish", "carp")])
    classes = ClassSpace(names=("owl", "eagle", "carp"), metric=metric)
    o = ontologies.hierarchy(classes)
    assert o.properties == ("subClassOf",)
    assert len(o.triples) == 6
    text = dict(zip(o.concepts, o.texts or ()))
    parent = {h: t for h, _, t in o.named}
    assert parent["owl"] == parent["eagle"] != parent["carp"]
    assert text[parent["owl"]] == "owl, eagle"
    assert text[parent[parent["owl"]]] == "owl, eagle, carp"


def test_a_graph_of_classes_becomes_relations_and_both_directions_are_one() -> None:
    adjacency = np.array([[0, 1, 0], [1, 0, 1], [0, 0, 0]])
    o = ontologies.hierarchy(ClassSpace(names=("a", "b", "c"), metric=GraphMetric(adjacency)))
    assert set(o.named) == {("b", "subClassOf", "c"), ("a", "relatedTo", "b")}
    with pytest.raises(ValueError, match="classes must carry a tree or a graph"):
        ontologies.hierarchy(ClassSpace(names=("a", "b")))


def test_attributes_above_the_mean_are_had_and_groups_name_the_property() -> None:
    values, named = [[0.2, 1, 0], [0.8, 1, 1]], ("wet", "alive", "owl")
    classes = ClassSpace(names=("owl", "carp"), attributes=values, attribute_names=named)
    o = ontologies.attributes(classes)
    assert set(o.named) == {("carp", "hasAttribute", "wet"), ("carp", "hasAttribute", "the attribute owl")}
    grouped = ontologies.attributes(classes, groups={"wet": "state"}, threshold=0.1)
    assert ("owl", "hasState", "wet") in grouped.named
    assert ("owl", "hasAttribute", "alive") in grouped.named
    assert ("wet", "subClassOf", "state") in grouped.named
    with pytest.raises(ValueError, match="groups must be of attributes; 'dry' is none"):
        ontologies.attributes(classes, groups={"dry": "state"})
    with pytest.raises(ValueError, match="must have attributes"):
        ontologies.attributes(ClassSpace(names=("owl",)))


def test_compositions_tell_their_groups() -> None:
    o = ontologies.attributes(compositions([("wet", "dog"), ("old", "cat")]))
    assert ("wet dog", "hasAttribute", "attribute: wet") in o.named
    assert ("wet dog", "hasObject", "object: dog") in o.named
    assert ("object: dog", "subClassOf", "object") in o.named
    assert dict(zip(o.concepts, o.texts or ()))["object: dog"] == "dog"


def test_a_taxonomy_becomes_an_ontology() -> None:
    tree = build_taxonomy(["a", "b", "c"], [[], ["a"], ["a"]], ["one", "two", "three"], [(0, "one")], name="t")
    o = ontologies.from_taxonomy(tree)
    assert set(o.named) == {("b", "subClassOf", "a"), ("c", "subClassOf", "a")}
    assert o.texts == ("one", "two", "three")


def test_a_schema_relates_relations_to_types_and_to_broader_relations() -> None:
    o = schema(
        ["treats", "causes"],
        domain={"treats": ["drug", "device"]},
        range={"treats": "disease", "causes": ["disease"]},
        broader={"treats": ["affects"], "affects": ["related"]},
        types={"drug": ["substance"]},
        texts={"treats": "applies a remedy"},
    )
    assert set(o.named) == {
        ("treats", "domain", "drug"), ("treats", "domain", "device"), ("treats", "range", "disease"),
        ("causes", "range", "disease"), ("treats", "subPropertyOf", "affects"), ("affects", "subPropertyOf", "related"),
        ("drug", "subClassOf", "substance"),
    }  # fmt: skip
    assert [o.concepts[i] for i in o.nodes] == ["treats", "causes"]
    with pytest.raises(ValueError, match="domain must be of relations; 'cures' is none"):
        schema(["treats"], domain={"cures": ["drug"]})


def test_what_classes_say_becomes_their_ontology_and_an_own_one_comes_first() -> None:
    metric = taxonomy([("bird", "owl"), ("fish", "carp")])
    both = ClassSpace(names=("owl", "carp"), metric=metric, attributes=np.eye(2), attribute_names=("wings", "fins"))
    o = derived(both)
    assert set(o.properties) == {"subClassOf", "hasAttribute"}
    assert [o.concepts[i] for i in o.nodes] == ["owl", "carp"]
    own = with_ontology(both, zoo())
    assert own.ontology is not None
    assert derived(own) is own.ontology
    plain = ClassSpace(names=("owl", "carp"), embeddings=np.eye(2))
    assert related(both)
    assert not related(plain)
    with pytest.raises(ValueError, match="classes must say how they are related"):
        derived(plain)


def test_merging_keeps_all_triples_and_the_first_text() -> None:
    more = build([("owl", "eats", "mouse"), ROWS[0]], {"owl": "another text", "mouse": ""})
    o = merge(zoo(), more)
    assert set(o.named) == {*ROWS, ("owl", "eats", "mouse")}
    assert o.texts is not None
    assert o.texts[o.places["owl"]] == "a bird of the night"
    assert o.texts[o.places["mouse"]] == ""
    assert [o.concepts[i] for i in o.nodes] == ["carp", "owl"]


# -- classes -----------------------------------------------------------------------------------------------


def test_classes_carry_their_concepts_through_take_replace_and_join() -> None:
    classes = with_ontology(ClassSpace(names=("owl", "carp", "bird")), build(ROWS))
    assert "ontology" in repr(classes)

    def concepts(space: ClassSpace) -> list[str]:
        assert space.ontology is not None
        return [space.ontology.concepts[i] for i in space.ontology.nodes]

    assert concepts(classes.take([2, 0])) == ["bird", "owl"]
    assert len(classes.take([2]).ontology.concepts) == 6  # type: ignore[union-attr]
    assert concepts(classes.replace(seen=[0])) == ["owl", "carp", "bird"]
    assert classes.replace(ontology=None).ontology is None
    assert concepts(join(classes.take([0]), classes)) == ["owl", "carp", "bird"]
    assert concepts(join(ClassSpace(names=("bird",)), classes)) == ["bird", "owl", "carp"]
    assert join(classes, ClassSpace(names=("cow",))).ontology is None


def test_an_ontology_of_other_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="class 'cow' is no concept"):
        with_ontology(ClassSpace(names=("owl", "cow")), build(ROWS))
    with pytest.raises(ValueError, match="ontology has concepts of 2 classes, there are 1"):
        ClassSpace(names=("owl",), ontology=zoo())
    with pytest.raises(TypeError, match="must be an Ontology"):
        ClassSpace(names=("owl",), ontology=ROWS)  # type: ignore[arg-type]


def test_classes_are_saved_with_their_ontology_and_hash_as_before_without_one(tmp_path: Path) -> None:
    classes = with_ontology(ClassSpace(names=("owl", "carp")), zoo())
    save_state(tmp_path / "c", {"classes": classes})
    back = load_state(tmp_path / "c")["classes"]
    assert digest(back) == digest(classes)
    assert back.ontology.named == zoo().named
    plain = ClassSpace(names=("owl", "carp"), metric=TreeMetric(np.array([-1, 0])))
    assert digest(plain) == "f4650e6e1aac49762d25edbcdee9a67d7bf2a6bcba9bb9747bf74462e411732f"
