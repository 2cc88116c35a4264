"""BM25 over texts, by the package bm25s: made when it is first asked, saved as the texts that it is made of."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.rankings import Ranking, best_first, ranking_of
from unseen.data.tasks.base import text_array
from unseen.data.words import terms_of
from unseen.nn.state import register_codec

NEEDED = 'BM25 needs: pip install "unseen[retrieval]"'


class BM25:
    """The words of texts (`unseen.data.words.terms_of`), without English stop words, weighed by how rare they are.

    Parameters
    ----------
    texts : n strings
    k1, b : float
        How soon a repeated word says no more, and how much long texts are held back.
    """

    def __init__(self, texts: Sequence[str] | NDArray[Any], k1: float = 1.5, b: float = 0.75) -> None:
        self.texts = text_array(texts)
        self.k1, self.b = k1, b
        self._index: Any = None

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return f"BM25({len(self)} texts)"

    def __deepcopy__(self, memo: Any) -> BM25:
        return self  # nothing in it changes

    def search(self, queries: Sequence[str], k: int) -> Ranking:
        """The k texts of the largest score for each query; those without a word of it are left out.

        Raises
        ------
        ImportError
            If bm25s is not installed; the message is the command that does it.
        """
        module = require()
        if self._index is None:
            self._index = module.BM25(k1=self.k1, b=self.b)
            words = _terms(self.texts.tolist())
            if not any(words):
                raise ValueError("corpus must hold words; BM25 drops English stop words, and nothing is left")
            self._index.index(words, show_progress=False)
        documents, scores = [], []
        for terms in _terms(queries):
            values = np.asarray(self._index.get_scores(terms)) if terms else np.zeros(len(self), dtype=np.float32)
            some = np.flatnonzero(values > 0)
            if len(some) > 4 * k:  # the largest first, with all that equal the last of them
                least = np.partition(values[some], len(some) - k)[len(some) - k]
                some = some[values[some] >= least]
            best, score = best_first(some.astype(np.int64), values[some], k)
            documents.append(best.tolist())
            scores.append(score.tolist())
        return ranking_of(documents, scores, k)


def _terms(texts: Sequence[str]) -> list[list[str]]:
    """The terms of each text that are no English stop words."""
    from bm25s.stopwords import STOPWORDS_EN

    common = frozenset(STOPWORDS_EN)
    return [[term for term in terms_of(str(text)) if term not in common] for text in texts]


def require() -> Any:
    """The package bm25s; `ImportError` says how to get it."""
    try:
        import bm25s
    except ImportError as error:
        raise ImportError(NEEDED) from error
    for name in ("bm25s", "bm25s.tokenization"):
        logging.getLogger(name).setLevel(logging.WARNING)  # it tells every step on standard error
    return bm25s


register_codec(
    "bm25",
    BM25,
    lambda index: {"texts": index.texts, "k1": index.k1, "b": index.b},
    lambda fields: BM25(**fields),
)
