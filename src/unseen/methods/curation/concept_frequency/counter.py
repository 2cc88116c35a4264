"""Counts of a fixed list of concepts in any number of captions, in memory that does not grow with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.typing import IntArray
from unseen.methods.curation.concept_frequency.index import lemmas_of, within
from unseen.methods.curation.concept_frequency.lemmas import lemmatizer
from unseen.methods.curation.concept_frequency.postings import CHUNK, Postings, Speller, invert
from unseen.methods.curation.concept_frequency.shares import Source, each_share
from unseen.scale import Engine

Known = int
"""Which words of a concept a corpus holds, a bit each."""


@dataclasses.dataclass(frozen=True)
class ConceptCounts:
    """How many captions hold each concept; counts of parts of a corpus add up with ``+``.

    Words that the corpus does not hold are left out of a concept's search, which is known only in the end. So a part
    keeps, beside its count, which words it had: a part that lacks a word that another has counts nothing.

    Attributes
    ----------
    concepts : tuple of C str
    n : int
        Captions.
    tallies : tuple of C dicts
        From the words that were there, as bits, to the captions that hold them all.
    """

    concepts: tuple[str, ...]
    n: int
    tallies: tuple[dict[Known, int], ...]

    def __add__(self, other: ConceptCounts) -> ConceptCounts:
        if self.concepts != other.concepts:
            raise ValueError("counts must be of the same concepts to be added")
        tallies = tuple({k: a.get(k, 0) + b.get(k, 0) for k in a | b} for a, b in zip(self.tallies, other.tallies))
        return ConceptCounts(self.concepts, self.n + other.n, tallies)

    @property
    def counts(self) -> IntArray:
        """Captions per concept, (C,)."""
        return np.array([self._count(tally) for tally in self.tallies], dtype=np.int64)

    @staticmethod
    def _count(tally: Mapping[Known, int]) -> int:
        known = 0
        for bits in tally:
            known |= bits
        return tally.get(known, 0) if known else 0


def count_concepts(
    captions: Iterable[str | None] | pa.Array | pa.ChunkedArray | Source,
    concepts: Sequence[str],
    *,
    lemmas: str = "rules",
    chunk: int = CHUNK,
    processes: int = 1,
    engine: Engine | None = None,
) -> ConceptCounts:
    """Count the captions that hold each concept, as `ConceptIndex.count` does, without keeping an index.

    Parameters
    ----------
    captions : iterable of n str or None, column of Arrow, or Source
    concepts : sequence of C str
    lemmas : {"rules", "simplemma", "spacy", "none"}
    chunk, processes, engine
        As for `ConceptIndex.from_captions`.
    """
    lemmatizer(lemmas)
    counts = ConceptCounts(tuple(concepts), 0, tuple({} for _ in concepts))
    setting = _setting(concepts, lemmas)
    for n, tallies in each_share(count_share, captions, setting, chunk=chunk, processes=processes, engine=engine):
        counts += ConceptCounts(counts.concepts, n, tallies)
    return counts


Setting = tuple[str, list[str], list[tuple[int, ...]]]
"""What a process needs to count: lemmatiser, all words, and the words of every concept as their numbers."""


def _setting(concepts: Sequence[str], lemmas: str) -> Setting:
    spellings = [tuple(dict.fromkeys(lemmas_of(concept, lemmas))) for concept in concepts]
    lexicon = sorted({word for spelling in spellings for word in spelling})
    number = {word: i for i, word in enumerate(lexicon)}
    return lemmas, lexicon, [tuple(number[word] for word in spelling) for spelling in spellings]


def count_share(setting: Setting, pieces: Iterable[pa.Array]) -> tuple[int, tuple[dict[Known, int], ...]]:
    """Captions of a share, and the tally of every concept in them."""
    n = 0
    tallies: tuple[dict[Known, int], ...] = tuple({} for _ in setting[2])
    for piece in pieces:
        n += len(piece)
        for tally, (bits, count) in zip(tallies, count_chunk(setting, piece)):
            tally[bits] = tally.get(bits, 0) + count
    return n, tallies


def count_chunk(setting: Setting, captions: pa.Array) -> list[tuple[Known, int]]:
    """Of every concept which of its words a chunk holds, and how many of its captions hold them all."""
    lemmas, lexicon, concepts = setting
    held = invert(Speller(lemmas, lexicon), captions)
    sizes = np.diff(held.offsets).tolist() if lexicon else []
    joint = _Joint(held)
    tallies = []
    for numbers in concepts:
        bits = sum(1 << k for k, number in enumerate(numbers) if sizes[number])
        known = sorted((number for number in numbers if sizes[number]), key=lambda number: sizes[number])
        tallies.append((bits, joint.count(known) if len(known) > 1 else sizes[known[0]] if known else 0))
    return tallies


class _Joint:
    """Captions that hold several words: lists of rare words are looked up, masks of frequent ones are cut."""

    RARE = 2000

    def __init__(self, held: Postings) -> None:
        self.held = held
        self.masks: dict[int, NDArray[np.bool_]] = {}

    def samples(self, number: int) -> NDArray[Any]:
        return self.held.samples[self.held.offsets[number] : self.held.offsets[number + 1]]

    def mask(self, number: int) -> NDArray[np.bool_]:
        if number not in self.masks:
            self.masks[number] = np.zeros(self.held.n, bool)
            self.masks[number][self.samples(number)] = True
        return self.masks[number]

    def count(self, numbers: list[int]) -> int:
        """Of words from the rarest on."""
        rows = self.samples(numbers[0])
        if len(rows) < self.RARE:
            for number in numbers[1:]:
                other = self.samples(number)
                rows = rows[within(rows, other) if len(other) < self.RARE else self.mask(number)[rows]]
            return len(rows)
        both = self.mask(numbers[0])
        for number in numbers[1:]:
            both = both & self.mask(number)
        return int(np.count_nonzero(both))
