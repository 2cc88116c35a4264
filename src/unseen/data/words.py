"""`WordVectors`: texts to sequences of word vectors, from a table, from pieces of words, from n-grams of characters."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import regex
from numpy.typing import NDArray

from unseen.data.typing import FloatArray, IntArray
from unseen.files import reads

RUN = r"[\p{L}\p{N}][\p{L}\p{N}\p{M}\u200c\u200d]*"
"""Letters and digits with the marks that combine with them, as a pattern of `regex`."""
_WORD = regex.compile(RUN)
_CLITIC = regex.compile(r"(?<=\w)['’]\p{L}\b")
_SCRIPTS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_UNSPACED = regex.compile(rf"[{_SCRIPTS}][{_SCRIPTS}\p{{M}}ー]*")
"""Scripts that set no space between words."""
LONGEST_WORD = 100
"""Characters; what is longer in a file of vectors is no word."""
LONGEST_LINE = 2**20
"""Characters of a word and its vector."""


class Sequences(NamedTuple):
    """Texts as rows of a table.

    Attributes
    ----------
    table : float32 array (u, d)
        Vectors of the different words of the texts.
    tokens : int array (n, l)
        Rows of `table`, in the order of the words; -1 behind the last one.
    skipped : int
        Words without a vector, which are left out.
    """

    table: FloatArray
    tokens: IntArray
    skipped: int


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class WordVectors:
    """A vector for each word of a vocabulary, and perhaps for words beyond it.

    Parameters
    ----------
    words : V strings
        Unique, in lower case unless `split` is "phrases".
    table : float array (V, d)
    name : str
        What reports call it.
    split : {"words", "phrases"}
        A text is a sequence of words (`words_of`), or one word as a whole: then `table` holds
        sentence vectors.
    tokenizer : str, optional
        JSON of a `tokenizers.Tokenizer` whose ids are rows of `table`. The vector of a word is then the mean of its
        pieces, and no word is without one.
    ngrams : float array (buckets, d), optional
        FastText's vectors of hashed character n-grams; a word that is not in `words` is the mean of its n-grams.
    lengths : (int, int)
        Characters of the shortest and the longest n-gram.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite or a word stands twice.
    """

    words: tuple[str, ...]
    table: FloatArray
    name: str = "words"
    split: Literal["words", "phrases"] = "words"
    tokenizer: str = ""
    ngrams: FloatArray | None = None
    lengths: tuple[int, int] = (3, 6)

    def __post_init__(self) -> None:
        if self.table.ndim != 2 or not len(self.table) or not np.isfinite(self.table).all():
            raise ValueError(f"table must be finite and of shape (n_words, d); got {self.table.shape}")
        if not self.tokenizer and len(self.words) != len(self.table):
            raise ValueError(f"words has {len(self.words)} entries, table has {len(self.table)} rows")
        if len(self._rows) != len(self.words):
            raise ValueError("words must be unique")

    def __repr__(self) -> str:
        return f"WordVectors({self.name!r}, {len(self.table)} x {self.dim})"

    @property
    def dim(self) -> int:
        """Values of a vector."""
        return int(self.table.shape[1])

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def _pieces(self) -> Callable[[str], list[int]] | None:
        if not self.tokenizer:
            return None
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.tokenizer)
        return lambda word: tokenizer.encode(word, add_special_tokens=False).ids

    def tokenize(self, text: str) -> list[str]:
        """The words of a text, without punctuation."""
        return [text] if self.split == "phrases" else words_of(text)

    def vector(self, word: str) -> FloatArray | None:
        """The vector of a word, (d,); None if it has none."""
        row = self._rows.get(word)
        if row is not None:
            return self.table[row].astype(np.float32)
        if self._pieces is not None:
            return self.table[self._pieces(word)].mean(axis=0, dtype=np.float32)
        if self.ngrams is not None:
            buckets = ngram_buckets(word, self.lengths, len(self.ngrams))
            return self.ngrams[buckets].mean(axis=0, dtype=np.float32) if buckets else None
        return None

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and self.vector(word) is not None

    def __getitem__(self, word: str) -> FloatArray:
        vector = self.vector(word)
        if vector is None:
            raise KeyError(word)
        return vector

    def read(self, texts: Iterable[str], longest: int = 30) -> Sequences:
        """Texts as sequences of at most `longest` known words."""
        place: dict[str, int] = {}
        vectors: list[FloatArray] = []
        skipped = 0
        rows: list[list[int]] = []
        for text in texts:
            places = []
            for word in self.tokenize(str(text)):
                if word not in place:
                    vector = self.vector(word)
                    place[word] = len(vectors) if vector is not None else -1
                    vectors += [vector] if vector is not None else []
                places.append(place[word])
            known = [row for row in places if row >= 0]
            skipped += len(places) - len(known)
            rows.append(known[:longest])
        tokens = np.full((len(rows), max(1, max(map(len, rows), default=1))), -1, dtype=np.int64)
        for line, known in zip(tokens, rows):
            line[: len(known)] = known
        table = np.stack(vectors) if vectors else np.zeros((0, self.dim), dtype=np.float32)
        return Sequences(table, tokens, skipped)


def fold(text: str) -> str:
    """In lower case and in Unicode's form NFKC, so that a letter with its accent is one character."""
    return unicodedata.normalize("NFKC", text).lower()


