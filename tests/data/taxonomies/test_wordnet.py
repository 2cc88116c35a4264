"""WordNet's format on a few synsets, the real one where it can be had, and classes placed in a taxonomy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unseen.data.class_file import read_classes
from unseen.data.classes import ClassSpace
from unseen.data.label_metrics import TreeMetric
from unseen.data.sources import SourceUnavailable
from unseen.data.taxonomies import Taxonomy, build, find, load, place, senses, wordnet

DATA = """  1 This software and database is being provided to you
00000001 03 n 01 entity 0 002 ~ 00000002 n 0000 ~ 00000005 n 0000 | that which is
00000002 05 n 02 animal 0 living_creature 0 002 @ 00000001 n 0000 ~ 00000003 n 0000 | a living organism; "it moves"
00000003 05 n 01 crane 0 001 @ 00000002 n 0000 | a large long-necked bird
00000004 18 n 01 Crane 0 001 @i 00000001 n 0000 | a writer
00000005 06 n 01 crane 0 002 @ 00000001 n 0000 + 00000007 v 0101 | lifts heavy objects
"""
INDEX = """  1 This software and database is being provided to you
animal n 1 2 @ ~ 1 1 00000002
crane n 3 2 @ + 3 1 00000004 00000003 00000005
entity n 1 1 ~ 1 1 00000001
living_creature n 1 2 @ ~ 1 0 00000002
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data.noun").write_text(DATA)
    (tmp_path / "index.noun").write_text(INDEX)
    return tmp_path


def test_synsets_words_hypernyms_and_definitions(folder: Path) -> None:
    tree = wordnet(folder)
    assert tree.classes.names == ("entity.n.01", "animal.n.01", "crane.n.02", "Crane.n.01", "crane.n.03")
    assert [tree.parents(i).tolist() for i in range(5)] == [[], [0], [1], [0], [0]]
    assert tree.definitions is not None
    assert tree.definitions[1:3] == ("a living organism", "a large long-necked bird")
    assert isinstance(tree.classes.metric, TreeMetric)
    assert tree.take([0, 1, 2]).definitions == tree.definitions[:3]


def test_a_word_is_its_most_frequent_sense_that_is_no_proper_name(folder: Path) -> None:
    tree = load(f"wordnet:{folder}")
    assert find(["crane", "Living_Creature", "crane.n.03", "owl"], tree).tolist() == [2, 1, 4, -1]


def test_a_sense_of_any_of_its_words_and_its_place_in_wordnet_3_0_are_identifiers(folder: Path) -> None:
    tree = load(f"wordnet:{folder}")
    assert find(["living_creature.n.01", "n00000005", "crane.n.01", "N00000003"], tree).tolist() == [1, 4, 3, 2]
    assert find(["animal", "n00000003"], tree.take([0, 1, 2])).tolist() == [1, 2]


def test_classes_get_the_distance_of_the_taxonomy_and_its_definitions(folder: Path) -> None:
    own = ClassSpace(names=("crane", "animal"), descriptions=("", "what moves"), seen=[1])
    placed = place(own, wordnet(folder))
    assert placed.descriptions == ("a large long-necked bird", "what moves")
    assert placed.distance.tolist() == [[0, 1], [1, 0]]
    assert placed.seen.tolist() == [1]
    assert placed.concepts == ("crane.n.02", "animal.n.01")
    with pytest.raises(ValueError, match=r"1 of 2 are not in 'wordnet', such as 'owl'"):
        place(ClassSpace(names=("crane", "owl")), wordnet(folder))
    with pytest.raises(ValueError, match=r"'animal' and 'living creature' are both 'animal\.n\.01'"):
        place(ClassSpace(names=("animal", "living creature")), wordnet(folder))


def test_a_taxonomy_without_definitions_leaves_descriptions_alone() -> None:
    tree = build(["a", "b"], [[], ["a"]], ["A thing", "B thing"], [(0, "A thing"), (1, "B thing")], name="tiny")
    assert place(ClassSpace(names=("b thing", "a")), tree).descriptions is None


