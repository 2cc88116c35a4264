"""Whether what a query found is more than what any query finds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from unseen.curation.collection import Side
from unseen.curation.index import Index
from unseen.curation.stop_words import stop_words
from unseen.data.typing import FloatArray

COMPARED = 1_000
"""Rows whose cosines say what is usual for a query."""


class Usual:
    """Rows, evenly drawn, with which queries are compared beside their hits."""

    def __init__(self, indices: Mapping[Side, Index]) -> None:
        self.indices = indices
        self._drawn: dict[Side, NDArray[np.float32]] = {}

    def vectors(self, side: Side) -> NDArray[np.float32]:
        """Unit vectors of the rows, (m, d)."""
        if side not in self._drawn:
            vectors = self.indices[side].vectors
            n = len(vectors)
            self._drawn[side] = vectors.take(np.linspace(0, n - 1, min(n, COMPARED)).astype(np.int64))
        return self._drawn[side]

    def weak(self, query: Any, vector: FloatArray, hits: Sequence[Any], allowed: int) -> bool:
        """Whether a query asks for words alone and nothing that was found seems to show them.

        No hit's caption has one of the words, and the nearest hit is no nearer than the nearest of as many rows is by
        chance.
        """
        texts = [str(term.value) for term in query.terms if term.kind == "text" and term.weight > 0]
        if not hits or len(texts) != len(query.terms):
            return False
        if hits[0].similarity > by_chance(self.vectors(query.side) @ np.asarray(vector), allowed):
            return False
        return not share_a_word(texts, [str(hit.columns.get("text") or "") for hit in hits])


def by_chance(similarity: FloatArray, n: int) -> float:
    """The cosine of the nearest of n rows that have nothing to do with a query: the greatest of n normal draws.

    Parameters
    ----------
    similarity : array (m,)
        Cosines of some rows with the query; the draws have their mean and their spread.
    n : int, >= 1
        Rows among which the nearest was looked for.

    References
    ----------
    Blom, "Statistical Estimates and Transformed Beta-Variables", 1958: the expected greatest of n normal draws.
    """
    x = np.asarray(similarity, dtype=np.float64)
    return float(x.mean() + x.std() * ndtri((n - 0.375) / (n + 0.25)))


def share_a_word(texts: Sequence[str], captions: Sequence[str]) -> bool:
    """Whether a caption has a word of one of the texts that names something."""
    query_words, caption_words = (set(re.findall(r"\w{2,}", " ".join(part).lower())) for part in (texts, captions))
    return bool((query_words - stop_words()) & caption_words)