def words_of(text: str) -> list[str]:
    """Runs of letters, digits and the marks that combine with them, folded."""
    words: list[str] = _WORD.findall(fold(text))
    return words


def terms_of(text: str) -> list[str]:
    """What a search looks for in a text: its words; letters and pairs of neighbours where a script sets no spaces.

    What stands behind an apostrophe by itself is none (the s of "dog's").
    """
    out: list[str] = []
    for word in words_of(_CLITIC.sub("", text)):
        if word.isascii() or not _UNSPACED.search(word):
            out.append(word)
            continue
        end = 0
        for run in _UNSPACED.finditer(word):
            out += [word[end : run.start()]] if run.start() > end else []
            letters = regex.findall(r"\X", run.group())
            out += [*letters, *(a + b for a, b in zip(letters, letters[1:]))]
            end = run.end()
        out += [word[end:]] if end < len(word) else []
    return out


def ngram_buckets(word: str, lengths: tuple[int, int], buckets: int) -> list[int]:
    """Buckets of the character n-grams of ``<word>``, by FastText's hash (FNV-1a over signed bytes of UTF-8)."""
    text, out = f"<{word}>", []
    for start in range(len(text)):
        for n in range(lengths[0], lengths[1] + 1):
            piece = text[start : start + n]
            if len(piece) < n or (n == 1 and start in (0, len(text) - 1)):
                continue
            value = 2166136261
            for byte in piece.encode():
                value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619) & 0xFFFFFFFF
            out.append(value % buckets)
    return out


# -- where they come from ----------------------------------------------------------------------------------


@functools.cache
def wordllama() -> WordVectors:
    """The 256-d token table of the package `wordllama` (MIT), which ships its weights: nothing is downloaded.

    Raises
    ------
    ImportError
        If it is not installed; the message is the command that does it.
    """
    from safetensors.numpy import load_file

    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise ImportError("word vectors need: pip install wordllama; or give your own as encoder")
    folder = Path(spec.origin).parent
    table = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
    tokenizer = (folder / "tokenizers" / "l2_supercat_tokenizer_config.json").read_text(encoding="utf-8")
    return WordVectors((), table, name="wordllama", tokenizer=tokenizer)


