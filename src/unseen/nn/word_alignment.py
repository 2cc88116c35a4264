"""Which words of a sentence and of its translation belong together: IBM model 1, similarities."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray

Links = Mapping[int, Sequence[int]]
"""Words of the translation by the word of the source, both from 0; a word without any is left out."""
Sentences = Sequence[Sequence[str]]

NULL = ""
_PHARAOH = re.compile(r"(\d+)[-?](\d+)")
_SMALL = 1e-12


@dataclasses.dataclass(frozen=True)
class Alignment:
    """The links of a pair of sentences.

    Attributes
    ----------
    links : mapping of int to tuple of int
    sure : mapping of (int, int) to float
        How sure each link is, in [0, 1]; 1 where it is not told.
    """

    links: Mapping[int, tuple[int, ...]]
    sure: Mapping[tuple[int, int], float] = dataclasses.field(default_factory=dict)

    def sureness(self, i: int) -> float:
        """Of the surest link of a word of the source; 0 where it has none."""
        return max((self.sure.get((i, j), 1.0) for j in self.links.get(i, ())), default=0.0)


@runtime_checkable
class Aligner(Protocol):
    """What aligns the words of sentences with those of their translations."""

    name: str

    def fit(self, source: Sentences, target: Sentences) -> Any:
        """Learn from sentences and their translations, in words."""
        ...

    def align(self, source: Sentences, target: Sentences) -> list[Alignment]:
        """The links of each pair."""
        ...


def from_matrix(links: Bool[np.ndarray, "i j"], sure: Float[np.ndarray, "i j"] | None = None) -> Alignment:
    """An alignment from a table of links."""
    pairs = [(int(i), int(j)) for i, j in np.argwhere(links)]
    linked: dict[int, list[int]] = {}
    for i, j in pairs:
        linked.setdefault(i, []).append(j)
    sureness = {} if sure is None else {(i, j): float(min(max(sure[i, j], 0.0), 1.0)) for i, j in pairs}
    return Alignment({i: tuple(js) for i, js in linked.items()}, sureness)


def from_pharaoh(text: str) -> Alignment:
    """An alignment as aligners write it: ``0-0 1-2 2-1``.

    Raises
    ------
    ValueError
        If a word of the text is no pair of numbers.
    """
    linked: dict[int, list[int]] = {}
    for word in text.split():
        match = _PHARAOH.fullmatch(word)
        if match is None:
            raise ValueError(f"links must be pairs of numbers such as 0-1; got {word!r}")
        linked.setdefault(int(match[1]), []).append(int(match[2]))
    return Alignment({i: tuple(sorted(set(js))) for i, js in sorted(linked.items())})


# -- from similarities to links ------------------------------------------------------------------------------


def mutual_argmax(similarity: Float[np.ndarray, "i j"]) -> Bool[np.ndarray, "i j"]:
    """Links whose both words are each other's most similar one; a similarity of 0 is none."""
    s = np.asarray(similarity)
    out = np.zeros(s.shape, dtype=bool)
    if s.size:
        forward = s.argmax(axis=1)
        mutual = s.argmax(axis=0)[forward] == np.arange(len(s))
        out[np.flatnonzero(mutual), forward[mutual]] = True
    return out & (s > 0)


def itermax(
    similarity: Float[np.ndarray, "i j"], *, iterations: int = 2, alpha: float = 0.9
) -> Bool[np.ndarray, "i j"]:
    """SimAlign's iterated mutual argmax: words that are still without a link may find one.

    Similarities of two words that both have a link are set to zero, of those of which one has it multiplied by `alpha`.
    """
    links = mutual_argmax(similarity)
    for _ in range(iterations - 1):
        rows, columns = np.asarray(links.any(axis=1))[:, None], np.asarray(links.any(axis=0))[None]
        weight = np.where(rows & columns, 0.0, np.where(rows | columns, alpha, 1.0))
        links = links | mutual_argmax(similarity * weight)
    return links


def grow_diagonal(
    forward: Bool[np.ndarray, "i j"], backward: Bool[np.ndarray, "i j"], final: bool = True
) -> Bool[np.ndarray, "i j"]:
    """Koehn's symmetrization: the links of both directions, then neighbours of them that one direction has.

    A neighbour is added while one of its words has no link yet; with `final`, so are links of either direction whose
    words both have none.
    """
    links: NDArray[np.bool_] = np.asarray(forward & backward)
    union: NDArray[np.bool_] = np.asarray(forward | backward)
    steps = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b]
    n, m = links.shape
    added = True
    while added:
        added = False
        for i, j in np.argwhere(links):
            for a, b in steps:
                k, l = i + a, j + b
                new = 0 <= k < n and 0 <= l < m and union[k, l] and not links[k, l]
                if new and not (links[k].any() and links[:, l].any()):
                    links[k, l] = added = True
    if final:
        for k, l in np.argwhere(union & ~links):
            if not links[k].any() and not links[:, l].any():
                links[k, l] = True
    return links


