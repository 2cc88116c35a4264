"""WordNet's format on a few synsets, the real one where it can be had, and classes placed in a taxonomy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unseen.data.classes import ClassSpace
from unseen.data.label_metrics import TreeMetric
from unseen.data.sources import SourceUnavailable
from unseen.data.taxonomies import build, find, load, place, wordnet

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


def test_classes_get_the_distance_of_the_taxonomy_and_its_definitions(folder: Path) -> None:
    own = ClassSpace(names=("crane", "animal"), descriptions=("", "what moves"), seen=[1])
    placed = place(own, wordnet(folder))
    assert placed.descriptions == ("a large long-necked bird", "what moves")
    assert placed.distance.tolist() == [[0, 1], [1, 0]]
    assert placed.seen.tolist() == [1]
    with pytest.raises(ValueError, match=r"1 of 2 are not in 'wordnet', such as 'owl'"):
        place(ClassSpace(names=("crane", "owl")), wordnet(folder))
    with pytest.raises(ValueError, match=r"'animal' and 'living creature' are both 'animal\.n\.01'"):
        place(ClassSpace(names=("animal", "living creature")), wordnet(folder))


def test_a_taxonomy_without_definitions_leaves_descriptions_alone() -> None:
    tree = build(["a", "b"], [[], ["a"]], ["A thing", "B thing"], [(0, "A thing"), (1, "B thing")], name="tiny")
    assert place(ClassSpace(names=("b thing", "a")), tree).descriptions is None


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
