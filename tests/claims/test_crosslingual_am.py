"""The world of the claim: a small corpus in the user's folder, arms that differ in one thing, cases that are apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from unseen.claims import crosslingual_am
from unseen.claims.crosslingual_am import (
    Letters,
    NoLinks,
    Position,
    WholeSentences,
    alike,
    claim,
    confidence,
    exam_of,
    graded,
    none,
    pairs_of,
    rows_at,
    twice,
)
from unseen.data.domain import Domain
from unseen.data.sources import abstrct as source
from unseen.data.sources.abstrct import abstrct, marks, translated
from unseen.data.sources.downloads import SourceUnavailable
from unseen.methods.retrieval.crosslingual_am import CrossLingualAM

CACHES = ("learnt_pairs", "aligners", "learnt_aligner", "tagger")


def written(folder: Path, language: str, topic: str, part: str, n: int) -> None:
    """Sentences of which every third is whole a Claim, every third ends with a Premise."""
    words = {
        "en": ("the", "dose", "helps", "because", "risk", "falls"),
        "es": ("la", "dosis", "ayuda", "porque", "riesgo", "cae"),
    }
    the, dose, helps, because, risk, falls = words.get(language, words["es"])
    rng = np.random.default_rng(n)
    out = []
    for i in range(n):
        more = [f"{w}{rng.integers(3)}" for w in (dose, helps)]
        sentence = [the, *more, because, risk, falls, "."]
        tags = {
            0: ["B-Claim", *["I-Claim"] * 6],
            1: ["O"] * 3 + ["B-Premise", "I-Premise", "I-Premise", "O"],
            2: ["O"] * 7,
        }[i % 3]
        if i % 3 != 1:
            sentence[3] = {0: helps, 2: dose}[i % 3]
        out.append("\n".join(f"{word} {tag}" for word, tag in zip(sentence, tags)))
    file = folder / source._FOLDERS[language].format(topic=topic, part=part)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n\n".join(out) + "\n")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A corpus of this test's own."""
    for language in ("en", "es"):
        for part, n in (("train", 60), ("dev", 12), ("test", 15)):
            written(tmp_path / "abstrct", language, "neoplasm", part, n)
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path))
    for name in CACHES:
        getattr(crosslingual_am, name).cache_clear()
    yield tmp_path / "abstrct"
    for name in CACHES:
        getattr(crosslingual_am, name).cache_clear()


def test_every_experiment_gives_what_its_rows_ask_for(data: Path) -> None:
    pytest.importorskip("pycrfsuite")
    tables = {
        "projection": crosslingual_am.projection("es neoplasm test", 0),
        "tagging": crosslingual_am.tagging("es neoplasm test", 0),
        "english": crosslingual_am.english("en neoplasm dev", 0),
    }
    for assertion in claim.ledger:
        if assertion.holds is not None:
            table = tables[assertion.experiment]
            for arm in assertion.holds.arms:
                assert arm in table
                assert assertion.holds.metric in table[arm]
    for table in tables.values():
        assert table["nothing"]["span f1"] == 0.0
    assert tables["projection"]["full"]["span f1"] > tables["projection"]["nothing"]["span f1"]
    assert {"whole sentences", "whole zero-shot"} <= set(tables["tagging"])
    assert {"letters", "whole rule alone"} <= set(tables["projection"])
    assert "english twice" in tables["english"]
    assert {"token accuracy", "token macro with o", "token f1 claim", "token f1 premise"} <= set(table["nothing"])


def test_arms_differ_in_what_they_say_and_in_nothing_else(data: Path) -> None:
    pytest.importorskip("pycrfsuite")
    made = {arm: crosslingual_am.tagger("es", arm) for arm in ("translate-train", "plain", "both", "gold", "position")}
    full = made["translate-train"].get_params()
    changed = {arm: {k: v for k, v in one.get_params().items() if v != full[k]} for arm, one in made.items()}
    assert changed == {
        "translate-train": {},
        "plain": {"sentence": False},
        "both": {"learn_from": "both"},
        "gold": {},
        "position": {},
    }
    assert made["gold"].counts_ == {}
    assert crosslingual_am.tagger("es", "plain") is made["plain"]


