"""What searches a collection: words, a ranker over all documents, a ranker over the first of the words, or fusion."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.rankings import NOTHING, Ranking, best_first, ranking_of, reciprocal_rank_fusion
from unseen.methods.base import Card, Method
from unseen.methods.parameters import Count, Positive
from unseen.methods.retrieval.needs import RankerOfTexts
from unseen.methods.retrieval.queries import write_queries
from unseen.methods.verbs import gives
from unseen.nn.bm25 import BM25, require
from unseen.nn.protocols import Ranker, Writer
from unseen.nn.rankers import Embedder, embed_documents, embed_queries
from unseen.nn.top_k import top_k

TOGETHER = 256
"""Queries that are searched at once."""
TIES, DIGITS = 64, 5
"""Documents beyond the last one that may equal it, and decimals in which two cosines must differ to be unlike."""

Candidates = Literal["auto", "all", "bm25"]


class Search(Method):
    """What all have that search a collection: its texts, and `rank`.

    `unseen rank` takes any subclass, also a plug-in's, whose card calls it no baseline. It learns in `fit` from a
    `corpus`, and from what else of `model`, `encoder`, `writer` and `pairs` its signature names, keeps the texts as
    `index_`, and says in `search` what it finds.

    Attributes
    ----------
    index_ : BM25
    audit_ : dict of arrays
        Of what learns from queries that were written: for each document drawn its place (``document``), its ``query``,
        the ``flaw`` of the query (empty if none), and perhaps the places of its ``negatives``.
    """

    in_words: ClassVar[str] = ""
    """What it is, in a few words; the title of its card if empty."""

    index_: BM25 = dataclasses.field(init=False)
    audit_: dict[str, NDArray[Any]] = dataclasses.field(init=False)

    def predict(self, x: Any) -> NDArray[np.int64]:
        """The first document for each query, (n,); -1 where none was found."""
        return self.rank(x, 1).documents[:, 0]

    @gives("ranking", reads="text")
    def rank(self, x: Any, k: int = 100) -> Ranking:
        """The first k documents of the collection for each query, the best first.

        Parameters
        ----------
        x : n queries
        k : int, >= 1

        Returns
        -------
        Ranking
            Places in `corpus` as it was given to `fit`, and scores; -1 where fewer were found.
        """
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError(f"k must be an integer of at least 1; got {k!r}")
        k = min(k, len(self.index_))
        parts = [self.search(x[i : i + TOGETHER].tolist(), k) for i in range(0, len(x), TOGETHER)]
        return Ranking(*(np.concatenate(column) for column in zip(*parts)))

    def search(self, queries: list[str], k: int) -> Ranking:
        """The first k documents for each query, places and scores; k is at most the size of the collection."""
        raise TypeError(f"{type(self).__name__} searches nothing")

    def write_queries(
        self, documents: NDArray[Any], writer: Writer, examples: list[tuple[str, str]]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """A query for each document, and what is wrong with it, (n,) both; empty where nothing is."""
        return write_queries(documents, writer, examples)

    def facts(self) -> dict[str, str]:
        """What it learnt from, by what it is called, for a page."""
        return {}


class BM25Search(Search):
    """Rank documents by the words that they share with the query, weighed by BM25 [1].

    References
    ----------
    [1] Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; by the package bm25s.
    """

    card = Card(
        slug="bm25",
        title="The Probabilistic Relevance Framework: BM25 and Beyond",
        venue="Foundations and Trends in Information Retrieval 2009",
        summary="Rank documents by the words that they share with a query.",
        unseen={"domains"},
        modalities={"text"},
        protocols={"retrieval"},
        task="ranking",
        baseline=True,
    )

    def fit(self, *, corpus: Domain) -> Self:
        """Learn the words of the collection."""
        require()
        self.index_ = BM25(corpus.x)
        return self

    def search(self, queries: list[str], k: int) -> Ranking:
        return self.index_.search(queries, k)


class NeuralSearch(Search):
    """Rank documents by a ranker as it is [1]: all of them by their vectors, or those that BM25 finds first.

    Parameters
    ----------
    candidates : {"auto", "all", "bm25"}
        What the ranker scores: all documents, which wants one that embeds; or the first `depth` of BM25. "auto" takes
        all where it can.
    depth : int
        Documents of BM25 that are ranked anew.

    References
    ----------
    [1] Reimers and Gurevych, "Sentence-BERT", EMNLP 2019; Nogueira et al., "Document Ranking with a Pretrained
        Sequence-to-Sequence Model", Findings of EMNLP 2020.
    """

    card = Card(
        slug="neural-search",
        title="Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks",
        venue="EMNLP 2019",
        summary="Rank documents by a pretrained ranker as it is.",
        unseen={"domains"},
        modalities={"text"},
        protocols={"retrieval"},
        task="ranking",
        presets={"default": {}, "rerank": {"candidates": "bm25"}},
        at_prediction={"candidates", "depth"},
        needs=(RankerOfTexts(),),
        baseline=True,
    )

    candidates: Candidates = "auto"
    depth: Count = 100

    model_: nn.Module = dataclasses.field(init=False)
    vectors_: Tensor | None = dataclasses.field(init=False)

    def fit(self, *, corpus: Domain, model: nn.Module) -> Self:
        """Read the collection; the ranker stays as it is."""
        check_ranker(model, self.candidates)
        self._keep(corpus, copy.deepcopy(model))
        return self

    def _keep(self, corpus: Domain, model: nn.Module) -> None:
        """The collection, the ranker, and the vectors that it gives to the documents, if it embeds."""
        self.model_ = model.cpu().eval()
        self.index_ = BM25(corpus.x)
        self.vectors_ = embed_documents(model, corpus.x.tolist()) if isinstance(model, Embedder) else None

    def search(self, queries: list[str], k: int) -> Ranking:
        if self.vectors_ is None or self.candidates == "bm25":
            return self._rerank(queries, k)
        if not isinstance(self.model_, Embedder):
            raise TypeError("candidates='all' wants a ranker that embeds")
        places, scores = top_k(embed_queries(self.model_, queries), self.vectors_, k + TIES)
        return in_order(places.numpy().astype(np.int64), scores.numpy(), k)

    def _rerank(self, queries: list[str], k: int) -> Ranking:
        """BM25's first `depth`, ordered by the ranker; of equal scores the one that BM25 had first."""
        candidates = self.index_.search(queries, min(self.depth, len(self.index_))).documents
        documents, scores = [], []
        for query, row in zip(queries, candidates):
            row = row[row != NOTHING]
            row_scores = self._scores(query, row)
            best, value = best_first(row, row_scores, k)
            documents.append(best.tolist())
            scores.append(value.tolist())
        return ranking_of(documents, scores, k)

    def _scores(self, query: str, row: NDArray[np.int64]) -> NDArray[np.float32]:
        if not len(row):
            return np.zeros(0, dtype=np.float32)
        if self.vectors_ is not None and isinstance(self.model_, Embedder):
            return (self.vectors_[torch.as_tensor(row)] @ embed_queries(self.model_, [query])[0]).numpy()
        return self.model_.score([query] * len(row), self.index_.texts[row].tolist()).numpy()  # type: ignore[operator]


