"""Step 17: whether a sentence supports or attacks another, or says nothing of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from unseen.data.domain import Domain

NONE = "noRel"
Pair = tuple[str, str]


@dataclasses.dataclass
class RelationClassifier:
    """Say how the first of two sentences relates to the second: noRel, Support, Attack, or whatever was learnt.

    Sentences are read as hashed words and pairs of words, each side by itself, with the words that they share; or, with
    an `encoder`, as the vectors of both, their distance and their product. Classes weigh alike, as most pairs have no
    relation. Only translations are needed for another language: a label is of a pair, not of a span.

    Parameters
    ----------
    encoder : Encoder, optional
        With ``encode(domain)``.
    C : float, > 0
        Inverse strength of the penalty.
    buckets : int, > 0
        Of hashed words.
    """

    encoder: Any = None
    C: float = 1.0
    buckets: int = 1 << 16

    def fit(self, pairs: Sequence[Pair], labels: Sequence[str]) -> Self:
        """Learn from pairs of sentences with a label each."""
        if len(pairs) != len(labels) or not pairs:
            raise ValueError(f"labels must be one for each pair, of which there are {len(pairs)}; got {len(labels)}")
        if len(set(labels)) < 2:
            raise ValueError(f"labels must be of two classes at least; all are {labels[0]!r}")
        regression = LogisticRegression(C=self.C, class_weight="balanced", max_iter=300)
        regression.fit(self._features(pairs), np.asarray(labels))
        self.classes_ = tuple(regression.classes_.tolist())
        self.regression_ = regression
        return self

    def predict(self, pairs: Sequence[Pair]) -> list[str]:
        """The relation of each pair."""
        return [str(label) for label in self.regression_.predict(self._features(pairs))] if pairs else []

    def _features(self, pairs: Sequence[Pair]) -> Any:
        left, right = ([str(text) for text in side] for side in zip(*pairs))
        if self.encoder is not None:
            a, b = (self._vectors(texts) for texts in (left, right))
            return np.concatenate([a, b, np.abs(a - b), a * b], axis=1)
        hashing = HashingVectorizer(n_features=self.buckets, ngram_range=(1, 2), alternate_sign=False)
        first, second = hashing.transform(left), hashing.transform(right)
        return sparse.hstack([first, second, first.multiply(second).sqrt()]).tocsr()

    def _vectors(self, texts: Sequence[str]) -> NDArray[Any]:
        each, row = np.unique(np.array(texts, dtype=np.str_), return_inverse=True)  # a sentence stands in many pairs
        return np.asarray(self.encoder.encode(Domain(x=each, kind="text", name="sentences")).x)[row]


def relation_f1(truth: Sequence[str], said: Sequence[str]) -> dict[str, float]:
    """Macro F1 over all classes, and over those that are a relation; 1 where neither side has any.

    Parameters
    ----------
    truth, said : sequences of str
        As many of each.
    """
    if len(truth) != len(said):
        raise ValueError(f"said must be a relation for each of truth, {len(truth)}; got {len(said)}")
    labels = sorted({*truth, *said})
    related = [label for label in labels if label != NONE]
    return {"macro F1": _macro(truth, said, labels), "macro F1 of relations": _macro(truth, said, related)}


def _macro(truth: Sequence[str], said: Sequence[str], labels: Sequence[str]) -> float:
    if not labels:
        return 1.0
    return float(f1_score(truth, said, labels=labels, average="macro", zero_division=0))


def read_relations(lines: Sequence[str]) -> tuple[list[Pair], list[str], int]:
    """Pairs and labels of lines ``__label__Support TAB one TAB other``, and how many lines are of another form."""
    pairs, labels, bad = [], [], 0
    for line in lines:
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) == 3 and cells[0].startswith("__label__") and cells[1].strip() and cells[2].strip():
            pairs.append((cells[1].strip(), cells[2].strip()))
            labels.append(cells[0].removeprefix("__label__"))
        else:
            bad += bool(line.strip())
    return pairs, labels, bad
