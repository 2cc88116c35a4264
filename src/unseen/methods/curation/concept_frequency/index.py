"""`ConceptIndex`: which captions hold a concept, or which pictures are tagged with it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.typing import IntArray
from unseen.methods.curation.concept_frequency.lemmas import lemmatizer, words
from unseen.methods.curation.concept_frequency.postings import CHUNK, OTHER, Postings, Speller, invert, joined
from unseen.methods.curation.concept_frequency.shares import Source, each_share
from unseen.scale import Engine

Match = Literal["words", "phrase"]


def lemmas_of(concept: str, lemmas: str = "rules") -> tuple[str, ...]:
    """Lemmas of a concept's words in their order; blanks, underscores and hyphens part them (spec step 3)."""
    lemma = lemmatizer(lemmas)
    return tuple(lemma(word) for word in words(concept.replace("_", " ")))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ConceptIndex:
    """An inverted index: lemma (or tag) to the samples that hold it [1].

    Make one with `from_captions` or `from_tags`; it does not depend on how the captions were cut into chunks.

    Attributes
    ----------
    lexicon : tuple of V str
        Lemmas or tags, sorted.
    offsets : array (V + 1,)
        Where the samples of each begin in `samples`.
    samples : array
        Sample numbers, rising for each word.
    n : int
        Samples in the corpus.
    lemmas : str
        Which lemmatiser made it.
    whole : bool
        Whether a concept is looked up as a whole (tags), not by its words (captions).
    stream, starts : arrays or None
        Word numbers of all captions in their order, for phrases.
    kept : frozenset of str or None
        The lemmas that were looked for, if not all: nothing can be said of others.

    References
    ----------
    [1] Udandarao et al., "No 'Zero-Shot' Without Exponential Data", NeurIPS 2024, section 2.
    """

    lexicon: tuple[str, ...]
    offsets: NDArray[np.int64]
    samples: NDArray[np.int64]
    n: int
    lemmas: str = "rules"
    whole: bool = False
    stream: NDArray[np.int32] | None = None
    starts: NDArray[np.int64] | None = None
    kept: frozenset[str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "_number", {word: i for i, word in enumerate(self.lexicon)})

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        kind = "tags" if self.whole else f"lemmas ({self.lemmas})"
        return f"ConceptIndex({self.n:,} samples, {len(self.lexicon):,} {kind}, {len(self.samples):,} postings)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConceptIndex):
            return NotImplemented
        return (self.lexicon, self.n, self.lemmas, self.whole, self.kept) == (
            other.lexicon, other.n, other.lemmas, other.whole, other.kept,
        ) and all(
            np.array_equal(a, b) if a is not None and b is not None else a is b
            for a, b in (
                (self.offsets, other.offsets), (self.samples, other.samples),
                (self.stream, other.stream), (self.starts, other.starts),
            )
        )  # fmt: skip

    __hash__ = None  # type: ignore[assignment]

    # -- making -------------------------------------------------------------------------------------------

    @classmethod
    def from_captions(
        cls,
        captions: Iterable[str | None] | pa.Array | pa.ChunkedArray | Source,
        *,
        lemmas: str = "rules",
        concepts: Iterable[str] | None = None,
        phrases: bool = False,
        chunk: int = CHUNK,
        processes: int = 1,
        engine: Engine | None = None,
    ) -> ConceptIndex:
        """Index captions by their lemmas.

        Parameters
        ----------
        captions : iterable of n str or None, column of Arrow, or Source
            Missing captions count as samples and hold nothing. A source is a file of which every process reads its own
            shares, such as `unseen.jobs.concepts.captions.Captions`.
        lemmas : {"rules", "simplemma", "spacy", "none"}
            See `lemmas.lemmatizer`.
        concepts : iterable of str, optional
            Keep only the words of these: smaller, the same answers for them, none for others.
        phrases : bool
            Keep the order of words, so that concepts can be counted as phrases (n-grams of any length).
        chunk : int, > 0
            Captions that are read at once.
        processes : int, > 0
            Processes that read at the same time; the index is the same.
        engine : Engine, optional
            Ray, in place of processes of this machine; the index is the same.

        Raises
        ------
        ValueError, TypeError
            If a setting is out of range, or a caption is no text.
        """
        kept = None if concepts is None else sorted({w for c in concepts for w in lemmas_of(c, lemmas)})
        lemmatizer(lemmas)  # a missing package is told before any work
        setting = (lemmas, kept, phrases)
        shares = each_share(invert_share, captions, setting, chunk=chunk, processes=processes, engine=engine)
        parts = [part for share in shares for part in share]
        index = _index(joined(parts, order=phrases), lemmas)
        return index if kept is None else dataclasses.replace(index, kept=frozenset(kept))

    @classmethod
    def from_tags(cls, tags: Iterable[Iterable[str]], *, lemmas: str = "rules") -> ConceptIndex:
        """Index the tags of pictures: a tag is a concept as a whole, whatever its case, number or underscores.

        Parameters
        ----------
        tags : iterable of n sets of str
        """
        held: dict[str, list[int]] = {}
        known: dict[str, str] = {}
        n = 0
        for picture_tags in tags:
            if isinstance(picture_tags, str):
                raise TypeError(f"tags must be a set of texts for every sample; got the text {picture_tags!r}")
            for key in {known.setdefault(tag, " ".join(lemmas_of(tag, lemmas))) for tag in picture_tags}:
                held.setdefault(key, []).append(n)
            n += 1
        return of_lists(held, n, lemmas)

    # -- asking -------------------------------------------------------------------------------------------

    def postings(self, word: str) -> NDArray[np.int64]:
        """Samples of a lemma or tag, rising; empty if it is unknown."""
        at = self._number.get(word)  # type: ignore[attr-defined]
        return self.samples[self.offsets[at] : self.offsets[at + 1]] if at is not None else self.samples[:0]

    def ids(self, concept: str, match: Match = "words") -> NDArray[np.int64]:
        """Samples that hold a concept, rising.

        ``words``: those that hold all of its words; words that the index does not know are left out of the search, as
        in the official code ("kite (bird of prey)" is found by the words that are known); none if it knows no word.
        ``phrase``: those that hold its lemmas one after another, all of them.

        Raises
        ------
        ValueError
            If phrases are asked of an index without the order of words, or the index was made for other concepts.
        """
        if match not in ("words", "phrase"):
            raise ValueError(f"match must be 'words' or 'phrase'; got {match!r}")
        concept_lemmas = lemmas_of(concept, self.lemmas)
        if self.kept is not None and (lost := [word for word in concept_lemmas if word not in self.kept]):
            raise ValueError(
                f"this index was made for other concepts: it did not look for {lost[0]!r} of {concept!r}; make it with "
                "this concept among concepts=, or without concepts="
            )
        if self.whole:
            return self.postings(" ".join(concept_lemmas))
        if match == "phrase":
            return self._phrase(concept_lemmas)
        lists = sorted((self.postings(word) for word in set(concept_lemmas)), key=len)
        known = [posting for posting in lists if len(posting)]
        if not known:
            return self.samples[:0]
        samples = known[0]
        for other in known[1:]:
            samples = samples[within(samples, other)]
        return samples

    def count(self, concept: str, match: Match = "words") -> int:
        """How many samples hold a concept; see `ids`."""
        return len(self.ids(concept, match))

    def counts(self, concepts: Iterable[str], match: Match = "words") -> IntArray:
        """`count` of every concept, (C,)."""
        return np.array([self.count(concept, match) for concept in concepts], dtype=np.int64)

    def _phrase(self, lemmas: Sequence[str]) -> NDArray[np.int64]:
        if self.stream is None or self.starts is None:
            raise ValueError("this index holds no order of words; make it with phrases=True to count phrases")
        numbers = [self._number.get(word, OTHER - 1) for word in lemmas]  # type: ignore[attr-defined]
        if not numbers or min(numbers) < 0:
            return self.samples[:0]
        last = len(self.stream) - len(numbers) + 1
        places = np.flatnonzero(self.stream[: max(last, 0)] == numbers[0])
        for k, number in enumerate(numbers[1:], start=1):
            places = places[self.stream[places + k] == number]
        first = np.searchsorted(self.starts, places, side="right") - 1
        whole = places + len(numbers) <= self.starts[first + 1]
        return np.unique(first[whole]).astype(np.int64)

    # -- keeping ------------------------------------------------------------------------------------------

    def merged(self, later: ConceptIndex) -> ConceptIndex:
        """The index of both corpora, the samples of `later` numbered behind these."""
        if (self.lemmas, self.whole) != (later.lemmas, later.whole):
            raise ValueError(f"indices must be of one kind; got {self!r} and {later!r}")
        if self.kept != later.kept:
            raise ValueError("indices must have been made for the same concepts to be merged")
        order = self.stream is not None and later.stream is not None
        parts = [Postings(list(x.lexicon), x.offsets, x.samples, x.n, x.stream, x.starts) for x in (self, later)]
        index = _index(joined(parts, order=order), self.lemmas)
        return dataclasses.replace(index, whole=self.whole, kept=self.kept)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``index.json``, ``postings.parquet`` and, with phrases, ``order.parquet``; all or nothing.

        An index that is there is replaced.

        Raises
        ------
        ValueError
            If the folder holds anything but an index.
        """
        from unseen.methods.curation.concept_frequency.storage import save

        save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ConceptIndex:
        """Read what `save` wrote; `ValueError` if it is none or of a later format."""
        from unseen.methods.curation.concept_frequency.storage import load

        return cls(**load(Path(folder)))


def joint_counts(text: ConceptIndex, image: ConceptIndex, concepts: Iterable[str], match: Match = "words") -> IntArray:
    """Samples that hold a concept in caption and picture, of every concept, (C,) (spec step 5).

    Raises
    ------
    ValueError
        If the indices are not of the same samples.
    """
    if text.n != image.n:
        raise ValueError(f"text and image must index the same samples; got {text.n} and {image.n}")
    pairs = ((text.ids(concept, match), image.ids(concept)) for concept in concepts)
    return np.array([within(*sorted(pair, key=len)).sum() for pair in pairs], dtype=np.int64)


# -- inside ------------------------------------------------------------------------------------------------


def invert_share(setting: tuple[str, list[str] | None, bool], pieces: Iterable[pa.Array]) -> list[Postings]:
    """Posting lists of the chunks of a share, in any process."""
    lemmas, kept, order = setting
    return [invert(Speller(lemmas, kept), piece, order=order) for piece in pieces]


def within(few: NDArray[Any], many: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of the rising `few` are in the rising `many`."""
    if not len(many):
        return np.zeros(len(few), bool)
    places = np.searchsorted(many, few)
    return many[np.minimum(places, len(many) - 1)] == few


def _index(held: Postings, lemmas: str) -> ConceptIndex:
    parts = tuple(held.lexicon), held.offsets, held.samples, held.n
    return ConceptIndex(*parts, lemmas=lemmas, stream=held.stream, starts=held.starts)


def of_lists(held: dict[str, Any], n: int, lemmas: str) -> ConceptIndex:
    lexicon = tuple(sorted(word for word, rows in held.items() if len(rows)))
    offsets = np.concatenate([[0], np.cumsum([len(held[word]) for word in lexicon])]).astype(np.int64)
    samples = np.concatenate([np.zeros(0, np.int64), *(np.asarray(held[word], np.int64) for word in lexicon)])
    return ConceptIndex(lexicon, offsets, samples, n, lemmas, True)