def grow(similarity: Float[np.ndarray, "i j"]) -> Bool[np.ndarray, "i j"]:
    """`grow_diagonal` of each word's most similar one in both directions; a similarity of 0 is none."""
    s = np.asarray(similarity)
    if not s.size:
        return np.zeros(s.shape, dtype=bool)
    there, back = np.zeros(s.shape, dtype=bool), np.zeros(s.shape, dtype=bool)
    there[np.arange(len(s)), s.argmax(axis=1)] = True
    back[s.argmax(axis=0), np.arange(s.shape[1])] = True
    return grow_diagonal(there & (s > 0), back & (s > 0))


LINKS: dict[str, Callable[[NDArray[Any]], NDArray[np.bool_]]] = {
    "mutual": mutual_argmax,
    "itermax": itermax,
    "grow": grow,
}


def share_of(similarity: Float[np.ndarray, "i j"]) -> NDArray[np.float64]:
    """Each similarity as a share of all of its row and its column: how sure a link is, (i, j)."""
    s = np.asarray(similarity, dtype=np.float64)
    around = s.sum(axis=1, keepdims=True) + s.sum(axis=0, keepdims=True) - s
    return s / np.maximum(around, _SMALL)


# -- IBM model 1 ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Translations:
    """What `ibm1` learnt: p(word of the target | word of the source, or none) of all words that met.

    Attributes
    ----------
    source, target : mapping of word to number
        The empty word of the source is 0.
    keys : int array (k,)
        Sorted: number of the source times the words of the target, plus number of the target.
    p : array (k,)
    likelihood : tuple of float
        Log-likelihood of the sentences before each step but the first.
    """

    source: Mapping[str, int]
    target: Mapping[str, int]
    keys: NDArray[np.int64]
    p: NDArray[np.float64]
    likelihood: tuple[float, ...] = ()

    def table(self, left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
        """p of each word of the right given each of the left, (1 + i, j), 0 of words that never met.

        The first row is of the empty word.
        """
        rows = np.array([0, *(self.source.get(word, -1) for word in left)], dtype=np.int64)
        columns = np.array([self.target.get(word, -1) for word in right], dtype=np.int64)
        wanted = rows[:, None] * len(self.target) + columns[None]
        at = np.minimum(np.searchsorted(self.keys, wanted), max(len(self.keys) - 1, 0))
        met = (rows[:, None] >= 0) & (columns[None] >= 0)
        if not len(self.keys):
            return np.zeros(wanted.shape)
        return np.where(met & (self.keys[at] == wanted), self.p[at], 0.0)

    def of(self, source: str, target: str) -> float:
        """p(target | source)."""
        return float(self.table([source], [target])[1, 0])


def ibm1(source: Sentences, target: Sentences, *, iterations: int = 6, alike: float = 0.0) -> Translations:
    """The translation table of IBM model 1 by EM, with an empty word.

    Parameters
    ----------
    source, target : sentences in words
    iterations : int, > 0
    alike : float, >= 0
        Counts that words which are written alike (numbers, names, abbreviations) have from the start.
    """
    first = _numbered(source, {NULL: 0})
    second = _numbered(target, {})
    wide = max(len(second), 1)
    lefts = [np.array([0, *map(first.__getitem__, words)], dtype=np.int64) for words in source]
    rights = [np.array([*map(second.__getitem__, words)], dtype=np.int64) for words in target]
    met = [(a[:, None] * wide + b[None]).ravel() for a, b in zip(lefts, rights, strict=True)]
    keys, kind = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *met]), return_inverse=True)
    starts = np.cumsum([0, *(len(b) for b in rights)])
    column = np.concatenate(
        [
            np.zeros(0, dtype=np.int64),
            *(np.tile(np.arange(s, s + len(b)), len(a)) for s, a, b in zip(starts, lefts, rights)),
        ]
    )
    choices = np.concatenate([np.zeros(0), *(np.full(len(b), len(a)) for a, b in zip(lefts, rights))])
    owner = keys // wide
    prior = np.zeros(len(keys))
    if alike:
        both = [(first[word], second[word]) for word in second if word in first]
        twins = np.array([a * wide + b for a, b in both], dtype=np.int64)
        at = np.minimum(np.searchsorted(keys, twins), max(len(keys) - 1, 0))
        prior[at[keys[at] == twins]] = alike
    p, likelihood = np.ones(len(keys)), []
    for step in range(iterations):
        total = np.bincount(column, p[kind], minlength=int(starts[-1]))
        if step:
            likelihood.append(float(np.log(total / choices).sum()))
        counts = np.bincount(kind, p[kind] / total[column], minlength=len(keys)) + prior
        p = counts / np.bincount(owner, counts)[owner]
    return Translations(first, second, keys, p, tuple(likelihood))


