"""Spans without word alignment: a sentence is one span as a whole, by its words, or holds names that were marked."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.tagged import Place, covered, cut, pieces, words
from unseen.methods.base import Card
from unseen.methods.parameters import Count, Positive, Unit
from unseen.methods.span_taggers import (
    Marked,
    MarkedSentences,
    SpanTagger,
    check_translations,
    names_of,
    translations,
)
from unseen.nn.taggers import shape_of

NONE = -1
"""Kind of a sentence that is no span as a whole."""
STEM = 5
"""Letters of the beginning of a word, which words of two languages share more often than whole words."""
SIGNS = "%=<>()/:;"
"""Signs that are counted; they mean the same in many languages."""
Marks = Counter[tuple[str, int]]
"""How often a name was marked as of a class in one sentence."""


class WholeOrNamed(SpanTagger):
    """Say of each sentence whether it is one span as a whole; in what is none, mark names that were marked before [1].

        kind(sentence) = argmax_k  w_k . f(sentence) + b_k        over "none" and the classes of spans

    is a logistic regression on binary features at unit length. A translation has the kind of its sentence, so that no
    word is aligned. f has beginnings of words without accents, which languages share more often than words; without
    translations also how the sentence is written (its length, numbers and signs), with them words and pairs of words.

    A name is a span of a few words that leaves others out. It is marked wherever it stands alike, if enough of the
    places where it stood in the sentences that were learnt from, or in translations of these, were marked.

    Parameters
    ----------
    C : float, > 0
        Inverse strength of the penalty of the regression.
    least_count : int
        In how many sentences a feature stands, at least.
    least_part : float in [0, 1]
        Share of the sentence that its longest span has, at least, where the sentence counts as a span as a whole.
    longest_name : int
        Words of a name, at most.
    least_share : float in [0, 1]
        Share of the places of a name that were marked, at least.

    Attributes
    ----------
    features_ : array of strings (v,)
    weights_, offsets_ : arrays (v, k), (k,)
        Of the regression.
    kinds_ : int array (k,)
        The class of each kind of sentence, -1 for none.
    known_ : array of strings (m,)
        Names in lower case without accents, words parted by a space.
    known_classes_, known_shares_ : arrays (m,)
        Of each name its class, and the share of its places that were marked.
    translated_ : bool
        Whether it learnt from translations.

    References
    ----------
    [1] Bel, Koster and Villegas, "Cross-Lingual Text Categorization", ECDL 2003, with sentences in the place of
        documents; names are looked up as in any gazetteer.
    """

    card = Card(
        slug="whole-or-named",
        cost=0.5,
        title="Cross-Lingual Text Categorization",
        venue="ECDL 2003",
        summary="Mark whole sentences by their words, and names where they stand alike; no word is aligned.",
        unseen={"domains"},
        modalities={"text"},
        protocols={"tagging"},
        task="spans",
        smoke={"least_count": 1},
        needs=(MarkedSentences(),),
        baseline=True,
        notes=(
            "Of a part of a sentence it marks names alone: of other spans that leave words out it finds none.",
            "Features and C were chosen on 679 Spanish sentences of AbstRCT. On the eight cases that `crosslingual-am` "
            "was confirmed on, more spans are exact than its CRF finds, with translations and without, but none that "
            "leaves a word out (docs/tag.md). Nothing was measured on names.",
        ),
    )

    C: Positive = 10.0
    least_count: Count = 2
    least_part: Unit = 0.5
    longest_name: Count = 6
    least_share: Unit = 0.5

    features_: NDArray[Any] = dataclasses.field(init=False)
    weights_: NDArray[np.float64] = dataclasses.field(init=False)
    offsets_: NDArray[np.float64] = dataclasses.field(init=False)
    kinds_: NDArray[np.int64] = dataclasses.field(init=False)
    known_: NDArray[Any] = dataclasses.field(init=False)
    known_classes_: NDArray[np.int64] = dataclasses.field(init=False)
    known_shares_: NDArray[np.float64] = dataclasses.field(init=False)
    translated_: bool = dataclasses.field(init=False)

    def fit(self, *, source: Domain, pairs: Pairs | None = None, translator: Any = None) -> Self:
        """Learn from sentences with spans, or from their translations if there are some."""
        check_translations(pairs, translator)
        self.names_ = names_of(source)
        self.translated_ = pairs is not None or translator is not None
        sentences = translations(source, pairs, translator) if self.translated_ else source.x.tolist()
        at = [i for i, text in enumerate(sentences) if text is not None]
        texts = [str(sentences[i]) for i in at]
        marked = [(str(source.x[i]), np.asarray(source.labels[i])) for i in at]
        if not any(len(rows) for _, rows in marked):
            raise ValueError("source: no sentence that is learnt from has a span")
        self.counts_ = {"sentences": len(at), "untranslated": len(sentences) - len(at)} if self.translated_ else {}
        self._learn_kinds(texts, [self._kind(text, rows) for text, rows in marked])
        self._learn_names(texts, [self._names(text, rows) for text, rows in marked])
        return self

    # -- whole sentences -----------------------------------------------------------------------------------

    def _kind(self, text: str, rows: NDArray[Any]) -> int:
        """The class of the longest span, if it has enough of the sentence."""
        if not len(rows):
            return NONE
        start, stop, label = max(rows.tolist(), key=lambda row: row[1] - row[0])
        return int(label) if stop - start >= self.least_part * len(text.strip()) else NONE

    def _learn_kinds(self, texts: Sequence[str], kinds: Sequence[int]) -> None:
        features = [features_of(text, translated=self.translated_) for text in texts]
        counts = Counter(name for names in features for name in names)
        self.features_ = np.array(sorted(k for k, n in counts.items() if n >= self.least_count), dtype=np.str_)
        self.kinds_ = np.unique(kinds)
        self.weights_ = np.zeros((len(self.features_), len(self.kinds_)))
        self.offsets_ = np.zeros(len(self.kinds_))
        if len(self.kinds_) == 1 or not len(self.features_):
            self.offsets_[-1] = 1.0
            return
        regression = LogisticRegression(C=self.C, max_iter=500).fit(self._vectors(features), kinds)
        two = len(self.kinds_) == 2  # of two kinds the regression has the second alone
        self.weights_[:, 1 if two else 0 :] = regression.coef_.T
        self.offsets_[1 if two else 0 :] = regression.intercept_

    def _vectors(self, sentences: Sequence[Sequence[str]]) -> sparse.csr_array:
        """Features of sentences at unit length, (n, v)."""
        place = {name: i for i, name in enumerate(self.features_.tolist())}
        rows = [[place[name] for name in names if name in place] for names in sentences]
        sizes = [len(row) for row in rows]
        values = np.repeat([1 / max(size, 1) ** 0.5 for size in sizes], sizes)
        indices = np.array([i for row in rows for i in row], dtype=np.int64)
        return sparse.csr_array((values, indices, np.cumsum([0, *sizes])), shape=(len(rows), len(place)))

    def _shares(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities of the kinds of sentences, (n, k)."""
        features = [features_of(text, translated=self.translated_) for text in texts]
        scores = self._vectors(features) @ self.weights_ + self.offsets_
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    # -- names ---------------------------------------------------------------------------------------------

    def _names(self, text: str, rows: NDArray[Any]) -> Marks:
        """The names that are marked in a sentence."""
        places = pieces(text)
        names: Marks = Counter()
        for start, stop, label in rows.tolist():
            first, end = covered(places, start, stop)
            if 0 < end - first <= self.longest_name and end - first < len(places):
                names[" ".join(folded(word) for word in cut(text, places[first:end])), int(label)] += 1
        return names

    def _learn_names(self, texts: Sequence[str], marked: Sequence[Marks]) -> None:
        every = {name for marks in marked for name, _ in marks}
        there: Counter[str] = Counter()
        right: Marks = Counter()
        for text, marks in zip(texts, marked):
            standing = Counter(name for _, _, name in self._standing(pieces(text), text, every))
            there.update(standing)
            right.update({(name, label): min(n, standing[name]) for (name, label), n in marks.items()})
        best: dict[str, tuple[float, int]] = {}
        for (name, label), n in sorted((+right).items()):
            best[name] = max(best.get(name, (0.0, 0)), (n / there[name], label))
        kept = [(name, *best[name]) for name in sorted(best) if best[name][0] >= self.least_share]
        self.known_ = np.array([name for name, _, _ in kept], dtype=np.str_)
        self.known_shares_ = np.array([share for _, share, _ in kept], dtype=np.float64)
        self.known_classes_ = np.array([label for _, _, label in kept], dtype=np.int64)

    def _standing(self, places: Sequence[Place], text: str, names: Any) -> Iterator[tuple[int, int, str]]:
        """Names in a text: first token, the one behind the last, name; from left to right, the longest first."""
        low = [folded(word) for word in cut(text, places)]
        i = 0
        while i < len(low):
            for end in range(min(i + self.longest_name, len(low)), i, -1):
                name = " ".join(low[i:end])
                if name in names:
                    yield i, end, name
                    i = end - 1
                    break
            i += 1

    # -- asking --------------------------------------------------------------------------------------------

    def mark(self, x: Any) -> list[list[Marked]]:
        """The spans of each text: how sure a whole sentence is, is its probability; of a name, its share."""
        texts = [str(text) for text in x.tolist()]
        if not texts:
            return []
        known = {name: i for i, name in enumerate(self.known_.tolist())}
        out = []
        for text, shares in zip(texts, self._shares(texts)):
            k, there = int(shares.argmax()), words(text)
            if self.kinds_[k] != NONE and there:
                out.append([Marked(there[0][0], there[-1][1], int(self.kinds_[k]), float(shares[k]))])
                continue
            places = pieces(text)
            standing = [(places[a][0], places[b - 1][1], known[n]) for a, b, n in self._standing(places, text, known)]
            out.append(
                [Marked(a, b, int(self.known_classes_[n]), float(self.known_shares_[n])) for a, b, n in standing]
            )
        return out


def folded(word: str) -> str:
    """A word in lower case without accents."""
    apart = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def features_of(text: str, *, translated: bool) -> list[str]:
    """What is told of a sentence, each once: beginnings of words, numbers as one, and signs.

    If `translated`, also its words and pairs of words; else how long it is, how it begins and ends, and how many
    numbers, abbreviations and signs it has.
    """
    written = cut(text, pieces(text))
    if not written:
        return []
    low = ["#" if any(c.isdigit() for c in word) else folded(word) for word in written]
    features = [f"stem={word[:STEM]}" for word in low]
    if translated:
        features += [f"word={word}" for word in low] + [f"pair={a} {b}" for a, b in zip(low, low[1:])]
        return list(dict.fromkeys(features))
    capitals = sum(word.isupper() and len(word) > 1 for word in written)
    features += [
        f"length={min(len(low) // 4, 14)}",
        f"numbers={min(low.count('#'), 6)}",
        f"capitals={min(capitals, 3)}",
    ]
    features += [f"first={low[0][:STEM]}", f"shape={shape_of(written[0])}", f"last={low[-1][:3]}"]
    features += [f"{sign}={min(low.count(sign), 3)}" for sign in SIGNS]
    return list(dict.fromkeys(features))
