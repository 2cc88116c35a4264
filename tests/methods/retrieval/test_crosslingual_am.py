"""Cross-lingual argument mining: the analytic checks of projection and post-processing, and the tagger."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.tagged import runs_of
from unseen.data.tasks.base import objects
from unseen.methods.retrieval.crosslingual_am import CrossLingualAM, postprocess, project, projected
from unseen.methods.retrieval.crosslingual_am.projection import bridged, confidence_of, parts_phrases
from unseen.methods.span_taggers import Backwards
from unseen.nn.word_alignment import IBM1, Alignment

GOLDEN = ["O", "O", "B-Claim", *["I-Claim"] * 5, "O"]
LINKS = {0: [0], 1: [0], 2: [1], 3: [2], 4: [3], 5: [4], 6: [5], 7: [6], 8: [7]}
CLAIM = ["O", "B-Claim", *["I-Claim"] * 5, "O"]
MET = {0: [0], 1: [1], 2: [4], 3: [3], 4: [5]}


def tags(*spans: tuple[str, int]) -> list[str]:
    """Tags of spans with their lengths; a span called O is none."""
    out: list[str] = []
    for name, n in spans:
        out += ["O"] * n if name == "O" else [f"B-{name}", *[f"I-{name}"] * (n - 1)]
    return out


# -- steps 9 to 12 -----------------------------------------------------------------------------------------


def test_the_golden_example_is_projected() -> None:
    assert project(GOLDEN, LINKS, 8) == CLAIM


def test_with_few_links_the_gap_is_filled() -> None:
    assert project(GOLDEN, {2: [1], 4: [3], 7: [6]}, 8) == CLAIM


def test_where_nothing_is_aligned_all_is_outside_and_the_span_is_dropped() -> None:
    found = projected(GOLDEN, {}, 8)
    assert list(found.tags) == ["O"] * 8
    assert (found.counts["dropped"], found.counts["unaligned"], found.lost) == (1, 6, (0,))


def test_two_premises_that_meet_become_one() -> None:
    found = projected(tags(("Premise", 3), ("Premise", 3)), MET, 8, rules=False)
    assert list(found.tags) == tags(("Premise", 6), ("O", 2))
    assert found.counts["merged"] == 1
    assert found.spans[0].sources == (0, 1)


def test_of_a_claim_and_a_premise_that_meet_the_longer_stays() -> None:
    found = projected(tags(("Claim", 3), ("Premise", 3)), MET, 8)
    assert list(found.tags) == tags(("Claim", 5), ("O", 3))
    assert (found.counts["deleted"], found.lost) == (1, (1,))


def test_of_two_that_are_as_long_the_earlier_is_deleted() -> None:
    found = project(tags(("Claim", 2), ("Premise", 2)), {0: [0], 1: [2], 2: [2], 3: [4]}, 5)
    assert found == tags(("O", 2), ("Premise", 3))


def test_a_gap_is_filled_while_the_span_is_short_enough_and_the_largest_group_stays() -> None:
    assert bridged([0, 1, 5]) == [0, 1, 2, 3, 4, 5]
    assert bridged([0, 1, 5], reach=4) == [0, 1]
    assert bridged([0, 4], reach=3) == [0]  # the first of two that are as large


@st.composite
def tagged(draw: Any) -> list[str]:
    parts = draw(
        st.lists(st.tuples(st.sampled_from(["O", "Claim", "Premise"]), st.integers(1, 4)), min_size=1, max_size=5)
    )
    return tags(*parts)


@settings(deadline=None)  # a busy machine is no mistake
@given(tagged())
def test_an_identity_alignment_returns_the_tags_of_the_source(source: list[str]) -> None:
    assert project(source, {i: [i] for i in range(len(source))}, len(source)) == source


@settings(deadline=None)  # a busy machine is no mistake
@given(tagged(), st.data())
def test_lengths_stay_and_no_inside_tag_stands_without_a_beginning(source: list[str], data: st.DataObject) -> None:
    m = data.draw(st.integers(1, 12))
    words = st.lists(st.integers(0, m - 1), max_size=3, unique=True)
    links = data.draw(st.dictionaries(st.integers(0, len(source) - 1), words))
    for rules in (False, True):
        found = projected(source, links, m, rules=rules)
        assert len(found.tags) == m
        for before, tag in zip(("O", *found.tags), found.tags):
            assert not tag.startswith("I-") or before[1:] == tag[1:]
        assert all(0 <= span.confidence <= 1 for span in found.spans)
        assert [span.run for span in found.spans] == runs_of(found.tags)


def test_links_beyond_the_sentences_are_named() -> None:
    with pytest.raises(ValueError, match="alignment must link 9 words to 3; it links 2 to"):
        project(GOLDEN, {2: [3]}, 3)


# -- steps 13 and 14 ---------------------------------------------------------------------------------------


def test_a_sentence_that_is_one_span_has_a_translation_that_is_one() -> None:
    source = tags(("Claim", 4))
    assert postprocess(source, ["O", "B-Claim", "I-Claim", "O", "O"]) == tags(("Claim", 5))
    found = projected(source, {1: [2]}, 5)
    assert (found.counts["whole"], found.counts["corrected"], found.spans[0].confidence) == (1, 5, 1.0)


def test_what_the_rule_of_whole_sentences_saves_is_not_counted_as_lost() -> None:
    saved, lost = (projected(tags(("Claim", 4)), {}, 5, rules=rules) for rules in (True, False))
    assert (saved.counts["dropped"], saved.counts["lost"], saved.counts["saved"], saved.lost) == (0, 0, 1, ())
    assert (lost.counts["dropped"], lost.counts["lost"], lost.counts["saved"], lost.lost) == (1, 1, 0, (0,))


def test_a_sentence_of_nothing_but_spans_of_a_class_has_a_translation_that_begins_with_one() -> None:
    source = tags(("Claim", 3), ("Claim", 2))
    assert postprocess(source, ["O", "B-Claim", "I-Claim", "B-Claim"]) == tags(("Claim", 3), ("Claim", 1))
    assert postprocess(source, ["O", "O", "O", "B-Claim"])[:2] == ["B-Claim", "I-Claim"]


@settings(deadline=None)  # a busy machine is no mistake
@given(tagged(), tagged())
def test_post_processing_is_idempotent_and_keeps_lengths(source: list[str], target: list[str]) -> None:
    once = postprocess(source, target)
    assert postprocess(source, once) == once
    assert len(once) == len(target)


def test_post_processing_leaves_correct_projections_alone() -> None:
    for source in (tags(("O", 1), ("Claim", 3)), tags(("Claim", 4)), tags(("Claim", 4), ("Claim", 4)), GOLDEN):
        assert postprocess(source, source) == source


# -- confidence --------------------------------------------------------------------------------------------


def test_confidence_is_what_speaks_for_the_ends_of_a_span() -> None:
    run, source = runs_of(CLAIM)[0], runs_of(GOLDEN)
    full = Alignment({i: tuple(js) for i, js in LINKS.items()})
    assert confidence_of(run, source, full, 9, 8) == 1.0
    without_first = Alignment({i: js for i, js in full.links.items() if i != 2})
    # the first word has no link: one end of two, and three and a half of four sides
    assert confidence_of(run, source, without_first, 9, 8) == pytest.approx((1 / 2 + 3.5 / 4) / 2)
    foreign = Alignment({**full.links, 2: (), 1: (0, 1)})  # its first word belongs to one outside
    assert confidence_of(run, source, foreign, 9, 8) == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert confidence_of(run, source, Alignment({0: (0,)}), 9, 8) == 0.0


def test_confidence_asks_whether_a_span_follows_a_sign_as_its_source_does() -> None:
    run, source = runs_of(CLAIM)[0], runs_of(GOLDEN)
    full = Alignment({i: tuple(js) for i, js in LINKS.items()})
    here, there = parts_phrases(["we", ",", *"abcdefg"]), parts_phrases([",", *"abcdefg"])
    assert confidence_of(run, source, full, 9, 8, (here, there)) == 1.0
    assert confidence_of(run, source, full, 9, 8, (here, [False] * 8)) == pytest.approx(2 / 3)


def test_at_the_edges_of_sentences_no_link_is_needed() -> None:
    tagged = tags(("Claim", 3), ("O", 1))
    found = projected(tagged, {1: [1], 2: [2], 3: [3]}, 4)
    assert found.spans[0].run == runs_of(tags(("O", 1), ("Claim", 2), ("O", 1)))[0]
    assert found.spans[0].confidence < 1
    assert projected(tagged, {0: [0], 1: [1], 2: [2], 3: [3]}, 4).spans[0].confidence == 1.0


# -- the whole ---------------------------------------------------------------------------------------------


def corpus(n: int = 60, seed: int = 0) -> Domain:
    """Sentences of a few words in which what follows "because" is a Premise."""
    rng = np.random.default_rng(seed)
    nouns, verbs = ("dose", "drug", "group", "risk", "tumour"), ("falls", "rises", "helps", "fails")
    texts, rows = [], []
    for _ in range(n):
        left, right = (f"the {rng.choice(nouns)} {rng.choice(verbs)}" for _ in range(2))
        text = f"{left} because {right} ." if rng.random() < 0.7 else f"{left} ."
        at = text.find("because")
        texts.append(text)
        rows.append(np.array([[at, len(text) - 2, 0]] if at >= 0 else np.zeros((0, 3)), dtype=np.int64))
    return Domain(x=np.array(texts), y=objects(rows), kind="text", task="spans", name="sentences")


QUICK = {"iterations": 30, "least_count": 1}


def exact(method: CrossLingualAM, test: Domain) -> float:
    said = method.predict(test.x)
    return float(np.mean([a.tolist() == b.tolist() for a, b in zip(said, test.labels)]))


def test_a_tagger_of_translations_tags_a_language_that_zero_shot_does_not_know() -> None:
    pytest.importorskip("pycrfsuite")
    source, test = corpus(), corpus(30, seed=1)
    foreign = Backwards().translate(test.x.tolist())
    rows = objects(
        np.array([[text.find("esuaceb"), len(text) - 2, 0]] if "esuaceb" in text else np.zeros((0, 3)), dtype=np.int64)
        for text in foreign
    )
    asked = test.replace(x=np.array(foreign), y=rows)
    translated = CrossLingualAM(**QUICK).fit(source=source, translator=Backwards())
    blind = CrossLingualAM(**QUICK).fit(source=source)
    assert exact(blind, test) > 0.9
    assert exact(translated, asked) > 0.9
    assert exact(blind, asked) < 0.6
    assert translated.counts_["sentences"] == 60
    assert blind.counts_ == {}


def test_pairs_are_used_first_and_the_translator_for_the_rest() -> None:
    source = corpus(12)
    left = source.x[:1]
    pairs = Pairs(Domain(x=left, kind="text"), Domain(x=np.array(["uno dos ."]), kind="text"))
    carried, counts = CrossLingualAM().carry(source, pairs, Backwards(), IBM1(iterations=2))
    assert counts["untranslated"] == 0
    assert {one.translation for one in carried if one.text == left[0]} == {"uno dos ."}
    _, alone = CrossLingualAM().carry(source, pairs, None, IBM1(iterations=2))
    assert alone["untranslated"] == 12 - sum(text == left[0] for text in source.x)


def test_pairs_of_a_repeated_sentence_are_taken_by_their_places() -> None:
    one = corpus(1)
    source = Domain(x=np.repeat(one.x, 3), y=objects([one.labels[0]] * 3), kind="text", task="spans")
    pairs = Pairs(Domain(x=source.x, kind="text"), Domain(x=np.array(["uno .", "", "tres ."]), kind="text"))
    carried, counts = CrossLingualAM().carry(source, pairs, None, IBM1(iterations=2))
    assert [(one.at, one.translation) for one in carried] == [(0, "uno ."), (2, "tres .")]
    assert counts["untranslated"] == 1


def test_unsure_translations_are_not_learnt_from() -> None:
    pytest.importorskip("pycrfsuite")
    with pytest.raises(ValueError, match="source: no span is left"):
        CrossLingualAM(**QUICK, least_confidence=1.0).fit(source=corpus(10), translator=Backwards(), aligner=Blind())


class Blind:
    """An aligner that links nothing."""

    name = "blind"

    def fit(self, source: Any, target: Any) -> Blind:
        return self

    def align(self, source: Any, target: Any) -> list[Alignment]:
        return [Alignment({}) for _ in source]


def test_no_translation_of_any_sentence_is_named() -> None:
    pairs = Pairs(Domain(x=np.array(["other"]), kind="text"), Domain(x=np.array(["otro"]), kind="text"))
    with pytest.raises(ValueError, match="pairs must hold a translation of one sentence of source at least"):
        CrossLingualAM().carry(corpus(5), pairs)


@pytest.mark.parametrize("word", ["translator", "aligner", "model"])
def test_parts_of_another_type_are_named(word: str) -> None:
    with pytest.raises(TypeError, match=word):
        CrossLingualAM().fit(source=corpus(5), **{word: object()})


def test_units_say_what_a_projected_span_ends_with() -> None:
    source = Domain(
        x=np.array(["we know that it falls , yes"]), y=objects([np.array([[8, 21, 0]])]), kind="text", task="spans"
    )
    pairs = Pairs(source.replace(y=None), Domain(x=np.array(["sabemos que ello cae, si"]), kind="text"))
    ends = {}
    for units in ("pieces", "words"):
        carried, _ = CrossLingualAM(units=units).carry(source, pairs, None, Straight())
        ends[units] = [carried[0].translation[a:b] for a, b, _ in carried[0].rows.tolist()]
    assert ends == {"pieces": ["que ello cae"], "words": ["que ello cae,"]}


class Straight(Blind):
    """Links "that it falls" with what it is."""

    def align(self, source: Any, target: Any) -> list[Alignment]:
        return [Alignment({2: (1,), 3: (2,), 4: (3,)}) for _ in source]


def test_both_languages_are_learnt_from_if_asked() -> None:
    pytest.importorskip("pycrfsuite")
    source = corpus()
    both = CrossLingualAM(**QUICK, learn_from="both").fit(source=source, translator=Backwards())
    assert exact(both, corpus(30, seed=1)) > 0.9


def test_a_network_on_letters_learns_too() -> None:
    source = corpus(80)
    method = CrossLingualAM(engine="gru", epochs=12, batch_size=8, learning_rate=1e-2, hidden=16, dropout=0.0)
    assert exact(method.fit(source=source), corpus(30, seed=1)) > 0.8


def test_a_text_without_a_word_has_no_span_and_confidences_are_told() -> None:
    pytest.importorskip("pycrfsuite")
    method = CrossLingualAM(**QUICK).fit(source=corpus())
    empty, full = method.mark(["", "the dose falls because the drug helps ."])
    assert empty == []
    assert [(one.start, one.stop) for one in full] == [(15, 37)]
    assert all(0.5 < one.confidence <= 1 for one in full)


def test_a_longer_text_than_any_learnt_is_tagged_whole() -> None:
    pytest.importorskip("pycrfsuite")
    method = CrossLingualAM(**QUICK).fit(source=corpus())
    text = "the dose falls because " + " ".join(itertools.repeat("the drug helps", 400)) + " ."
    assert method.predict([text])[0].max() <= len(text)
