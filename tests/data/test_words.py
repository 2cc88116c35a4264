"""Word vectors: tables, files of GloVe and FastText, pieces of words, n-grams."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unseen.data.words import (
    WordVectors,
    fasttext,
    ngram_buckets,
    read_vectors,
    sentences,
    terms_of,
    wordllama,
    words_of,
)

TABLE = WordVectors(("acute", "heart", "failure"), np.eye(3, dtype=np.float32))


def test_a_text_is_a_sequence_of_rows_without_punctuation_case_and_unknown_words() -> None:
    found = TABLE.read(["Acute heart-failure!", "heart, chronic", "", "???"])
    assert found.tokens.tolist() == [[0, 1, 2], [1, -1, -1], [-1, -1, -1], [-1, -1, -1]]
    assert found.table.tolist() == np.eye(3).tolist()
    assert found.skipped == 1


def test_they_can_be_read_as_a_mapping_from_words() -> None:
    assert "heart" in TABLE
    assert "banana" not in TABLE
    assert TABLE["heart"].tolist() == [0, 1, 0]
    with pytest.raises(KeyError, match="banana"):
        TABLE["banana"]


def test_letters_and_their_marks_are_one_word_however_they_are_written() -> None:
    assert words_of("Cafe\u0301 de_la\u0301 \ufb01n") == ["caf\u00e9", "de", "l\u00e1", "fin"]
    hindi = "\u0939\u093f\u0928\u094d\u0926\u0940"  # of six characters three are marks
    assert words_of(f"{hindi}, {hindi}2!") == [hindi, f"{hindi}2"]
    assert WordVectors(("caf\u00e9",), np.ones((1, 2))).read(["CAFE\u0301"]).tokens.tolist() == [[0]]


def test_a_text_is_cut_after_the_longest_count_of_known_words() -> None:
    assert TABLE.read(["heart no no heart heart"], longest=2).tokens.tolist() == [[0, 0]]


def test_shapes_and_repeated_words_are_refused() -> None:
    with pytest.raises(ValueError, match="table has 3 rows"):
        WordVectors(("a",), np.eye(3))
    with pytest.raises(ValueError, match="unique"):
        WordVectors(("a", "a", "b"), np.eye(3))
    with pytest.raises(ValueError, match="finite"):
        WordVectors(("a", "b", "c"), np.full((3, 3), np.nan))


@pytest.mark.parametrize("header", ["", "3 2\n"])
def test_glove_and_fasttext_files_are_streamed(tmp_path: Path, header: str) -> None:
    file = tmp_path / "vectors.vec.gz"
    with gzip.open(file, "wt", encoding="utf-8") as stream:
        stream.write(header + "Heart 1 2\nheart 9 9\nnew york 3 4\nherz 5 6 \n")
    words = read_vectors(file)
    assert words.words == ("heart", "new york", "herz")
    assert words.table.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert read_vectors(file, limit=1, keep=["HERZ"]).words == ("heart", "herz")


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "v.txt"
    file.write_text("a 1 2\nb 1 x\n")
    with pytest.raises(ValueError, match="line 2"):
        read_vectors(file)
    file.write_text("a 1 2\nb 3 4\n\n")
    assert read_vectors(file).words == ("a", "b")
    for line in ("5\n", "the 5\n"):
        file.write_text(line)
        with pytest.raises(ValueError, match="line 1: not a word and at least two numbers"):
            read_vectors(file)
    file.write_text("a 1 2\nb inf 1\n")
    with pytest.raises(ValueError, match="line 2"):
        read_vectors(file)
    file.write_text("")
    with pytest.raises(ValueError, match="no word vector"):
        read_vectors(file)


def test_wordllama_has_a_vector_for_every_word_the_mean_of_its_pieces() -> None:
    pytest.importorskip("wordllama", reason="pip install wordllama")
    words = wordllama()
    assert words.dim == 256
    found = words.read(["myocardial infarction", "xqzzt"])
    assert found.skipped == 0
    assert (found.tokens >= 0).sum(axis=1).tolist() == [2, 1]
    from tokenizers import Tokenizer

    pieces = Tokenizer.from_str(words.tokenizer).encode("infarction", add_special_tokens=False).ids
    assert len(pieces) > 1
    np.testing.assert_allclose(found.table[1], words.table[pieces].astype(np.float32).mean(axis=0), rtol=1e-5)


def test_fasttext_of_ones_own_texts_is_deterministic_and_knows_misspelt_words() -> None:
    gensim = pytest.importorskip("gensim", reason="pip install gensim")
    texts = ["acute heart failure", "chronic heart failure", "kidney stone", "renal stone"] * 5
    one, two = (fasttext(texts, dim=8, epochs=3, buckets=500) for _ in range(2))
    assert np.array_equal(one.table, two.table)
    assert one.read(["kydney stones"]).skipped == 0
    assert one.vector("q") is None or len("<q>") >= one.lengths[0]
    from gensim.models.fasttext_inner import compute_ngrams_bytes, ft_hash_bytes

    assert gensim.__version__
    for word in ("kydney", "größe", "ab"):
        theirs = [ft_hash_bytes(piece) % 500 for piece in compute_ngrams_bytes(word, 3, 6)]
        assert sorted(ngram_buckets(word, (3, 6), 500)) == sorted(theirs)
    with pytest.raises(ValueError, match="at least one word"):
        fasttext(["?"])


TRAINED = """
import hashlib
import numpy as np
from unseen.data.words import fasttext, terms_of
rng = np.random.default_rng(0)
vocabulary = ["".join(rng.choice(list("abcdefgh"), 5)) for _ in range(300)]
made = fasttext([" ".join(rng.choice(vocabulary, 8)) for _ in range(2000)], dim=64, epochs=2, buckets=1000)
print(hashlib.sha256(repr(made.words).encode() + made.table.tobytes() + made.ngrams.tobytes()).hexdigest())
"""
"""More words than gensim gives a thread at a time (10,000), and many that are as frequent as others."""


def test_fasttext_is_the_same_in_processes_of_other_hashes_and_threads() -> None:
    pytest.importorskip("gensim", reason="pip install gensim")
    found = set()
    for n in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": n, "OMP_NUM_THREADS": n}
        done = subprocess.run([sys.executable, "-c", TRAINED], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


def test_sentence_vectors_are_words_that_are_whole_texts() -> None:
    words = sentences(["Acute MI", "stroke", "Acute MI"], np.array([[1.0, 0], [0, 1], [7, 7]]))
    found = words.read(["stroke", "Acute MI", "acute mi"])
    assert found.table[found.tokens[0, 0]].tolist() == [0, 1]
    assert found.table[found.tokens[1, 0]].tolist() == [1, 0]
    assert found.tokens[2].tolist() == [-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Vitamin D, type 2!", ["vitamin", "d", "type", "2"]),
        ("the dog's don't l’été", ["the", "dog", "don", "l", "été"]),
        ("बिल्ली घर में", ["बिल्ली", "घर", "में"]),
        ("人工AI模型", ["人", "工", "人工", "ai", "模", "型", "模型"]),
        ("ภาษา", ["ภ", "า", "ษ", "า", "ภา", "าษ", "ษา"]),
    ],
)
def test_terms_of_a_search_are_words_letters_count_and_scripts_without_spaces_give_pairs(
    text: str, expected: list[str]
) -> None:
    assert terms_of(text) == expected
