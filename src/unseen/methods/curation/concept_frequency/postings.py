"""Captions to lemma numbers and posting lists, a chunk at a time, in columns of Arrow and NumPy."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unseen.methods.curation.concept_frequency.lemmas import Lemmatizer, lemmatizer, words

CHUNK = 131_072
"""Captions that are read at once."""

REMEMBERED = 2_000_000
"""Distinct pieces of text whose spelling is kept; then it begins anew."""

OTHER = -1
"""Number of a word that is in no vocabulary."""


def chunks(captions: Iterable[str | None] | pa.Array | pa.ChunkedArray, size: int = CHUNK) -> Iterator[pa.Array]:
    """Captions as arrays of at most `size` strings; a list, a column, columns one after another, or an iterator.

    Raises
    ------
    TypeError
        If something is neither text nor missing.
    """
    if isinstance(captions, str):
        raise TypeError("captions must be many texts, not one str")
    if isinstance(captions, (pa.Array, pa.ChunkedArray)):
        column = captions if isinstance(captions, pa.ChunkedArray) else pa.chunked_array([captions])
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise TypeError(f"captions must be texts; got a column of {column.type}")
        for piece in column.chunks:
            for first in range(0, len(piece), size):
                yield piece.slice(first, size)
        return
    if isinstance(captions, Sequence):
        for first in range(0, len(captions), size):
            yield from _as_text(captions[first : first + size])
        return
    rest = iter(captions)
    head = list(islice(rest, 1))
    rest = chain(head, rest)
    if head and isinstance(head[0], (pa.Array, pa.ChunkedArray)):
        for column in rest:
            yield from chunks(column, size)
        return
    while piece := list(islice(rest, size)):
        yield from _as_text(piece)


def _as_text(piece: Sequence[Any]) -> list[pa.Array]:
    """Arrays of strings; more than one if they pass 2 GB together."""
    try:
        array = pa.array(piece, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TypeError(f"captions must be texts: {error}") from error
    return array.chunks if isinstance(array, pa.ChunkedArray) else [array]


class Speller:
    """Numbers for the lemmas of captions: every distinct piece between blanks is looked at once.

    Parameters
    ----------
    lemmas : str
        Name of a lemmatiser.
    vocabulary : iterable of str, optional
        The lemmas that count; all others are `OTHER`. All count if absent, and get numbers as they come.
    """

    def __init__(self, lemmas: str = "rules", vocabulary: Iterable[str] | None = None) -> None:
        self.lemma: Lemmatizer = lemmatizer(lemmas)
        self.fixed = vocabulary is not None
        self.numbers: dict[str, int] = {word: i for i, word in enumerate(sorted(set(vocabulary or ())))}
        self._spelt = _spelt(lemmas)

    @property
    def lexicon(self) -> list[str]:
        """The lemma of every number."""
        return list(self.numbers)

    def spell(self, piece: str) -> list[int]:
        """Numbers of the lemmas in a piece of text without blanks."""
        lemmas = self._spelt.get(piece)
        if lemmas is None:
            lemmas = self._spelt[piece] = tuple(self.lemma(word) for word in words(piece))
        if self.fixed:
            return [self.numbers.get(lemma, OTHER) for lemma in lemmas]
        return [self.numbers.setdefault(lemma, len(self.numbers)) for lemma in lemmas]

    def read(self, captions: pa.Array, *, order: bool = True) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Lemma numbers of all captions in a row, and where each caption begins, (n + 1,).

        Without `order`, those of `OTHER` are left out.
        """
        if len(self._spelt) > REMEMBERED:
            self._spelt.clear()
        split = pc.split_pattern(captions.fill_null("") if captions.null_count else captions, " ")
        starts = split.offsets.to_numpy().astype(np.int64)
        flat = split.values.slice(int(starts[0]), int(starts[-1] - starts[0]))
        starts -= starts[0]
        encoded = pc.dictionary_encode(flat)
        spelt = [self.spell(piece) for piece in encoded.dictionary.to_pylist()]
        if not order and self.fixed:
            spelt = [[number for number in numbers if number != OTHER] for numbers in spelt]
        return _expanded(spelt, encoded.indices.to_numpy(), starts)