def test_no_annotation_of_the_language_reaches_an_arm_but_gold(data: Path) -> None:
    pytest.importorskip("pycrfsuite")
    before = crosslingual_am.tagger("es", "translate-train").weights_
    file = data / source._FOLDERS["es"].format(topic="neoplasm", part="train")
    file.write_text(
        file.read_text().replace("Claim", "Premise").replace("B-Premise", "O", 3).replace("I-Premise", "B-Premise", 5)
    )
    for name in CACHES:
        getattr(crosslingual_am, name).cache_clear()
    assert np.array_equal(crosslingual_am.tagger("es", "translate-train").weights_, before)


def test_cases_to_confirm_are_of_other_languages_or_diseases() -> None:
    for experiment in claim.experiments.values():
        assert not set(experiment.development) & set(experiment.confirmation)
    fresh = claim.experiments["projection"].confirmation
    assert len(fresh) == 8
    assert not any(case.startswith("es neoplasm") for case in fresh)
    assert all(case.split()[1] == "neoplasm" for case in claim.experiments["english"].development)
    assert all(case.split()[1] != "neoplasm" for case in claim.experiments["english"].confirmation)


def test_words_at_the_same_share_belong_together() -> None:
    found = Position().fit([], []).align([["a", "b"], []], [["x", "y", "z", "w"], ["x"]])
    assert found[0].links == {0: (0, 1), 1: (2, 3)}
    assert found[1].links == {}


def test_words_of_the_same_letters_belong_together_and_nothing_else_does() -> None:
    assert alike(["Dose"], ["dose"])[0, 0] == pytest.approx(1.0)
    assert alike(["dose"], ["risk"])[0, 0] == 0.0
    found = Letters().fit([], []).align([["the", "tumour", "grows"], []], [["tumor", "crece"], ["x"]])
    assert [one.links for one in found] == [{1: (0,)}, {}]
    assert [one.links for one in NoLinks().align([["a"]], [["a"]])] == [{}]


def test_a_classifier_of_sentences_says_whole_sentences_or_nothing() -> None:
    texts = ["the dose helps us", "a plain day", "risk because falls"] * 5
    rows = [np.array([[0, 17, 0]]), np.zeros((0, 3), dtype=np.int64), np.array([[0, 4, 0], [5, 18, 1]])] * 5
    said = WholeSentences().fit(texts, rows).predict(Domain(x=np.array([*texts[:3], ""]), kind="text"))
    assert [own.tolist() for own in said] == [[[0, 17, 0]], [], [[0, 18, 1]], said[3].tolist()]
    assert said[3].shape == (0, 3)


def test_sentences_of_mixed_diseases_that_stand_elsewhere_are_no_exam(data: Path) -> None:
    for language in ("en", "es"):
        written(data, language, "glaucoma", "test", 9)
        written(data, language, "mixed", "test", 4)
        file = data / source._FOLDERS[language].format(topic="mixed", part="test")
        other = data / source._FOLDERS[language].format(topic="glaucoma", part="test")
        new = [f"new{i}" + block[block.index(" ") :] for i, block in enumerate(file.read_text().split("\n\n"))]
        file.write_text("\n\n".join([*new, other.read_text().split("\n\n")[2].upper()]) + "\n")
    assert len(abstrct("es", "mixed", "test")) == 5
    for case in ("es mixed test", "en mixed test"):
        assert [text.split()[0] for text in exam_of(case).x.tolist()] == ["new0", "new1", "new2", "new3"]
    assert len(pairs_of("es mixed test")) == 4
    assert len(exam_of("es glaucoma test")) == len(pairs_of("es glaucoma test")) == 9