def _numbered(sentences: Sentences, known: dict[str, int]) -> dict[str, int]:
    for words in sentences:
        for word in words:
            known.setdefault(word, len(known))
    return known


def plain(word: str, letters: int = 0) -> str:
    """A word as aligners count it: in lower case, and of long ones the first letters alone if so many are told."""
    low = word.lower()
    return low[:letters] if letters and not any(c.isdigit() for c in low) else low


# -- aligners ------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class IBM1:
    """Aligns by IBM model 1 in both directions: their geometric mean, a prior for the diagonal, and links of that.

    Parameters
    ----------
    iterations : int, > 0
        Steps of EM.
    diagonal : float, >= 0
        How much words at the same share of their sentences are preferred.
    letters : int, >= 0
        Letters by which long words are told apart, so that inflected ones count together; 0 takes all.
    alike : float, >= 0
        Counts that words which are written alike have from the start.
    symmetry : {"grow", "mutual", "itermax"}
        Which links are taken: `grow`, `mutual_argmax` or `itermax`.

    Notes
    -----
    How sure a link is, in [0, 1], is its similarity beside those of all other links of its two words.
    """

    iterations: int = 6
    diagonal: float = 8.0
    letters: int = 5
    alike: float = 0.0
    symmetry: str = "grow"
    name: str = "ibm1"

    def fit(self, source: Sentences, target: Sentences) -> Self:
        """Learn both translation tables."""
        left, right = self._plain(source), self._plain(target)
        self.forward = ibm1(left, right, iterations=self.iterations, alike=self.alike)
        self.backward = ibm1(right, left, iterations=self.iterations, alike=self.alike)
        return self

    def _plain(self, sentences: Sentences) -> list[list[str]]:
        return [[plain(word, self.letters) for word in words] for words in sentences]

    def similarity(self, left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
        """The geometric mean of both directions, weighed by the diagonal, (i, j)."""
        left, right = self._plain([left])[0], self._plain([right])[0]
        both = self.forward.table(left, right)[1:] * self.backward.table(right, left)[1:].T
        return np.sqrt(both) * np.exp(-self.diagonal * off_diagonal(len(left), len(right)))

    def align(self, source: Sentences, target: Sentences) -> list[Alignment]:
        """The links of each pair, and how sure they are."""
        choose = LINKS[self.symmetry]
        tables = [self.similarity(left, right) for left, right in zip(source, target, strict=True)]
        return [from_matrix(choose(table), share_of(table)) for table in tables]


def off_diagonal(n: int, m: int) -> NDArray[np.float64]:
    """How far apart places in two sentences are, as shares of their lengths, (n, m)."""
    i, j = (np.arange(n) + 0.5) / max(n, 1), (np.arange(m) + 0.5) / max(m, 1)
    return np.abs(i[:, None] - j[None])


@dataclasses.dataclass
class Similarity:
    """Aligns by the cosines of vectors of words (SimAlign): nothing is learnt from the sentences.

    Parameters
    ----------
    encoder : TokenEncoder
        Gives vectors of words (`unseen.nn.taggers.token_encoder`); one of several languages, unless these look alike.
    symmetry : {"itermax", "mutual", "grow"}
        Which links are taken.
    diagonal : float, >= 0
        How much words at the same share of their sentences are preferred; 0 in the paper.
    """

    encoder: Any
    symmetry: str = "itermax"
    diagonal: float = 0.0
    name: str = "similarity"

    def fit(self, source: Sentences, target: Sentences) -> Self:
        """Nothing is learnt."""
        return self

    @torch.no_grad()
    def align(self, source: Sentences, target: Sentences) -> list[Alignment]:
        """The links of each pair; how sure one is, is (1 + cosine) / 2."""
        out = []
        for left, right in zip(source, target, strict=True):
            if not left or not right:
                out.append(Alignment({}))
                continue
            a, b = (torch.nn.functional.normalize(self.encoder.vectors([list(w)])[0], dim=1) for w in (left, right))
            table = ((1 + a @ b.T) / 2).double().numpy()
            weighed = table * np.exp(-self.diagonal * off_diagonal(len(left), len(right)))
            out.append(from_matrix(LINKS[self.symmetry](weighed), table))
        return out