@reads("a file of word vectors", "it has a word and its numbers in each line, as GloVe's do")
def read_vectors(path: str | os.PathLike[str], *, limit: int = 200_000, keep: Iterable[str] = ()) -> WordVectors:
    """Read a text file of word vectors, a line each: GloVe's ``.txt``, or ``.vec`` of FastText and word2vec.

    Parameters
    ----------
    path : path or fsspec URL
        Compressed files (``.gz``, ``.zip``, ...) are read as they are. A first line of two numbers is a header.
    limit : int
        Words to take; such files are sorted by frequency.
    keep : iterable of str
        Words to take beyond the limit.

    Raises
    ------
    ValueError
        If a line has another number of values than the first, naming it, or there is no word.
    """
    import fsspec

    if limit < 0:
        raise ValueError(f"limit must be at least 0; got {limit}")
    wanted = {fold(word) for word in keep}
    rows: dict[str, NDArray[np.float32]] = {}
    with fsspec.open(os.fspath(path), "rt", encoding="utf-8", errors="replace", compression="infer") as stream:
        for word, values in _lines(_bounded(stream), os.fspath(path)):
            folded = fold(word)
            if folded in rows or len(word) > LONGEST_WORD or (len(rows) >= limit and folded not in wanted):
                continue
            rows[folded] = values
    if not rows:
        raise ValueError(f"{os.fspath(path)}: there is no word vector")
    return WordVectors(tuple(rows), np.stack(list(rows.values())), name=Path(os.fspath(path)).name)


def _bounded(stream: Any) -> Iterator[str]:
    """The lines of a stream, each of which fits into memory, whatever a packed file holds."""
    while line := stream.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise ValueError(f"a line has more than {LONGEST_LINE:,} characters")
        yield line


def _lines(stream: Iterable[str], path: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Words and their vectors, line by line."""
    width = 0
    for number, line in enumerate(stream, 1):
        parts = line.rstrip().split(" ")
        if parts == [""]:
            continue
        if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
            width = int(parts[1])
            continue
        width = width or len(parts) - 1
        if width < 2:
            raise ValueError(f"{path}, line {number}: not a word and at least two numbers")
        try:
            values = np.array(parts[-width:], dtype=np.float32)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: not a word and {width} numbers ({error})") from error
        if len(parts) <= width or not np.isfinite(values).all():
            raise ValueError(f"{path}, line {number}: not a word and {width} finite numbers")
        yield " ".join(parts[:-width]), values


def fasttext(
    texts: Sequence[str], *, dim: int = 128, epochs: int = 20, buckets: int = 50_000, random_state: int = 0
) -> WordVectors:
    """FastText trained on texts of your own, with sub-words: every word has a vector, misspelt ones too.

    Parameters
    ----------
    texts : n strings
    dim, epochs : int
    buckets : int
        Vectors of character n-grams, which share them by a hash.
    random_state : int

    Raises
    ------
    ImportError
        If gensim is not installed; the message is the command that does it.
    ValueError
        If no text holds a word.
    """
    try:
        from gensim.models import FastText
    except ImportError as error:
        raise ImportError('FastText needs: pip install "unseen[graphs]"') from error
    sentences = [words_of(str(text)) for text in texts]
    if not any(sentences):
        raise ValueError("texts must hold at least one word")
    model = FastText(
        sentences, vector_size=dim, epochs=epochs, bucket=buckets, sg=1, min_count=1, window=5, min_n=3, max_n=6,
        seed=random_state, workers=1,
    ).wv  # fmt: skip
    return WordVectors(tuple(model.index_to_key), np.array(model.vectors), "fasttext", ngrams=model.vectors_ngrams)


def sentences(texts: Sequence[str], vectors: FloatArray, name: str = "sentences") -> WordVectors:
    """Vectors of whole texts, as an encoder gives them; each text is one word, and others are unknown."""
    first = dict(zip(reversed([str(text) for text in texts]), range(len(texts) - 1, -1, -1)))
    return WordVectors(tuple(first), np.asarray(vectors)[list(first.values())], name=name, split="phrases")
