"""`ConceptIndex`: which captions hold a concept, or which pictures are tagged with it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unseen.data.typing import FloatArray, IntArray
from unseen.methods.curation.concept_frequency.lemmas import lemmatizer, words
from unseen.methods.curation.concept_frequency.postings import CHUNK, OTHER, Postings, Speller, chunks, invert
from unseen.methods.curation.concept_frequency.workers import each_chunk

Match = Literal["words", "phrase"]
FORMAT = 1


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "_number", {word: i for i, word in enumerate(self.lexicon)})

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        what = "tags" if self.whole else f"lemmas ({self.lemmas})"
        return f"ConceptIndex({self.n:,} samples, {len(self.lexicon):,} {what}, {len(self.samples):,} postings)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConceptIndex):
            return NotImplemented
        return (self.lexicon, self.n, self.lemmas, self.whole) == (
            other.lexicon, other.n, other.lemmas, other.whole,
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
        captions: Iterable[str | None] | pa.Array | pa.ChunkedArray,
        *,
        lemmas: str = "rules",
        concepts: Iterable[str] | None = None,
        phrases: bool = False,
        chunk: int = CHUNK,
        processes: int = 1,
    ) -> ConceptIndex:
        """Index captions by their lemmas.

        Parameters
        ----------
        captions : iterable of n str or None, or a column of Arrow
            Missing captions count as samples and hold nothing.
        lemmas : {"rules", "simplemma", "spacy", "none"}
            See `lemmas.lemmatizer`.
        concepts : iterable of str, optional
            Keep only the words of these: smaller, the same answers for them.
        phrases : bool
            Keep the order of words, so that concepts can be counted as phrases (n-grams of any length).
        chunk : int, > 0
            Captions that are read at once.
        processes : int, > 0
            Processes that read chunks at the same time; the index is the same.

        Raises
        ------
        ValueError, TypeError
            If a setting is out of range, or a caption is no text.
        """
        if chunk < 1 or processes < 1:
            raise ValueError(f"chunk and processes must be at least 1; got {chunk} and {processes}")
        kept = None if concepts is None else sorted({w for c in concepts for w in lemmas_of(c, lemmas)})
        lemmatizer(lemmas)  # a missing package is told before any work
        setting = (lemmas, kept, phrases)
        parts = list(each_chunk(invert_chunk, chunks(captions, chunk), setting, processes))
        return _joined(parts, lemmas, phrases)

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
        for own in tags:
            if isinstance(own, str):
                raise TypeError(f"tags must be a set of texts for every sample; got the text {own!r}")
            for key in {known.setdefault(tag, " ".join(lemmas_of(tag, lemmas))) for tag in own}:
                held.setdefault(key, []).append(n)
            n += 1
        return _of_lists(held, n, lemmas)

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
            If phrases are asked of an index without the order of words.
        """
        if match not in ("words", "phrase"):
            raise ValueError(f"match must be 'words' or 'phrase'; got {match!r}")
        own = lemmas_of(concept, self.lemmas)
        if self.whole:
            return self.postings(" ".join(own))
        if match == "phrase":
            return self._phrase(own)
        lists = sorted((self.postings(word) for word in set(own)), key=len)
        known = [one for one in lists if len(one)]
        if not known:
            return self.samples[:0]
        found = known[0]
        for other in known[1:]:
            found = found[within(found, other)]
        return found

    def count(self, concept: str, match: Match = "words") -> int:
        """How many samples hold a concept; see `ids`."""
        return len(self.ids(concept, match))

    def counts(self, concepts: Iterable[str], match: Match = "words") -> IntArray:
        """`count` of every concept, (C,)."""
        return np.array([self.count(concept, match) for concept in concepts], dtype=np.int64)

    def _phrase(self, own: Sequence[str]) -> NDArray[np.int64]:
        if self.stream is None or self.starts is None:
            raise ValueError("this index holds no order of words; make it with phrases=True to count phrases")
        numbers = [self._number.get(word, OTHER - 1) for word in own]  # type: ignore[attr-defined]
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
        order = self.stream is not None and later.stream is not None
        parts = [Postings(list(x.lexicon), x.offsets, x.samples, x.n, x.stream, x.starts) for x in (self, later)]
        return dataclasses.replace(_joined(parts, self.lemmas, order), whole=self.whole)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``index.json``, ``postings.parquet`` and, with phrases, ``order.parquet``; all or nothing."""
        folder = Path(folder)
        part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
        part.mkdir(parents=True)
        try:
            lists = pa.LargeListArray.from_arrays(pa.array(self.offsets), pa.array(self.samples.astype(np.int64)))
            pq.write_table(pa.table({"word": pa.array(self.lexicon, pa.string()), "samples": lists}), _file(part, 0))
            if self.stream is not None and self.starts is not None:
                order = pa.LargeListArray.from_arrays(pa.array(self.starts), pa.array(self.stream))
                pq.write_table(pa.table({"words": order}), _file(part, 1))
            told = {"format": FORMAT, "n": self.n, "lemmas": self.lemmas, "whole": self.whole}
            (part / "index.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
            if folder.exists():
                if not (folder / "index.json").is_file():
                    raise ValueError(f"{folder} holds something else; name a new folder for the index")
                shutil.rmtree(folder)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ConceptIndex:
        """Read what `save` wrote; `ValueError` if it is none or of a later format."""
        folder = Path(folder)
        try:
            told = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ValueError(f"{folder} is no index of concepts: it has no index.json") from error
        if told.get("format") != FORMAT:
            raise ValueError(f"{folder} is of format {told.get('format')!r}; this version reads {FORMAT}")
        table = pq.read_table(_file(folder, 0)).combine_chunks()
        offsets, samples = _ragged(table["samples"])
        stream = starts = None
        if _file(folder, 1).exists():
            starts, stream = _ragged(pq.read_table(_file(folder, 1)).combine_chunks()["words"])
        lexicon = tuple(table["word"].to_pylist())
        return cls(lexicon, offsets, samples, told["n"], told["lemmas"], told["whole"], stream, starts)


@dataclasses.dataclass(frozen=True, eq=False)
class TagTable:
    """Tag probabilities of pictures, kept once and cut where they are asked (spec step 17).

    Attributes
    ----------
    concepts : tuple of C str
    n : int
        Pictures.
    rows, columns : arrays (k,)
        Picture and concept of every probability that is kept.
    values : array (k,)
        The probabilities, at least `floor`.
    floor : float
        Smaller ones were not kept.
    """

    concepts: tuple[str, ...]
    n: int
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: NDArray[np.float32]
    floor: float = 0.0

    @classmethod
    def from_probabilities(cls, probabilities: FloatArray, concepts: Sequence[str], floor: float = 0.3) -> TagTable:
        """Keep what is at least `floor` of probabilities (n, C), by any tagger or two-tower encoder.

        Raises
        ------
        ValueError
            If the shape does not fit the concepts, or a value is no probability.
        """
        table = np.asarray(probabilities, dtype=np.float32)
        if table.ndim != 2 or table.shape[1] != len(concepts):
            raise ValueError(
                f"probabilities must be of shape (n, {len(concepts)}), a column per concept; got {table.shape}"
            )
        if not (np.isfinite(table).all() and table.min(initial=0) >= 0 and table.max(initial=0) <= 1 + 1e-6):
            raise ValueError("probabilities must be finite and lie in [0, 1]")
        rows, columns = np.nonzero(table >= floor)
        return cls(tuple(concepts), len(table), rows, columns, table[rows, columns], floor)

    @classmethod
    def joined(cls, parts: Sequence[TagTable]) -> TagTable:
        """Tables of pictures that follow each other, as one."""
        if not parts or len({(part.concepts, part.floor) for part in parts}) != 1:
            raise ValueError("parts must be tables of the same concepts and floor")
        starts = np.cumsum([0, *(part.n for part in parts)])
        rows = np.concatenate([part.rows + start for part, start in zip(parts, starts)])
        columns, values = (np.concatenate([getattr(part, name) for part in parts]) for name in ("columns", "values"))
        return cls(parts[0].concepts, int(starts[-1]), rows, columns, values, parts[0].floor)

    def at(self, threshold: float = 0.7, *, lemmas: str = "rules") -> ConceptIndex:
        """The index of pictures whose probability is at least `threshold`, in (0, 1]; the paper takes 0.5 to 0.7.

        Raises
        ------
        ValueError
            If probabilities that small were not kept.
        """
        if not max(self.floor, 1e-12) <= threshold <= 1:
            raise ValueError(f"threshold must lie in ({self.floor:g}, 1]; got {threshold}")
        kept = self.values >= threshold
        columns, rows = self.columns[kept], self.rows[kept]
        order = np.lexsort((rows, columns))
        cuts = np.searchsorted(columns[order], np.arange(len(self.concepts) + 1))
        held: dict[str, Any] = {}
        for k, concept in enumerate(self.concepts):
            key, found = " ".join(lemmas_of(concept, lemmas)), rows[order[cuts[k] : cuts[k + 1]]]
            held[key] = np.union1d(held[key], found) if key in held else found
        return _of_lists(held, self.n, lemmas)


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


def invert_chunk(setting: tuple[str, list[str] | None, bool], captions: pa.Array) -> Postings:
    """Posting lists of a chunk, in any process."""
    lemmas, kept, order = setting
    return invert(Speller(lemmas, kept), captions, order=order)


def within(few: NDArray[Any], many: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of the rising `few` are in the rising `many`."""
    if not len(many):
        return np.zeros(len(few), bool)
    places = np.searchsorted(many, few)
    return many[np.minimum(places, len(many) - 1)] == few


