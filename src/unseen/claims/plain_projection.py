"""The simple alternatives to projection by an aligner, and to a tagger: they learn little or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from unseen.data.domain import Domain
from unseen.data.tagged import words
from unseen.data.tasks.base import objects
from unseen.nn.word_alignment import IBM1, Alignment, Sentences, from_matrix, grow, off_diagonal


class NoLinks:
    """Aligns no word: what is projected is by the rule of whole sentences alone."""

    name = "none"

    def fit(self, source: Sentences, target: Sentences) -> Self:
        """Nothing is learnt."""
        return self

    def align(self, source: Sentences, target: Sentences) -> list[Alignment]:
        """No link."""
        return [Alignment({}) for _ in zip(source, target, strict=True)]


class Position(NoLinks):
    """Each word belongs to that at the same share of the sentence, and the other way round."""

    name = "position"

    def align(self, source: Sentences, target: Sentences) -> list[Alignment]:
        """Of each word the nearest by its share."""
        return [by_share(len(left), len(right)) for left, right in zip(source, target, strict=True)]


def by_share(n: int, m: int) -> Alignment:
    """The links of `n` words with `m`."""
    if not n or not m:
        return Alignment({})
    far = off_diagonal(n, m)
    links = np.zeros((n, m), dtype=bool)
    links[np.arange(n), far.argmin(axis=1)] = links[far.argmin(axis=0), np.arange(m)] = True
    return from_matrix(links)


class Letters(NoLinks):
    """Each word belongs to that with most of its groups of three letters, weighed by the diagonal as IBM model 1 is."""

    name = "letters"

    def align(self, source: Sentences, target: Sentences) -> list[Alignment]:
        """The links that grow from the most similar words of both directions."""
        return [from_matrix(grow(alike(left, right))) for left, right in zip(source, target, strict=True)]


def alike(left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
    """The Dice coefficient of groups of three letters of two words, weighed by the diagonal, (i, j)."""
    a, b = ([_threes(word) for word in side] for side in (left, right))
    met = [[2 * (x & y).total() / (x.total() + y.total()) for y in b] for x in a]
    weight = np.exp(-IBM1().diagonal * off_diagonal(len(left), len(right)))
    return np.array(met, dtype=np.float64).reshape(len(left), len(right)) * weight


def _threes(word: str) -> Counter[str]:
    padded = f"^{word.lower()}$"
    return Counter(padded[i : i + 3] for i in range(max(len(padded) - 2, 1)))


class Fitted:
    """An aligner that has learnt already: what `carry` copies and fits is left as it is."""

    def __init__(self, aligner: IBM1) -> None:
        self.aligner, self.name = aligner, aligner.name

    def fit(self, source: Sentences, target: Sentences) -> Self:
        """Nothing more is learnt."""
        return self

    def align(self, source: Sentences, target: Sentences) -> list[Alignment]:
        """As the aligner."""
        return self.aligner.align(source, target)

    def __deepcopy__(self, memo: Any) -> Fitted:
        return self


class WholeSentences:
    """A classifier of sentences: the class of the longest span, as one span of the whole sentence, or nothing.

    TF-IDF of single words and pairs of words, and a logistic regression.
    """

    def fit(self, texts: Sequence[str], rows: Sequence[NDArray[Any]]) -> Self:
        """Learn from texts and their spans."""
        longest = [max(spans.tolist(), key=lambda row: row[1] - row[0])[2] if len(spans) else -1 for spans in rows]
        tfidf = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        self.classifier = make_pipeline(tfidf, LogisticRegression(C=REGULAR, max_iter=1000)).fit(list(texts), longest)
        return self

    def predict(self, samples: Domain) -> NDArray[Any]:
        """A span for each text, or none."""
        texts = [str(text) for text in samples.x.tolist()]
        labels = self.classifier.predict(texts)
        return objects(_whole(text, int(k)) for text, k in zip(texts, labels))


REGULAR = 10.0
"""Inverse strength of the penalty of the regression, the better of 1 and 10 on the development part."""


def _whole(text: str, label: int) -> NDArray[np.int64]:
    places = words(text)
    if label < 0 or not places:
        return np.zeros((0, 3), dtype=np.int64)
    return np.array([[places[0][0], places[-1][1], label]], dtype=np.int64)