class Fusion(NeuralSearch):
    """Rank documents by the sum of their reciprocal ranks in BM25 and in a ranker as it is [1].

    Parameters
    ----------
    constant : float, > 0
        Added to ranks: the larger, the less the first places count.
    candidates, depth
        Of the ranker, as in `NeuralSearch`: what it ranks, all documents or those that BM25 finds first, and how many.

    References
    ----------
    [1] Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual rank learning
        methods", SIGIR 2009.
    """

    card = Card(
        slug="rank-fusion",
        title="Reciprocal Rank Fusion outperforms Condorcet and individual rank learning methods",
        venue="SIGIR 2009",
        summary="Rank documents by their ranks in BM25 and in a pretrained ranker together.",
        unseen={"domains"},
        modalities={"text"},
        protocols={"retrieval"},
        task="ranking",
        needs=(RankerOfTexts(),),
        baseline=True,
    )

    constant: Positive = 60.0

    @classmethod
    def on(cls, search: NeuralSearch, constant: float = 60.0) -> "Fusion":
        """A fusion of BM25 with a search that is fitted, whose vectors are shared."""
        fusion = cls(constant=constant, candidates=search.candidates, depth=search.depth)
        vars(fusion).update({name: search.fitted[name] for name in ("model_", "index_", "vectors_")})
        return fusion

    def search(self, queries: list[str], k: int) -> Ranking:
        deep = min(max(k, self.depth), len(self.index_))
        both = [self.index_.search(queries, deep), super().search(queries, deep)]
        return reciprocal_rank_fusion(both, k, self.constant)


def in_order(places: NDArray[np.int64], scores: NDArray[np.float32], k: int) -> Ranking:
    """The first k of each row; of scores that are equal up to rounding the document that stands first comes first."""
    rounded = np.round(scores.astype(np.float64), DIGITS)
    order = np.lexsort((places, -rounded), axis=1)[:, :k]
    return Ranking(np.take_along_axis(places, order, axis=1), np.take_along_axis(scores, order, axis=1))


def check_ranker(model: nn.Module, candidates: str) -> None:
    """Raise unless the model scores pairs of texts, and what it needs is there."""
    if not isinstance(model, Ranker):
        raise TypeError(
            f"model must be a ranker, with score(queries, documents) (unseen.nn.rankers); got {type(model).__name__}"
        )
    if candidates == "all" and not isinstance(model, Embedder):
        raise ValueError(
            f"candidates='all' wants a model that embeds documents, such as a bi-encoder; got {type(model).__name__}"
        )
    if candidates == "bm25" or not isinstance(model, Embedder):
        require()
