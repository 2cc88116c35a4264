"""Grades of captions: what is equal is the most, words alone count, and a second way to CIDEr, BLEU and ROUGE."""

from __future__ import annotations

import builtins
import math
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest

from unseen.data.tasks import task_of
from unseen.evaluation.tasks import grades_of
from unseen.evaluation.tasks.text import event_f1
from unseen.report.tasks import looks_of
from unseen.report.tasks.text import marked

pytest.importorskip("pycocoevalcap", reason='no pycocoevalcap; pip install "unseen[captioning]"')

TRUTH = np.array([
    "a dog barks in the rain\na dog is barking while it rains",
    "a man speaks over an engine\na man talks near a running motor",
    "birds chirp and wind blows\nbirds are singing in the wind",
])  # fmt: skip


def grams(text: str, n: int) -> Counter[Any]:
    words = text.split()
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def naive_cider(said: list[str], references: list[list[str]]) -> float:
    """CIDEr-D as its paper has it: clipped tf-idf cosines, a Gaussian of the lengths, ten times the mean."""

    def idf(gram: tuple[str, ...]) -> float:
        df = sum(any(gram in grams(line, len(gram)) for line in own) for own in references)
        return math.log(len(references)) - math.log(max(1.0, df))

    scores = []
    for text, own in zip(said, references):
        total = 0.0
        for n in range(1, 5):
            a = {g: c * idf(g) for g, c in grams(text, n).items()}
            for line in own:
                b = {g: c * idf(g) for g, c in grams(line, n).items()}
                norm = math.sqrt(sum(v * v for v in a.values())) * math.sqrt(sum(v * v for v in b.values()))
                value = sum(min(a[g], b[g]) * b[g] for g in a if g in b)
                gap = len(grams(text, 2)) and sum(grams(text, 2).values()) - sum(grams(line, 2).values())
                total += (value / norm if norm else 0.0) * math.exp(-(gap**2) / 72) / len(own)
        scores.append(10 * total / 4)
    return float(np.mean(scores))


def test_what_people_said_word_for_word_has_the_most() -> None:
    one = np.array([label.split("\n")[0] for label in TRUTH])
    found = grades_of("text").grade(one, one.tolist())
    assert found["CIDEr"] == pytest.approx(10.0)
    assert [found[name] for name in ("BLEU-1", "BLEU-4", "ROUGE-L", "event F1")] == pytest.approx([1.0] * 4)


def test_cider_is_that_of_a_naive_second_way() -> None:
    said = ["a dog barks", "a man speaks over a motor", "wind blows while birds are singing"]
    found = grades_of("text").grade(TRUTH, said)
    expected = naive_cider(said, [label.split("\n") for label in TRUTH])
    assert found["CIDEr"] == pytest.approx(expected, rel=1e-6)
    each = grades_of("text").each(TRUTH, said)
    assert float(np.mean(each)) == pytest.approx(found["CIDEr"])


def test_bleu_and_rouge_by_hand() -> None:
    truth = np.array(["the dog barks loud now", "rain falls"])
    found = grades_of("text").grade(truth, ["the dog runs loud now", "rain falls"])
    assert found["BLEU-1"] == pytest.approx(6 / 7)  # of seven words six are right, and no text is too short
    assert found["ROUGE-L"] == pytest.approx((4 / 5 + 1) / 2)  # four of five in order, precision as recall


def test_case_and_punctuation_do_not_count() -> None:
    said = ["A DOG, barks!", "a man speaks...", "birds chirp"]
    plain = ["a dog barks", "a man speaks", "birds chirp"]
    assert grades_of("text").grade(TRUTH, said) == grades_of("text").grade(TRUTH, plain)


def test_samples_without_a_caption_do_not_count() -> None:
    truth = np.array([*TRUTH, ""])
    said = ["a dog barks", "a man speaks", "birds chirp", "anything"]
    assert grades_of("text").grade(truth, said) == grades_of("text").grade(TRUTH, said[:3])
    assert np.isnan(grades_of("text").each(truth, said)).tolist() == [False, False, False, True]
    with pytest.raises(ValueError, match="no sample has a text"):
        grades_of("text").grade(np.array([""]), ["x"])
    with pytest.raises(ValueError, match="a text for each sample, 3; got 1"):
        grades_of("text").grade(TRUTH, ["x"])


def test_event_words_that_both_name_are_counted_by_hand() -> None:
    assert event_f1("a dog barks", ["dogs barking in rain"]) == pytest.approx(2 * 2 / (2 + 3))
    assert event_f1("a dog barks", ["a dog barks", "rain"]) == pytest.approx(0.5)
    assert event_f1("it is", ["there is"]) == 1.0


def test_without_pycocoevalcap_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def missing(name: str, *rest: Any, **others: Any) -> Any:
        if name.startswith("pycocoevalcap"):
            raise ImportError(name)
        return plain(name, *rest, **others)

    for name in [name for name in sys.modules if name.startswith("pycocoevalcap")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pycocoevalcap", None)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r'pip install "unseen\[captioning\]"'):
        grades_of("text").grade(TRUTH, ["a", "b", "c"])


def test_the_task_text_stands_on_all_shelves() -> None:
    assert task_of("text").name == grades_of("text").task == looks_of("text").task == "text"
    assert grades_of("text").headline in grades_of("text").grade(TRUTH, ["a dog", "a man", "birds"])
    assert looks_of("text").words("a  dog\nbarks") == "a dog barks"
    assert looks_of("text").words("") == "not known"
    assert looks_of("text").picture(None, "a dog") is None
    assert marked("A dog barks loudly.", "dogs bark") == [
        ("A", False),
        ("dog", True),
        ("barks", True),
        ("loudly.", False),
    ]