def test_english_twice_has_nothing_new(data: Path) -> None:
    once = abstrct("en")
    both = twice(once)
    assert len(both) == 2 * len(once)
    assert set(both.x.tolist()) == set(once.x.tolist())
    assert [own.tolist() for own in both.labels[: len(once)]] == [own.tolist() for own in once.labels]


def test_confidence_is_judged_where_no_rule_made_the_span(data: Path) -> None:
    pairs = translated("es", "neoplasm", "test")
    carried, _ = CrossLingualAM(units="words").carry(pairs.left, pairs, None, crosslingual_am.Position())
    told = confidence(pairs.right, carried)
    assert np.isnan(told["auroc"]) or 0 <= told["auroc"] <= 1
    assert graded(pairs.right, rows_at(carried, len(pairs)))["span f1"] > 0
    assert graded(pairs.right, none(len(pairs)))["span f1"] == 0


# -- the corpus --------------------------------------------------------------------------------------------


def test_sentences_are_paired_by_their_numbers_where_one_is_left_out(data: Path) -> None:
    file = data / source._FOLDERS["es"].format(topic="neoplasm", part="dev")
    file.write_bytes(file.read_bytes().replace(b"la O", b"l\xe0 O", 1))
    told = marks("es", "neoplasm", "dev")
    assert told.counts["lines that are no UTF-8"] == 1
    pairs = translated("es", "neoplasm", "dev")
    assert len(pairs) == 11
    assert pairs.left.ids.tolist() == pairs.right.ids.tolist()


def test_two_sentences_that_are_one_in_the_original_are_joined(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the Italian training file, behind whose sentence 1290 every number was one too high."""
    monkeypatch.setattr(source, "SPLIT", {("it", "neoplasm", "dev"): (3, 13)})
    written(data, "it", "neoplasm", "dev", 12)
    file = data / source._FOLDERS["it"].format(topic="neoplasm", part="dev")
    blocks = file.read_text().rstrip("\n").split("\n\n")
    whole = blocks[3].split("\n")
    assert whole[0].endswith("B-Claim")
    blocks[3:4] = ["\n".join(whole[:4]), "la O\ncae B-Premise"]
    file.write_text("\n\n".join(blocks) + "\n")
    pairs, plain = translated("it", "neoplasm", "dev"), translated("es", "neoplasm", "dev")
    assert len(pairs) == 12
    assert [text.split()[0] for text in pairs.left.x.tolist()] == ["the"] * 12
    assert pairs.right.x[4:].tolist() == plain.right.x[4:].tolist()
    text = str(pairs.right.x[3])
    assert text.endswith(" la cae")
    assert [(text[a:b], k) for a, b, k in pairs.right.labels[3].tolist()] == [(text[:-7], 0), ("cae", 1)]
    assert marks("it", "neoplasm", "dev").counts["sentences joined as in the original"] == 1


def test_files_of_different_length_are_not_paired(data: Path) -> None:
    file = data / source._FOLDERS["es"].format(topic="neoplasm", part="dev")
    file.write_text(file.read_text() + "\nuno O\n")
    with pytest.raises(ValueError, match="en has 12, es has 13"):
        translated("es", "neoplasm", "dev")


def test_the_italian_training_file_is_paired_with_the_english(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path(os.environ.get("UNSEEN_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data")
    if not (place / "abstrct" / "IT").is_dir():
        pytest.skip("AbstRCT is not here")
    monkeypatch.setenv("UNSEEN_DATA", str(place))
    pairs = translated("it", "neoplasm", "train")
    assert len(pairs) == 4404
    left, right = str(pairs.left.x[1291]), str(pairs.right.x[1291])
    assert left.startswith("With 94 patients")
    assert right.startswith("Con 94 pazienti")


def test_where_the_corpus_is_not_the_message_says_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path))
    with pytest.raises(SourceUnavailable, match="so they are not in this package"):
        abstrct("es")
    with pytest.raises(ValueError, match="language must be one of en, es, fr, it; got 'de'"):
        abstrct("de")
    with pytest.raises(ValueError, match="topic and part must be of"):
        abstrct("es", "glaucoma", "train")
