"""Translated captions: resume, provenance, the guard, and programs as translators."""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.translations import CACHE, Apertium, Command, TranslatedCorpus, agreement, fault_of, translator_of

SAID = {"a red car": ("un coche rojo", "빨간 차"), "the sea": ("el mar", "바다"), "Paris": ("Paris", "Paris")}


class Words:
    """A dictionary that counts what it is asked, and may fail."""

    name = "words 1"

    def __init__(self, fails_after: int = 10**6) -> None:
        self.asked: list[str] = []
        self.fails_after = fails_after

    def __call__(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Spanish or Korean."""
        if len(self.asked) + len(texts) > self.fails_after:
            raise RuntimeError("the line is dead")
        self.asked += texts
        if target == "en":
            back = {text: english for english, own in SAID.items() for text in own}
            return [back.get(text, "?") for text in texts]
        return [SAID[text][("es", "ko").index(target)] for text in texts]


@pytest.mark.parametrize(
    ("source", "text", "language", "fault"),
    [
        ("a red car", "un coche rojo", "es", ""), ("a red car", " ", "es", "empty"),
        ("a red car", "a red car", "es", "same as the source"), ("New York", "New York", "es", ""),
        ("Paris", "Paris", "ko", ""), ("a red car", "a red vehicle", "ko", "wrong script"),
        ("a red car", "красная машина", "ru", ""), ("a red car", "красная машина", "de", "wrong script"),
        ("a red car", "一辆红色的车", "zh", ""), ("a red car", "赤い車", "ja", ""),
        ("a red car", "...", "de", "wrong script"),
        ("a red car", "un coche " * 4, "es", "too long"), ("ox", "carro de bueyes pequeño", "es", ""),
        ("42", "42", "ko", ""), ("a red car", "um carro vermelho", "pt-br", ""),
    ],
)  # fmt: skip
def test_the_guard_finds_what_is_no_translation(source: str, text: str, language: str, fault: str) -> None:
    assert fault_of(source, text, language) == fault


def test_a_corpus_goes_on_where_it_was_interrupted_and_asks_for_each_text_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unseen.data.translations.AT_ONCE", 1)
    captions = ["a red car", "the sea", "a red car", "Paris"]
    dying = Words(fails_after=4)
    with pytest.raises(RuntimeError, match="the line is dead"):
        TranslatedCorpus(captions, dying, ["es", "ko"], folder=tmp_path).translate()
    assert dying.asked == ["a red car", "the sea", "Paris", "a red car"]
    with (tmp_path / CACHE).open("ab") as file:
        file.write('{"key": "cut by a k한'.encode()[:-1])  # in the middle of a sign
    again = Words()
    corpus = TranslatedCorpus(captions, again, ["en", "es", "ko"], folder=tmp_path).translate()
    assert again.asked == ["the sea", "Paris"]  # into Korean
    assert corpus.made == 2
    assert corpus.languages == ("es", "ko")
    assert [one.text for one in corpus.kept("ko")] == ["빨간 차", "바다", "빨간 차", "Paris"]
    third = Words()
    assert TranslatedCorpus(captions, third, ["ko"], folder=tmp_path).translate().made == 0
    lines = [json.loads(line) for line in (tmp_path / CACHE).read_text().splitlines()]
    assert len(lines) == 6
    assert lines[0] == {
        **lines[0],
        "from": "en",
        "to": "es",
        "by": "words 1",
        "text": "a red car",
        "is": "un coche rojo",
    }


def test_another_translator_asks_anew(tmp_path: Path) -> None:
    TranslatedCorpus(["the sea"], Words(), ["es"], folder=tmp_path).translate()
    other = Words()
    other.name = "words 2"  # type: ignore[misc]
    assert TranslatedCorpus(["the sea"], other, ["es"], folder=tmp_path).translate().made == 1


def test_pairs_grow_by_translations_that_say_where_they_are_from() -> None:
    captions = ["a red car", "the sea", "Paris"]
    pairs = Pairs(Domain(x=np.eye(3)), Domain(x=np.array(captions), kind="text"), ids=np.array(["x", "y", "z"]))
    corpus = TranslatedCorpus(captions, Words(), ["es", "ko"]).translate()
    grown = corpus.pairs(pairs)
    assert len(grown) == 9
    assert grown.columns["language"].tolist() == ["en"] * 3 + ["es"] * 3 + ["ko"] * 3
    assert grown.columns["translated_by"].tolist() == [""] * 3 + ["words 1"] * 6
    assert grown.columns["translation_of"].tolist()[3:] == ["x", "y", "z"] * 2
    assert np.array_equal(grown.left.x, np.tile(np.eye(3), (3, 1)))
    assert grown.take(grown.columns["language"] == "ko").right.x.tolist() == ["빨간 차", "바다", "Paris"]
    assert corpus.counts() == {"es": {"kept": 3}, "ko": {"kept": 3}}
    with pytest.raises(ValueError, match="captions of this corpus"):
        corpus.pairs(pairs.take([0, 1]))


def test_what_does_not_come_back_is_dropped_and_counted() -> None:
    def poor(texts: Sequence[str], source: str, target: str) -> list[str]:
        return ["un perro grande" if target == "es" else "a big dog" for _ in texts]

    corpus = TranslatedCorpus(["a red car", "a big dog"], poor, ["es"], least_agreement=0.5).translate()
    assert corpus.counts() == {"es": {"kept": 1, "does not translate back": 1}}
    assert corpus.translations[1].agreement == 1.0
    assert agreement("a red car", "a red cart") > 0.7 > agreement("a red car", "a big dog")


@pytest.mark.parametrize("made", [["one"], "ab", [1, 2]])
def test_a_translator_that_does_not_answer_each_text_is_named(made: object) -> None:
    with pytest.raises(ValueError, match="translator must give a text for each of 2"):
        TranslatedCorpus(["a", "b"], lambda texts, source, target: made, ["es"]).translate()  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"captions": ["a", " "]}, "captions must be texts"), ({"languages": ["en"]}, "one other than the source"),
        ({"least_agreement": 2.0}, "least_agreement must lie in"), ({"translator": 3}, "translator must be a function"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(change: dict[str, object], match: str) -> None:
    given: dict[str, object] = {"captions": ["a b"], "translator": Words(), "languages": ["es"], **change}
    with pytest.raises((ValueError, TypeError), match=match):
        TranslatedCorpus(**given)  # type: ignore[arg-type]


# -- programs ------------------------------------------------------------------------------------------------


def program(where: Path, name: str, text: str) -> Path:
    """A script that can be run."""
    file = where / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def test_a_program_translates_line_by_line_and_is_told_the_languages(tmp_path: Path) -> None:
    file = program(tmp_path, "tool", 'sed "s/^/$1-$2: /"')
    tool = translator_of(f"{file} {{source}} {{target3}}")
    assert tool(["a", "b\nc"], "en", "es") == ["en-spa: a", "en-spa: b c"]


def test_texts_whose_lines_do_not_come_back_are_sent_alone(tmp_path: Path) -> None:
    file = program(tmp_path, "tool", "tr '\\n' ' '")
    assert Command([str(file), "{target}"])(["a", "b"], "en", "es") == ["a", "b"]


def test_a_program_that_fails_lacks_or_hangs_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no program 'no-such-tool'"):
        translator_of("no-such-tool {target}")
    with pytest.raises(ValueError, match="a place for the language"):
        translator_of("cat")
    with pytest.raises(ValueError, match="the command is empty"):
        Command([])
    failing = Command([str(program(tmp_path, "bad", "echo no such mode >&2; exit 3")), "{target}"])
    with pytest.raises(ValueError, match="failed: no such mode"):
        failing(["a"], "en", "xx")
    slow = Command([str(program(tmp_path, "slow", "exec sleep 5")), "{target}"], seconds=0.2)
    with pytest.raises(ValueError, match=r"took more than 0\.2 s"):
        slow(["a"], "en", "es")


def test_apertium_is_a_program_with_paragraphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="apt-get install apertium"):
        Apertium()
    program(tmp_path, "apertium", 'while read -r line; do if [ -n "$line" ]; then echo "$2 $line"; else echo; fi; done')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    tool = translator_of("apertium")
    assert tool.name == "apertium"  # type: ignore[attr-defined]
    assert tool(["a red car", "the sea"], "en", "es") == ["eng-spa a red car", "eng-spa the sea"]