def small() -> Taxonomy:
    """Three worlds of four nodes each, in which a name may mean a person, a fish or a tool."""
    rows = [
        ("thing", "", ["thing"], "what there is"),
        ("person", "thing", ["person"], "a human being"),
        ("fool", "person", ["hammerhead", "fool"], "someone who is stupid"),
        ("poet", "person", ["poet"], "someone who writes"),
        ("fish", "thing", ["fish"], "lives in water and has fins"),
        ("shark", "fish", ["shark"], "a predator with teeth"),
        ("hammerhead shark", "shark", ["hammerhead"], "its head is flat and wide"),
        ("carp", "fish", ["carp"], "lives in ponds"),
        ("tool", "thing", ["tool"], "is used by hands"),
        ("beam", "tool", ["ray"], "it measures"),
        ("manta", "fish", ["ray"], "flat as a wing"),
    ]
    ids, parents, names, definitions = zip(*rows)
    phrases = [(i, text) for i, own in enumerate(names) for text in own]
    above = [[parent] if parent else [] for parent in parents]
    return build(ids, above, ids, phrases, definitions=definitions, name="small")


def chosen(names: tuple[str, ...], descriptions: tuple[str, ...] | None = None) -> list[str]:
    tree = small()
    return [tree.classes.names[i] for i in senses(names, tree, descriptions)]


def test_the_sense_that_the_other_classes_share_is_taken() -> None:
    assert chosen(("hammerhead",)) == ["fool"]  # nothing but the order speaks
    assert chosen(("hammerhead", "poet")) == ["fool", "poet"]
    assert chosen(("hammerhead", "carp", "ray")) == ["hammerhead shark", "carp", "manta"]
    assert senses(("hammerhead", "no such thing"), small()).tolist() == [2, -1]


def test_the_sense_that_the_description_tells_of_is_taken() -> None:
    assert chosen(("hammerhead", "poet"), ("a fish whose head is flat and wide", "")) == ["hammerhead shark", "poet"]
    assert chosen(("hammerhead", "carp"), ("a stupid human", "")) == ["fool", "carp"]


def test_an_identifier_as_name_or_as_concept_is_what_it_says_whatever_fits_better() -> None:
    own = ClassSpace(names=("hammerhead", "carp", "shark"), concepts=("fool", "", ""))
    assert place(own, small()).concepts == ("fool", "carp", "shark")
    assert place(own.take([0]), small()).concepts == ("fool",)


def test_a_class_file_names_concepts_in_a_column(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("name,concept,stripes\nhammerhead,hammerhead shark,0\npoet,,1\n")
    own = read_classes(tmp_path / "classes.csv")
    assert (own.concepts, own.attribute_names) == (("hammerhead shark", ""), ("stripes",))
    assert place(own, small()).concepts == ("hammerhead shark", "poet")


def test_classes_of_one_node_are_told_with_what_else_they_may_mean() -> None:
    told = r"'hammerhead' and 'fool' are both 'fool' \(else hammerhead shark\).*'concept'"
    with pytest.raises(ValueError, match=told):
        place(ClassSpace(names=("hammerhead", "fool", "poet")), small())


def test_files_that_are_missing_or_not_wordnets_are_named(folder: Path) -> None:
    (folder / "index.noun").write_text("dog n\n")
    with pytest.raises(ValueError, match=r"index\.noun is not in the format of WordNet"):
        wordnet(folder)
    (folder / "data.noun").write_text("what is this\n")
    with pytest.raises(ValueError, match=r"data\.noun is not in the format of WordNet"):
        wordnet(folder)
    (folder / "data.noun").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no data\.noun"):
        wordnet(folder)


def test_the_real_wordnet_has_82192_synsets() -> None:
    try:
        tree = wordnet()
    except SourceUnavailable as why:
        pytest.skip(str(why))
    assert len(tree) == 82192
    dog = tree.classes.index("dog.n.01")
    assert [tree.classes.names[i] for i in tree.path(dog)][-3:] == [
        "object.n.01",
        "physical_entity.n.01",
        "entity.n.01",
    ]
    placed = place(ClassSpace(names=("dog", "cat", "sports car")), tree)
    assert np.argsort(placed.distance[0]).tolist() == [0, 1, 2]
    fish = place(ClassSpace(names=("hammerhead", "tiger shark", "stingray")), tree)
    assert fish.concepts == ("hammerhead.n.03", "tiger_shark.n.01", "stingray.n.01")
    told = ClassSpace(names=("hammerhead", "dog"), descriptions=("a large fish with a flat head", ""))
    assert place(told, tree).concepts == ("hammerhead.n.03", "dog.n.01")
    ids = ClassSpace(
        names=("n01494475", "couch.n.01", "shark"), concepts=("", "", "n02084071")
    )  # places in WordNet 3.0
    assert place(ids, tree).concepts == ("hammerhead.n.03", "sofa.n.01", "dog.n.01")
