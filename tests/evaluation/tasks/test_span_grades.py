"""Grades of spans: exact, overlapping, of tokens, and of partial sentences; and how they look."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.data.classes import ClassSpace
from unseen.data.tasks.base import objects
from unseen.evaluation.tasks import grades_of
from unseen.evaluation.tasks.spans import confusion, partial, with_texts
from unseen.report.tasks import looks_of
from unseen.report.tasks.spans import stretches

CLASSES = ClassSpace(names=("Claim", "Premise"))
TEXTS = np.array(["the dose helps", "risk falls here", "nothing"])


def rows(*spans: tuple[int, int, int]) -> np.ndarray:
    return np.array(spans, dtype=np.int64).reshape(-1, 3)


TRUTH = objects([rows((0, 14, 0)), rows((5, 10, 1)), rows()])


def test_what_is_equal_is_the_most() -> None:
    found = with_texts(TEXTS, TRUTH, TRUTH, CLASSES)
    assert set(found.values()) == {1.0}


def test_figures_are_those_by_hand() -> None:
    said = objects([rows((0, 14, 0)), rows((5, 15, 1)), rows((0, 7, 0))])
    found = with_texts(TEXTS, TRUTH, said, CLASSES)
    assert found["span F1"] == pytest.approx(2 * 1 / (2 + 3))
    assert (found["span precision"], found["span recall"]) == pytest.approx((1 / 3, 1 / 2))
    assert found["macro span F1"] == pytest.approx((2 * 1 / (1 + 2) + 0) / 2)
    assert found["overlap F1"] == pytest.approx(2 * (2 / 3) / (1 + 2 / 3))
    # tokens: three of the claim, "falls" of the premise; "here" and "nothing" are too many
    assert found["token micro"] == pytest.approx(2 * 4 / (4 + 6))
    assert found["token accuracy"] == pytest.approx(5 / 7)
    assert found["token macro with O"] == pytest.approx((2 * 1 / (3 + 1) + 2 * 1 / (1 + 2) + 1 + 1 + 0) / 5)
    assert found["partial sentences"] == 0.0
    assert found["token F1 Claim"] == pytest.approx(2 * 3 / (3 + 4))


def test_whole_sentences_do_not_count_among_partial_ones() -> None:
    assert [partial(text, own) for text, own in zip(TEXTS.tolist(), TRUTH)] == [False, True, False]
    said = objects([rows(), rows((5, 10, 1)), rows()])
    assert with_texts(TEXTS, TRUTH, said, CLASSES)["partial sentences"] == 1.0
    whole = with_texts(TEXTS[:1], TRUTH[:1], TRUTH[:1], CLASSES)
    assert np.isnan(whole["partial sentences"])


def test_each_sample_has_its_own_figure_and_one_that_is_not_known_has_none() -> None:
    truth = objects([*TRUTH, None])
    said = objects([rows((0, 13, 0)), rows((5, 10, 1)), rows(), rows((0, 1, 0))])
    found = grades_of("spans").each(truth, said)
    assert found[:3].tolist() == [0.0, 1.0, 1.0]
    assert np.isnan(found[3])
    assert grades_of("spans").grade(truth, said)["span F1"] == pytest.approx(2 / 4)


def test_nothing_there_and_nothing_said_is_right_and_another_class_is_wrong() -> None:
    empty = objects([rows()])
    assert grades_of("spans").grade(empty, empty)["span F1"] == 1.0
    other = grades_of("spans").grade(objects([rows((0, 3, 0))]), objects([rows((0, 3, 1))]))
    assert other["span F1"] == other["overlap F1"] == 0.0


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="there must be spans for each sample, 3; got 1"):
        grades_of("spans").grade(TRUTH, TRUTH[:1])
    with pytest.raises(ValueError, match="nothing can be graded"):
        grades_of("spans").grade(objects([None]), objects([rows()]))


def test_tokens_are_counted_by_what_they_are_and_what_is_said() -> None:
    table = confusion(TEXTS, TRUTH, objects([rows((0, 14, 1)), rows((5, 10, 1)), rows()]), CLASSES.names)
    assert table.tolist() == [[0, 3, 0], [0, 1, 0], [0, 0, 3]]


# -- looks -------------------------------------------------------------------------------------------------


def test_a_text_is_cut_where_spans_begin_and_end() -> None:
    parts = stretches("the dose helps", rows((4, 8, 1)), CLASSES, notes=["0.90"], truth=rows((4, 8, 0)))
    assert [part.text for part in parts] == ["the ", "dose", " helps"]
    assert tuple(parts[1]) == ("dose", "Premise", 1, "0.90", False)
    assert "".join(part.text for part in stretches("abcdef", rows((0, 4, 0), (2, 6, 1)), CLASSES)) == "abcdef"
    assert stretches("", rows(), CLASSES) == []


def test_spans_in_a_line() -> None:
    looks = looks_of("spans")
    assert looks.words(rows((9, 12, 1), (0, 3, 0)), CLASSES) == "Claim 0-3, Premise 9-12"
    assert (looks.words(rows()), looks.words(None)) == ("none", "not known")
    assert looks.picture("text", rows()) is None
