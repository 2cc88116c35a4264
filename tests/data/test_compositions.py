"""Classes that are pairs of words."""

import numpy as np
import pytest

from unseen.data.class_file import read_classes
from unseen.data.compositions import compositions, open_world, primitives, with_vectors

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
    with pytest.raises(ValueError, match="it is empty"):
        compositions([])
    with pytest.raises(ValueError, match="one width"):
        compositions(PAIRS, vectors=VECTORS | {"car": np.zeros(2)})
    space = compositions(PAIRS)
    marks = space.attributes.copy()
    marks[1] = 0
    with pytest.raises(ValueError, match="'wet cat' does not"):
        primitives(space.replace(attributes=marks))
    with pytest.raises(ValueError, match="pairs of an attribute and an object"):
        primitives(space.replace(attributes=None, attribute_names=None))


def test_embeddings_of_whole_names_are_no_word_vectors():
    space = compositions(PAIRS).replace(embeddings=np.random.default_rng(0).normal(size=(4, 6)))
    assert primitives(space).attribute_vectors is None
    again = with_vectors(space, VECTORS)
    np.testing.assert_array_equal(primitives(again).object_vectors[0], VECTORS[primitives(again).objects[0]])


def test_a_word_that_is_attribute_and_object_keeps_both_places_in_the_open_world():
    pairs = [("orange", "orange"), ("red", "orange"), ("orange", "car")]
    vectors = {"orange": np.array([1.0, 2]), "red": np.array([3.0, 4]), "car": np.array([5.0, 6])}
    space = open_world(compositions(pairs, vectors=vectors))
    assert space.names == ("orange orange", "red orange", "orange car", "red car")
    assert space.embeddings[3].tolist() == [3, 4, 5, 6]
