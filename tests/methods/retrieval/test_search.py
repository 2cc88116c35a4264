"""BM25, a ranker as it is, and reciprocal rank fusion, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unseen.data.domain import Domain
from unseen.data.rankings import Ranking, ranking_of, reciprocal_rank_fusion
from unseen.methods.retrieval.search import BM25Search, Fusion, NeuralSearch, in_order
from unseen.nn.bm25 import BM25
from unseen.nn.small_rankers import hashed_ranker

TEXTS = np.array(["cats purr", "dogs bark", "cats and dogs", "ships sail far", "cats cats cats"])
CORPUS = Domain(x=TEXTS, kind="text", name="corpus")


def test_bm25_finds_documents_with_words_of_the_query_only() -> None:
    found = BM25Search().fit(corpus=CORPUS).rank(["ships", "nothing known"], 3)
    assert found.documents.tolist() == [[3, -1, -1], [-1, -1, -1]]
    assert found.scores[0, 0] > 0
    assert (found.scores[1] == 0).all()


def test_of_equal_scores_the_document_that_stands_first_comes_first() -> None:
    index = BM25(["same words"] * 50)
    assert index.search(["same"], 5).documents[0].tolist() == [0, 1, 2, 3, 4]
    found = in_order(np.array([[4, 2, 9]]), np.array([[0.5, 0.5000001, 0.4]], dtype=np.float32), 2)
    assert found.documents.tolist() == [[2, 4]]


def test_the_largest_scores_are_found_among_many() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["red", "old", "big", "cat", "dog"], 6)) for _ in range(300)]
    index = BM25(texts)
    few, all_of_them = index.search(["red cat"], 10), index.search(["red cat"], 300)
    assert few.documents[0].tolist() == all_of_them.documents[0, :10].tolist()


def test_fusion_sums_reciprocal_ranks() -> None:
    a, b = ranking_of([[0, 1, 2]], [[3, 2, 1]], 3), ranking_of([[2, 0]], [[9, 8]], 3)
    fused = reciprocal_rank_fusion([a, b], 3, constant=60)
    expected = {0: 1 / 61 + 1 / 62, 2: 1 / 63 + 1 / 61, 1: 1 / 62}
    order = sorted(expected, key=lambda d: -expected[d])
    assert fused.documents[0].tolist() == order
    np.testing.assert_allclose(fused.scores[0], [expected[d] for d in order], rtol=1e-6)


def test_a_fusion_on_a_fitted_search_is_a_fusion_that_was_fitted() -> None:
    plain = NeuralSearch().fit(corpus=CORPUS, model=hashed_ranker())
    one, two = Fusion.on(plain), Fusion().fit(corpus=CORPUS, model=hashed_ranker())
    assert one.rank(["cats bark"], 4).documents.tolist() == two.rank(["cats bark"], 4).documents.tolist()


@pytest.mark.parametrize("candidates", ["all", "bm25"])
def test_a_ranker_orders_by_its_scores(candidates: str) -> None:
    model = hashed_ranker()
    found = NeuralSearch(candidates=candidates).fit(corpus=CORPUS, model=model).rank(["cats"], 3).documents[0]
    scores = model.score(["cats"] * len(found), TEXTS[found].tolist()).tolist()
    assert scores == sorted(scores, reverse=True)


def test_a_search_comes_back_from_its_folder(tmp_path: Path) -> None:
    search = Fusion().fit(corpus=CORPUS, model=hashed_ranker())
    search.save(tmp_path / "s")
    back = Fusion.load(tmp_path / "s").rank(["cats bark"], 4)
    assert isinstance(back, Ranking)
    assert back.documents.tolist() == search.rank(["cats bark"], 4).documents.tolist()
