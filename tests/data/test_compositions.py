"""Classes that are pairs of words."""

import numpy as np
import pytest

from unseen.data.class_file import read_classes
from unseen.data.compositions import compositions, open_world, primitives

PAIRS = [("wet", "dog"), ("wet", "cat"), ("old", "dog"), ("dry", "car")]
VECTORS = {word: np.full(3, i, dtype=np.float32) for i, word in enumerate(("wet", "old", "dry", "dog", "cat", "car"))}


def test_what_goes_in_comes_out():
    known = primitives(compositions(PAIRS, vectors=VECTORS))
    assert [(known.attributes[a], known.objects[o]) for a, o in zip(known.attribute, known.object)] == PAIRS
    for words, vectors in ((known.attributes, known.attribute_vectors), (known.objects, known.object_vectors)):
        np.testing.assert_array_equal(vectors, [VECTORS[word] for word in words])


def test_words_of_which_no_class_is_made_are_left_out():
    known = primitives(compositions(PAIRS, vectors=VECTORS).take([3, 0]))
    assert set(known.attributes) == {"dry", "wet"}
    assert set(known.objects) == {"car", "dog"}
    assert known.object_vectors[known.object[0]].tolist() == VECTORS["car"].tolist()


def test_the_open_world_has_all_pairs_and_the_same_seen_ones():
    space = open_world(compositions(PAIRS, vectors=VECTORS, seen=[0, 2]))
    assert len(space) == 3 * 3
    assert space.names[:4] == ("wet dog", "wet cat", "old dog", "dry car")
    assert space.seen.tolist() == [0, 2]
    assert primitives(space).attribute_vectors is not None


def test_a_class_file_names_attribute_and_object(tmp_path):
    file = tmp_path / "classes.csv"
    file.write_text("name,attribute,object\na wet dog,wet,dog\nan old dog,old,dog\n")
    space = read_classes(file)
    assert space.names == ("a wet dog", "an old dog")
    assert primitives(space).objects == ("dog",)
    file.write_text("name,attribute,object\na wet dog,wet,\n")
    with pytest.raises(ValueError, match="'a wet dog' must have an attribute and an object"):
        read_classes(file)


def test_bad_pairs_are_named():
    with pytest.raises(ValueError, match="stands twice"):
        compositions([*PAIRS, PAIRS[0]])
    with pytest.raises(ValueError, match="'car' has none"):
        compositions(PAIRS, vectors={word: v for word, v in VECTORS.items() if word != "car"})
    space = compositions(PAIRS)
    marks = space.attributes.copy()
    marks[1] = 0
    with pytest.raises(ValueError, match="'wet cat' does not"):
        primitives(space.replace(attributes=marks))
    with pytest.raises(ValueError, match="pairs of an attribute and an object"):
        primitives(space.replace(attributes=None, attribute_names=None))