def _joined(parts: Sequence[Postings], lemmas: str, order: bool) -> ConceptIndex:
    """Union of posting lists of chunks that follow each other; words that nobody holds are dropped."""
    held = [np.diff(part.offsets) for part in parts]
    every = sorted({word for part, own in zip(parts, held) for word, k in zip(part.lexicon, own) if k})
    number = {word: i for i, word in enumerate(every)}
    places = [np.array([number.get(word, OTHER) for word in part.lexicon], dtype=np.int64) for part in parts]
    totals = np.zeros(len(every), np.int64)
    for place, own in zip(places, held):
        totals[place[own > 0]] += own[own > 0]
    offsets = np.concatenate([[0], np.cumsum(totals)])
    samples = np.empty(int(offsets[-1]), np.int64)
    filled, start, length = offsets[:-1].copy(), 0, 0
    streams: list[NDArray[np.int32]] = []
    starts = [np.zeros(1, np.int64)]
    for part, place, own in zip(parts, places, held):
        some = own > 0
        begin = np.zeros(len(own), np.int64)
        begin[some] = filled[place[some]]
        target = np.repeat(begin - part.offsets[:-1], own) + np.arange(len(part.samples))
        samples[target] = part.samples.astype(np.int64) + start
        filled[place[some]] += own[some]
        if order and part.stream is not None and part.starts is not None:
            renamed = np.append(place, OTHER)  # OTHER indexes the last
            starts.append(part.starts[1:] + length)
            length += len(part.stream)
            streams.append(renamed[part.stream].astype(np.int32))
        start += part.n
    told = (np.concatenate([np.zeros(0, np.int32), *streams]), np.concatenate(starts)) if order else (None, None)
    return ConceptIndex(tuple(every), offsets, samples, start, lemmas, False, *told)


def _of_lists(held: dict[str, Any], n: int, lemmas: str) -> ConceptIndex:
    lexicon = tuple(sorted(word for word, own in held.items() if len(own)))
    offsets = np.concatenate([[0], np.cumsum([len(held[word]) for word in lexicon])]).astype(np.int64)
    samples = np.concatenate([np.zeros(0, np.int64), *(np.asarray(held[word], np.int64) for word in lexicon)])
    return ConceptIndex(lexicon, offsets, samples, n, lemmas, True)


def _file(folder: Path, which: int) -> Path:
    return folder / ("postings.parquet", "order.parquet")[which]


def _ragged(column: pa.ChunkedArray) -> tuple[NDArray[Any], NDArray[Any]]:
    """Offsets and values of lists."""
    pieces = column.chunks
    lengths = [piece.value_lengths().to_numpy() for piece in pieces]
    values = [piece.flatten().to_numpy() for piece in pieces]
    kind = values[0].dtype if values else np.int64
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths]))]).astype(np.int64)
    return offsets, np.concatenate([np.zeros(0, kind), *values])