def _expanded(
    spelt: list[list[int]], codes: NDArray[np.int32], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Every piece replaced by its numbers, of which most have one or none."""
    lengths = np.fromiter(map(len, spelt), np.int64, len(spelt))
    table = np.fromiter((n for numbers in spelt for n in numbers), np.int32, int(lengths.sum()))
    if (lengths == 0).any():
        kept = (lengths > 0)[codes]
        codes, starts = codes[kept], np.concatenate([[0], np.cumsum(kept)])[starts]
    if not len(codes):
        return table[:0], starts
    first = np.cumsum(lengths) - lengths
    if lengths.max() == 1:
        return table[first[codes]], starts
    counts = lengths[codes]
    ends = np.concatenate([[0], np.cumsum(counts)])
    places = np.arange(ends[-1])
    places += np.repeat(first[codes] - ends[:-1], counts)
    return table[places], ends[starts]


@functools.cache
def _spelt(lemmas: str) -> dict[str, tuple[str, ...]]:
    """Lemmas of the pieces that a process has seen."""
    return {}


@dataclasses.dataclass(frozen=True)
class Postings:
    """Of one chunk, or all: which captions hold each lemma.

    Attributes
    ----------
    lexicon : list of V str
    offsets : array (V + 1,)
        Where each lemma's samples begin in `samples`.
    samples : array
        Numbers of captions, rising for each lemma, each once.
    n : int
        Captions of the chunk.
    stream, starts : arrays or None
        The lemma numbers of all captions in a row, and where each caption begins: for phrases.
    """

    lexicon: list[str]
    offsets: NDArray[np.int64]
    samples: NDArray[Any]
    n: int
    stream: NDArray[np.int32] | None = None
    starts: NDArray[np.int64] | None = None


def invert(speller: Speller, captions: pa.Array, *, order: bool = False) -> Postings:
    """Posting lists of one chunk; `order` keeps the order of words, too."""
    from scipy.sparse import csr_matrix

    stream, starts = speller.read(captions, order=order)
    lexicon = speller.lexicon
    kept, rows = stream, starts
    if speller.fixed and order:
        mask = stream != OTHER
        kept = stream[mask]
        rows = np.concatenate([[0], np.cumsum(mask)])[starts]
    if not lexicon:
        none = Postings([], np.zeros(1, np.int64), np.zeros(0, np.int32), len(captions))
        return dataclasses.replace(none, stream=stream, starts=starts) if order else none
    shape = (len(captions), len(lexicon))
    columns = csr_matrix((np.ones(len(kept), np.int8), kept, rows), shape=shape, copy=False).tocsc()
    samples, ends = columns.indices.astype(np.int32), columns.indptr.astype(np.int64)
    fresh = np.ones(len(samples), bool)
    fresh[1:] = samples[1:] != samples[:-1]
    begins = ends[:-1]
    fresh[begins[begins < len(samples)]] = True
    offsets = np.concatenate([[0], np.cumsum(fresh)])[ends]
    sequence = (stream, starts) if order else (None, None)
    return Postings(lexicon, offsets, samples[fresh], len(captions), *sequence)


def joined(parts: Sequence[Postings], *, order: bool = False) -> Postings:
    """Union of posting lists of captions that follow each other, words sorted; words that nobody holds are dropped.

    It does not depend on how the captions were parted. Samples are int64.
    """
    held = [np.diff(part.offsets) for part in parts]
    every = sorted({word for part, sizes in zip(parts, held) for word, k in zip(part.lexicon, sizes.tolist()) if k})
    number = {word: i for i, word in enumerate(every)}
    places = [np.array([number.get(word, OTHER) for word in part.lexicon], dtype=np.int64) for part in parts]
    totals = np.zeros(len(every), np.int64)
    begins = []  # of each word's samples of a part among its samples of all parts
    for place, sizes in zip(places, held):
        some = sizes > 0
        begin = np.zeros(len(sizes), np.int64)
        begin[some] = totals[place[some]]
        begins.append(begin)
        totals[place[some]] += sizes[some]
    offsets = np.concatenate([[0], np.cumsum(totals)])
    samples = np.empty(int(offsets[-1]), np.int64)
    firsts = np.concatenate([[0], np.cumsum([part.n for part in parts])]).astype(np.int64)
    for part, place, sizes, begin, first in zip(parts, places, held, begins, firsts):
        target = np.repeat(offsets[place] + begin - part.offsets[:-1], sizes)
        target += np.arange(len(target))
        samples[target] = part.samples + first
    stream, starts = _in_a_row(parts, places) if order else (None, None)
    return Postings(every, offsets, samples, int(firsts[-1]), stream, starts)


def _in_a_row(parts: Sequence[Postings], places: Sequence[NDArray[Any]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Words of all captions, numbered anew, and where each caption begins."""
    streams: list[NDArray[np.int32]] = [np.zeros(0, np.int32)]
    starts, length = [np.zeros(1, np.int64)], 0
    for part, place in zip(parts, places):
        if part.stream is not None and part.starts is not None:
            renamed = np.append(place, OTHER).astype(np.int32)  # OTHER indexes the last
            streams.append(renamed[part.stream])
            starts.append(part.starts[1:] + length)
            length += len(part.stream)
    return np.concatenate(streams), np.concatenate(starts)
