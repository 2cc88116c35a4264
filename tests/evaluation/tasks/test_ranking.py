"""nDCG@10, recall@100 and the reciprocal rank of rankings, against the formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unseen.data.domain import Domain
from unseen.data.rankings import ranking_of
from unseen.data.tasks.base import objects
from unseen.evaluation.drive import Once
from unseen.evaluation.exam import Exam
from unseen.evaluation.tasks import grades_of
from unseen.evaluation.tasks.ranking import per_query
from unseen.methods.retrieval.search import BM25Search
from unseen.report.tasks import looks_of
from unseen.report.tasks.ranking import first_documents

TRUTH = objects([np.array([[3, 1]]), None, np.array([[1, 2], [2, 1]]), np.array([[0, 1]]), np.array([[5, 0]])])
FOUND = ranking_of([[4, 3], [0], [2, 1], [], [5]], [[1, 1], [1], [1, 1], [], [1]], 3)


def test_figures_are_those_of_the_formulas() -> None:
    each = per_query(TRUTH, FOUND)
    ideal = 2 / np.log2(2) + 1 / np.log2(3)
    expected = [1 / np.log2(3), np.nan, (1 / np.log2(2) + 2 / np.log2(3)) / ideal, 0.0, np.nan]
    np.testing.assert_allclose(each["ndcg@10"], expected, rtol=1e-6)
    np.testing.assert_allclose(each["recall@100"], [1, np.nan, 1, 0, np.nan])
    np.testing.assert_allclose(each["mrr@10"], [0.5, np.nan, 1, 0, np.nan])
    grades = grades_of("ranking")
    assert grades.grade(TRUTH, FOUND)["ndcg@10"] == pytest.approx(np.nanmean(expected))
    np.testing.assert_allclose(grades.each(TRUTH, FOUND), expected, rtol=1e-6)


def test_the_order_counts_where_scores_are_equal() -> None:
    truth = objects([np.array([[9, 1]])])
    first, second = ranking_of([[9, 1]], [[1, 1]], 2), ranking_of([[1, 9]], [[1, 1]], 2)
    assert per_query(truth, first)["mrr@10"][0] == 1
    assert per_query(truth, second)["mrr@10"][0] == 0.5


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="prediction must be of 5 queries"):
        per_query(TRUTH, np.zeros((2, 3), dtype=int))
    with pytest.raises(ValueError, match="truth must say"):
        per_query(objects([None, None]), np.zeros((2, 3), dtype=int))


def test_a_method_is_fitted_asked_and_graded_once(tmp_path: Path) -> None:
    corpus = Domain(x=np.array(["red cats", "old dogs", "ships"]), kind="text")
    queries = Domain(
        x=np.array(["dogs", "ships"]), y=objects([np.array([[1, 1]]), np.array([[2, 1]])]), kind="text", task="ranking"
    )
    exam = Exam(queries, ledger=tmp_path / "exams.json")
    outcome = Once(grades_of("ranking").grade, verb="rank")(BM25Search(), {"corpus": corpus}, exam)
    assert outcome.metrics["ndcg@10"] == 1
    assert outcome.prediction.documents[:, 0].tolist() == [1, 2]
    assert exam.openings == 1


def test_a_ranking_is_read_not_looked_at() -> None:
    looks = looks_of("ranking")
    assert looks.picture("q", TRUTH[0]) is None
    assert looks.words(TRUTH[2]) == "1 (2), 2 (1)"
    assert looks.words(None) == "not known"


def test_the_first_documents_carry_their_grades() -> None:
    shown = first_documents(FOUND.documents[2], FOUND.scores[2], list("abcdef"), ["text " * 100] * 6, TRUTH[2])
    assert [(one.rank, one.name, one.grade) for one in shown] == [(1, "c", 1), (2, "b", 2)]
    assert shown[0].text.endswith(" …")
