"""The concept index: counts against brute force, invariances, joint counts, misalignment, and the fast counter."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.methods.curation.concept_frequency import (
    ConceptIndex,
    TagTable,
    count_concepts,
    joint_counts,
    lemmas_of,
    lemmatizer,
    long_tail_report,
    misaligned_samples,
    misalignment,
    nouns,
)
from unseen.methods.curation.concept_frequency.lemmas import visible_nouns, words

WORDS = ("dog", "dogs", "Dog", "cat", "cats", "box", "boxes", "hot", "t-shirt", "women's", "città", "kite", "bird", "a")
CONCEPTS = (
    "dog",
    "hot_dog",
    "hot dogs",
    "cat",
    "BOX",
    "t-shirt",
    "woman",
    "kite (bird of prey)",
    "città",
    "zebra",
    "dog cat",
)
CAPTIONS = st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join) | st.none(), max_size=30)


def brute(captions: list[str | None], concept: str, lemmas: str = "rules") -> list[int]:
    """The rule of the spec, caption by caption, with a naive tokenizer."""
    lemma = lemmatizer(lemmas)

    def naive(text: str) -> set[str]:
        pieces = re.sub(r"['’]s\b", "", text.lower())
        return {lemma(word) for word in re.findall(r"[a-zàèéìòù0-9]+", pieces)}

    held = [naive(text or "") for text in captions]
    every = set().union(*held) if held else set()
    wanted = naive(concept.replace("_", " ")) & every
    return [i for i, own in enumerate(held) if wanted and wanted <= own]


@settings(max_examples=60, deadline=None)
@given(CAPTIONS, st.integers(1, 9))
def test_counts_equal_brute_force_whatever_the_chunks(captions: list[str | None], chunk: int) -> None:
    whole = ConceptIndex.from_captions(captions)
    assert whole == ConceptIndex.from_captions(iter(captions), chunk=chunk, phrases=False)
    fast = count_concepts(captions, CONCEPTS, chunk=chunk)
    for concept, count in zip(CONCEPTS, fast.counts):
        expected = brute(captions, concept)
        assert whole.ids(concept).tolist() == expected
        assert count == len(expected)
    few = ConceptIndex.from_captions(captions, concepts=CONCEPTS, chunk=chunk)
    np.testing.assert_array_equal(few.counts(CONCEPTS), fast.counts)


@settings(max_examples=40, deadline=None)
@given(CAPTIONS, CAPTIONS)
def test_parts_of_a_corpus_add_up(first: list[str | None], second: list[str | None]) -> None:
    both = first + second
    added = count_concepts(first, CONCEPTS) + count_concepts(second, CONCEPTS)
    assert added.n == len(both)
    np.testing.assert_array_equal(added.counts, count_concepts(both, CONCEPTS).counts)
    merged = ConceptIndex.from_captions(first, phrases=True).merged(ConceptIndex.from_captions(second, phrases=True))
    assert merged == ConceptIndex.from_captions(both, phrases=True)


@settings(max_examples=40, deadline=None)
@given(CAPTIONS, st.integers(1, 7), st.booleans())
def test_phrases_are_words_in_their_order(captions: list[str | None], chunk: int, restricted: bool) -> None:
    index = ConceptIndex.from_captions(captions, phrases=True, chunk=chunk, concepts=CONCEPTS if restricted else None)
    for concept in CONCEPTS:
        own = lemmas_of(concept)
        rows = [lemmas_of(text or "") for text in captions]
        expected = [i for i, row in enumerate(rows) if any(row[k : k + len(own)] == own for k in range(len(row)))]
        assert index.ids(concept, "phrase").tolist() == expected
        assert index.count(concept, "phrase") <= index.count(concept) or not set(own) <= set(index.lexicon)


def test_a_word_that_the_corpus_lacks_is_left_out_of_the_search() -> None:
    index = ConceptIndex.from_captions(["a kite in the sky", "a bird", "a kite and a bird"])
    assert index.ids("kite (bird of prey)").tolist() == [2]
    assert index.ids("kite (milvus)").tolist() == [0, 2]
    assert index.count("milvus") == 0
    assert count_concepts(["a kite", "nothing", "milvus"], ["kite (milvus)"], chunk=1).counts.tolist() == [0]
    assert count_concepts(["a kite", "nothing", "more"], ["kite (milvus)"], chunk=1).counts.tolist() == [1]


def test_case_plural_underscore_hyphen_and_space_do_not_matter() -> None:
    index = ConceptIndex.from_captions(["Two POLAR BEARS on ice", "a polar-bear", "bears", "the polar bear's cub"])
    ways = ("polar bear", "Polar_Bears", "POLAR BEAR", "polar-bear", "polar  bears")
    assert {tuple(index.ids(way).tolist()) for way in ways} == {(0, 1, 3)}


@pytest.mark.parametrize(
    ("plural", "lemma"),
    [
        ("dogs", "dog"), ("boxes", "box"), ("churches", "church"), ("ladies", "lady"), ("pies", "pie"),
        ("men", "man"), ("wolves", "wolf"), ("glass", "glass"), ("bus", "bus"), ("buses", "bus"),
        ("tomatoes", "tomato"), ("gas", "gas"), ("iris", "iris"), ("children", "child"), ("horses", "horse"),
        ("houses", "house"), ("leaves", "leaf"), ("is", "is"), ("okapis", "okapi"), ("menus", "menu"),
    ],
)  # fmt: skip
def test_singulars(plural: str, lemma: str) -> None:
    assert lemmatizer("rules")(plural) == lemma


def test_other_lemmatisers() -> None:
    pytest.importorskip("simplemma")
    captions = ["They ate two apples", "he eats an apple"]
    assert ConceptIndex.from_captions(captions, lemmas="simplemma").count("eat apple") == 2
    assert ConceptIndex.from_captions(captions, lemmas="none").count("apple") == 1
    with pytest.raises(ValueError, match="lemmas must be one of"):
        lemmatizer("stems")


def test_two_processes_give_the_same_index_and_counts() -> None:
    captions = pa.array([f"dog {i % 7} cats {i % 3} in box{i % 5}" for i in range(5000)])
    one = ConceptIndex.from_captions(captions, chunk=600, phrases=True)
    assert one == ConceptIndex.from_captions(captions, chunk=700, phrases=True, processes=2)
    concepts = ["dog 3", "cat 2", "box4 dog"]
    counts = count_concepts(captions, concepts, chunk=600, processes=2).counts
    np.testing.assert_array_equal(counts, one.counts(concepts))


def test_frequent_and_rare_words_are_counted_alike() -> None:
    rng = np.random.default_rng(0)
    p = 0.5 ** np.arange(12)
    texts = [" ".join(f"w{k}" for k in np.flatnonzero(row)) for row in rng.random((20_000, 12)) < p]
    concepts = [f"w{a} w{b}" for a in range(12) for b in range(a, 12)] + ["w0 w1 w2", "w0 w6 w9"]
    counted = count_concepts(texts, concepts).counts
    naive = Counter(c for text in map(str.split, texts) for c in concepts if set(c.split()) <= set(text))
    assert counted.tolist() == [naive[c] for c in concepts]


def test_joint_counts_are_at_most_either_side_and_fall_with_the_threshold() -> None:
    rng = np.random.default_rng(1)
    concepts = ["dog", "cat", "hot dog"]
    texts = [" ".join(rng.choice(["dog", "cats", "hot", "box"], 3)) for _ in range(200)]
    text = ConceptIndex.from_captions(texts)
    table = TagTable.from_probabilities(rng.random((200, 3)), concepts, floor=0.2)
    before = None
    for threshold in (0.5, 0.6, 0.7, 1.0):
        image = table.at(threshold)
        joint = joint_counts(text, image, concepts)
        assert (joint <= np.minimum(text.counts(concepts), image.counts(concepts))).all()
        if before is not None:
            assert (image.counts(concepts) <= before).all()
        before = image.counts(concepts)
    assert text.count("hot dog") <= min(text.count("hot"), text.count("dog"))
    with pytest.raises(ValueError, match="threshold must lie"):
        table.at(0.1)
    with pytest.raises(ValueError, match="same samples"):
        joint_counts(text, ConceptIndex.from_tags([["dog"]]), concepts)


def test_tags_joined_of_parts_are_those_of_the_whole() -> None:
    table = np.random.default_rng(2).random((50, 4))
    names = ["a", "b", "c d", "c_d"]
    parts = [TagTable.from_probabilities(table[i : i + 13], names) for i in range(0, 50, 13)]
    whole = TagTable.from_probabilities(table, names)
    assert TagTable.joined(parts).at(0.5) == whole.at(0.5)
    np.testing.assert_array_equal(whole.at(0.5).ids("c d"), np.flatnonzero((table[:, 2:] >= 0.5).any(axis=1)))


def test_misalignment_is_0_where_tags_are_the_captions_concepts_and_1_where_they_never_are() -> None:
    captions = ["a dog", "two cats", "dog and cat", "nothing here", "a dog"]
    text = ConceptIndex.from_captions(captions)
    concepts = ["dog", "cat", "car"]
    same = ConceptIndex.from_tags([["dog"], ["cat"], ["cat"], [], ["dog"]])
    assert (misalignment(text, same, concepts).disjoint, misalignment(text, same, concepts).degree()) == (0, 0.0)
    other = ConceptIndex.from_tags([["cat"], ["dog"], ["car"], ["car"], []])
    found = misalignment(text, other, concepts)
    assert (found.disjoint, found.both, found.n) == (3, 3, 5)  # samples without a concept on a side are in no numerator
    assert found.degree_of_both == 1
    assert found.degree() == 3 / 5
    assert found.degree(10) == 3 / 10
    assert misaligned_samples(text, other, concepts).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="nominal size"):
        found.degree(4)


def test_long_tail_of_known_counts() -> None:
    found = long_tail_report(np.array([0, 0, 1, 90, 9]), 1000, threshold=0.005)
    assert (found.zero, found.negligible, found.head) == (0.4, 0.6, 0.9)
    np.testing.assert_allclose(found.curve, [1, 0.1, 1 / 90, 0, 0])
    assert long_tail_report(np.full(4, 3), 10).gini == pytest.approx(0)
    assert long_tail_report(np.array([7, 0, 0, 0]), 10).gini == pytest.approx(0.75)
    with pytest.raises(ValueError, match="counts must be"):
        long_tail_report(np.array([11]), 10)


@pytest.mark.parametrize("phrases", [False, True])
def test_an_index_is_saved_and_loaded(tmp_path: Path, phrases: bool) -> None:
    index = ConceptIndex.from_captions(["a dog", None, "città dogs", ""], phrases=phrases)
    index.save(tmp_path / "index")
    index.save(tmp_path / "index")
    assert ConceptIndex.load(tmp_path / "index") == index
    tags = ConceptIndex.from_tags([["hot_dog"], [], ["Hot dogs", "x"]])
    tags.save(tmp_path / "tags")
    assert ConceptIndex.load(tmp_path / "tags").ids("hot dog").tolist() == [0, 2]
    with pytest.raises(ValueError, match="no index"):
        ConceptIndex.load(tmp_path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="holds something else"):
        index.save(tmp_path / "mine")
    (tmp_path / "index" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds something else"):
        index.save(tmp_path / "index")
    assert (tmp_path / "index" / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "mine", "tags"]


def test_a_failed_write_leaves_the_old_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = ConceptIndex.from_captions(["a dog"])
    old.save(tmp_path / "index")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if ".partial-" in self.name:
            raise OSError("no room")
        return rename(self, target)

    monkeypatch.setattr("unseen.files.exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no room"):
        ConceptIndex.from_captions(["a cat"]).save(tmp_path / "index")
    assert ConceptIndex.load(tmp_path / "index") == old
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_an_index_for_some_concepts_says_nothing_of_others(tmp_path: Path) -> None:
    few = ConceptIndex.from_captions(["a hot dog", "a dog", "hot"], concepts=["hot dog", "zebra"])
    assert few.counts(["dog", "hot dog", "zebra"]).tolist() == [2, 1, 0]
    few.save(tmp_path / "few")
    whole = ConceptIndex.from_captions(["a hot dog", "a dog", "hot"])
    for index in (few, ConceptIndex.load(tmp_path / "few"), few.merged(few)):
        with pytest.raises(ValueError, match="did not look for 'cat' of 'cat'"):
            index.count("cat")
        with pytest.raises(ValueError, match="made for other concepts"):
            index.count("cat dog", "phrase")
    with pytest.raises(ValueError, match="same concepts"):
        few.merged(whole)


def test_a_tag_that_is_told_twice_counts_once() -> None:
    rows, columns = np.array([1, 1, 0]), np.array([0, 0, 0])
    table = TagTable(("dog",), 2, rows, columns, np.array([0.9, 0.8, 0.9], np.float32))
    assert table.at(0.5).ids("dog").tolist() == [0, 1]
    assert joint_counts(ConceptIndex.from_captions(["dog", "dog"]), table.at(0.5), ["dog"]).tolist() == [2]


def test_misalignment_by_phrases() -> None:
    text = ConceptIndex.from_captions(["a hot summer with a dog", "a hot dog"], phrases=True)
    image = ConceptIndex.from_tags([["cat"], ["cat"]])
    concepts = ["hot dog", "cat"]
    assert misalignment(text, image, concepts).disjoint == 2
    assert misalignment(text, image, concepts, "phrase").disjoint == 1
    assert misaligned_samples(text, image, concepts, "phrase").tolist() == [1]


def test_odd_texts_are_read() -> None:
    texts = ["", None, "   ", "\x00\x07dog\tcat\ncat", "dog" * 100_000, "מים dogs 犬", "!!! ... ---"]
    index = ConceptIndex.from_captions(texts)
    assert index.ids("dog").tolist() == [3, 5]
    assert index.ids("cat").tolist() == [3]
    assert index.n == 7
    empty = ConceptIndex.from_captions([], phrases=True)
    assert (empty.n, empty.count("dog"), empty.count("dog", "phrase")) == (0, 0, 0)
    for wrong, message in ((pa.array([1]), "column of int64"), ("text", "many texts")):
        with pytest.raises(TypeError, match=message):
            ConceptIndex.from_captions(wrong)
    with pytest.raises(ValueError, match="no order of words"):
        index.count("dog", "phrase")
    with pytest.raises(TypeError, match="tags must be a set"):
        ConceptIndex.from_tags(["dog"])


def test_nouns_of_captions() -> None:
    assert nouns(["A dog runs with two cats"], ["dog", "cat"]) == [("dog", "cat")]
    assert nouns(["The zebras ate quickly near a guitar"]) == [("zebra", "guitar")]


def test_counts_equal_a_regular_expression_on_glosses() -> None:
    """Offline B: 5,000 descriptions of synsets, as timm ships them, single words without plural rules."""
    from timm.data import ImageNetInfo

    texts = [text.lower() for text in ImageNetInfo("imagenet21k").label_descriptions(detailed=True)[:5000]]
    concepts = ["tree", "fish", "small", "north", "used", "flower", "engine", "bird"]
    counted = count_concepts(texts, concepts, lemmas="none").counts
    naive = [
        sum(bool(re.search(rf"(?<![^\W_]){c}(?:['’]s)?(?![^\W_])(?!['’]\w\w)", text)) for text in texts)
        for c in concepts
    ]
    assert counted.tolist() == naive
    assert min(naive) > 0


def plural(noun: str) -> str:
    """By the rules of spelling."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "z", "ch", "sh")) else "s")


def test_plurals_of_visible_nouns_come_back() -> None:
    every = sorted(visible_nouns())
    usual = [noun for noun in every if not noun.endswith(("us", "is", "i", "u"))]  # mostly Latin names of species
    lemma = lemmatizer("rules")
    assert np.mean([lemma(plural(noun)) == noun for noun in usual]) > 0.985
    assert np.mean([lemma(plural(noun)) == noun for noun in every]) > 0.94
    assert np.mean([lemma(noun) == noun for noun in every]) > 0.995
    for noun in ("shoe", "movie", "cactus", "corgi", "bureau", "headache", "house", "pickaxe", "mousse", "rhinoceros"):
        assert lemma(plural(noun)) == noun
        assert lemma(noun) == noun


def test_combining_marks_belong_to_their_word() -> None:
    assert words("हिन्दी शब्द") == ["हिन्दी", "शब्द"]
    assert words("שָׁלוֹם cafe\u0301s") == ["שָׁלוֹם", "cafés"]
    assert ConceptIndex.from_captions(["एक किताब", "किताबें"]).ids("किताब").tolist() == [0]
    assert words("犬と猫") == ["犬と猫"]  # not segmented, as the docs say
