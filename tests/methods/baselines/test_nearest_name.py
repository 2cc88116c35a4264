"""Nodes by their most similar name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unseen.data.domain import Domain
from unseen.data.taxonomies import Taxonomy, build, hold_out
from unseen.data.words import WordVectors
from unseen.methods import NearestName

TEXTS = {
    "heart": ("heart", "cardiac organ"),
    "valve": ("valve of the heart",),
    "lung": ("lung", "pulmonary organ"),
    "body": ("body",),
}


@pytest.fixture
def tree() -> Taxonomy:
    above = {"heart": ["body"], "valve": ["heart"], "lung": ["body"], "body": []}
    phrases = [(i, text) for i, texts in enumerate(TEXTS.values()) for text in texts]
    return build(list(TEXTS), list(above.values()), list(TEXTS), phrases, name="organs")


@pytest.fixture
def words() -> WordVectors:
    known = ("heart", "cardiac", "organ", "valve", "lung", "pulmonary", "body", "of", "the")
    table = np.random.default_rng(0).normal(size=(len(known), 16)).astype(np.float32)
    table[1] = table[0]  # cardiac means heart
    return WordVectors(known, table)


@pytest.fixture
def fitted(tree: Taxonomy, words: WordVectors) -> NearestName:
    return NearestName().fit(source=tree.phrases, classes=tree.classes, encoder=words)


def test_a_name_itself_scores_1_and_finds_its_node(fitted: NearestName, tree: Taxonomy) -> None:
    ranked = fitted.rank(tree.phrases.x, 1)
    assert ranked.nodes[:, 0].tolist() == tree.phrases.labels.tolist()
    assert np.allclose(ranked.scores, 1, atol=1e-6)


def test_words_of_one_meaning_are_found_by_vectors_and_abbreviations_by_letters(
    fitted: NearestName, tree: Taxonomy, words: WordVectors
) -> None:
    assert tree.classes.names[fitted.predict(["cardiac"])[0]] == "heart"  # by a vector and by a synonym
    assert tree.classes.names[fitted.predict(["valv o hrt"])[0]] == "valve"  # no word of it is known
    bare = NearestName(letters=0.0).fit(source=tree.phrases, classes=tree.classes, encoder=words)
    assert bare.predict(["valv o hrt"]).tolist() == [-1]
    assert tree.classes.names[bare.predict(["the cardiac valve"])[0]] == "valve"


def test_of_a_phrase_without_a_known_word_or_trigram_nothing_is_said(fitted: NearestName) -> None:
    assert fitted.rank(["", "42", "heart"], 2).nodes[:, 0].tolist()[:2] == [-1, -1]


def test_a_node_without_a_name_is_never_found(tree: Taxonomy, words: WordVectors) -> None:
    held = np.array([tree.classes.index("lung")])
    source, _ = hold_out(tree.phrases, held)
    method = NearestName().fit(source=source, classes=tree.classes, encoder=words)
    assert method.rank(["lung"], 4).nodes[0, -1] == -1
    assert held[0] not in method.rank(["lung"], 4).nodes
    assert method.decision_function(["lung"])[0, held[0]] == -1


def test_restricting_candidates_only_ranks_anew(fitted: NearestName) -> None:
    every = fitted.rank(["the heart"], 4)
    some = fitted.rank(["the heart"], 4, within=[1, 2])
    kept = np.isin(every.nodes[0], [1, 2])
    assert some.nodes[0].tolist() == every.nodes[0][kept].tolist()
    assert some.scores[0].tolist() == every.scores[0][kept].tolist()
    with pytest.raises(ValueError, match=r"within must hold nodes in \[0, 4\)"):
        fitted.rank(["heart"], 1, within=[4])


def test_a_second_fit_forgets_the_first_and_a_saved_method_says_the_same(
    fitted: NearestName, tree: Taxonomy, words: WordVectors, tmp_path: Path
) -> None:
    asked = ["valv o hrt", "pulmonary", "the body"]
    fitted.rank(asked, 2)
    other = tree.phrases.replace(x=tree.phrases.x[::-1].copy())
    again = NearestName().fit(source=other, classes=tree.classes, encoder=words).rank(asked, 2)
    fitted.fit(source=other, classes=tree.classes, encoder=words)
    assert fitted.rank(asked, 2).nodes.tolist() == again.nodes.tolist()
    fitted.save(tmp_path / "m")
    loaded = NearestName.load(tmp_path / "m").rank(asked, 2)
    assert loaded.nodes.tolist() == again.nodes.tolist()
    assert np.array_equal(loaded.scores, again.scores)


def test_more_phrases_than_fit_at_once_keep_their_order(fitted: NearestName, tree: Taxonomy) -> None:
    asked = np.tile(tree.phrases.x, 60)
    assert fitted.predict(asked).tolist() == np.tile(tree.phrases.labels, 60).tolist()


def test_a_source_that_says_nothing_is_refused(tree: Taxonomy, words: WordVectors) -> None:
    empty = Domain(x=np.array(["", " "]), y=np.array([0, 1]), kind="text", classes=tree.classes)
    with pytest.raises(ValueError, match="source must hold phrases with their nodes"):
        NearestName().fit(source=empty, classes=tree.classes, encoder=words)
