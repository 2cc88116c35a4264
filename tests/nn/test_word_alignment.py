"""Word alignment: EM, links of similarities, Pharaoh's format, other programs named where they lack."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unseen.nn.translators import Apertium, Eflomal, Seq2Seq, aligner, translator
from unseen.nn.word_alignment import (
    IBM1,
    Alignment,
    Similarity,
    from_matrix,
    from_pharaoh,
    grow,
    grow_diagonal,
    ibm1,
    itermax,
    mutual_argmax,
    share_of,
)

DICTIONARY = {"the": "el", "drug": "fármaco", "dose": "dosis", "helps": "ayuda", "fails": "falla", "risk": "riesgo"}


def corpus(n: int = 80, seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    """Sentences of a language, and of one with another word for each."""
    rng = np.random.default_rng(seed)
    source = [rng.choice([*DICTIONARY], rng.integers(2, 6), replace=False).tolist() for _ in range(n)]
    return source, [[DICTIONARY[word] for word in words] for words in source]


def naive_ibm1(source: list[list[str]], target: list[list[str]], iterations: int) -> dict[tuple[str, str], float]:
    """EM as the textbook has it."""
    p: dict[tuple[str, str], float] = {}
    for left, right in zip(source, target):
        for s in ("", *left):
            for t in right:
                p[s, t] = 1.0
    for _ in range(iterations):
        counts: dict[tuple[str, str], float] = dict.fromkeys(p, 0.0)
        for left, right in zip(source, target):
            for t in right:
                total = sum(p[s, t] for s in ("", *left))
                for s in ("", *left):
                    counts[s, t] += p[s, t] / total
        sums: dict[str, float] = {}
        for (s, _), c in counts.items():
            sums[s] = sums.get(s, 0.0) + c
        p = {(s, t): c / sums[s] for (s, t), c in counts.items()}
    return p


def test_em_is_that_of_the_textbook() -> None:
    source, target = corpus(12)
    expected = naive_ibm1(source, target, 4)
    found = ibm1(source, target, iterations=4)
    for (s, t), p in expected.items():
        assert found.table([s] if s else [], [t])[1 if s else 0, 0] == pytest.approx(p)


def test_the_likelihood_never_falls() -> None:
    rng = np.random.default_rng(1)
    words = [f"w{i}" for i in range(20)]
    source, target = ([rng.choice(words, rng.integers(1, 8)).tolist() for _ in range(50)] for _ in range(2))
    told = ibm1(source, target, iterations=10).likelihood
    assert len(told) == 9
    assert all(b >= a - 1e-9 for a, b in zip(told, told[1:]))


def test_a_deterministic_dictionary_is_learnt() -> None:
    found = ibm1(*corpus(), iterations=60)
    for source, target in DICTIONARY.items():
        assert found.of(source, target) > 0.95
    assert found.of("the", "unheard") == found.of("unheard", "el") == 0


def test_words_that_are_written_alike_are_preferred() -> None:
    source, target = [["a", "12"], ["b", "7"]], [["x", "12"], ["y", "7"]]
    assert ibm1(source, target).of("12", "12") == pytest.approx(ibm1(source, target).of("12", "x"))
    found = ibm1(source, target, alike=2.0)
    assert found.of("12", "12") > found.of("12", "x")


@pytest.mark.parametrize("symmetry", ["grow", "mutual", "itermax"])
def test_a_shuffled_dictionary_corpus_is_aligned(symmetry: str) -> None:
    source, target = corpus()
    rng = np.random.default_rng(2)
    orders = [rng.permutation(len(words)).tolist() for words in target]
    moved = [[words[j] for j in order] for words, order in zip(target, orders)]
    found = IBM1(diagonal=0.0, letters=0, iterations=30, symmetry=symmetry).fit(source, moved).align(source, moved)
    for words, order, alignment in zip(source, orders, found):
        assert alignment.links == {i: (order.index(i),) for i in range(len(words))}
        assert all(0 < sure <= 1 for sure in alignment.sure.values())


def test_mutual_argmax_takes_what_is_best_on_both_sides() -> None:
    s = np.array([[0.9, 0.8, 0.1], [0.7, 0.2, 0.0], [0.0, 0.0, 0.0]])
    assert np.argwhere(mutual_argmax(s)).tolist() == [[0, 0]]
    assert mutual_argmax(np.zeros((2, 3))).sum() == mutual_argmax(np.zeros((0, 3))).sum() == 0


def test_itermax_links_words_that_are_left_and_discounts_those_with_a_link() -> None:
    s = np.array([[0.9, 0.8], [0.85, 0.1]])  # 0-0 is mutual; then 0-1 and 1-0 count .9 of what they did
    assert np.argwhere(itermax(s, iterations=1)).tolist() == [[0, 0]]
    assert np.argwhere(itermax(s)).tolist() == [[0, 0], [0, 1], [1, 0]]
    assert np.argwhere(itermax(s, alpha=0.0)).tolist() == [[0, 0], [1, 1]]


def test_grow_diagonal_adds_neighbours_of_links_and_words_that_are_left() -> None:
    there, back = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    there[0, 0] = back[0, 0] = there[1, 1] = back[1, 0] = there[3, 3] = True
    assert np.argwhere(grow_diagonal(there, back, final=False)).tolist() == [[0, 0], [1, 0], [1, 1]]
    assert np.argwhere(grow_diagonal(there, back)).tolist() == [[0, 0], [1, 0], [1, 1], [3, 3]]
    assert (grow_diagonal(there, there) == there).all()
    assert grow(np.zeros((0, 2))).shape == (0, 2)


def test_links_are_read_as_aligners_write_them() -> None:
    assert from_pharaoh("0-0 2-1 0-3").links == {0: (0, 3), 2: (1,)}
    assert from_pharaoh("").links == {}
    with pytest.raises(ValueError, match="links must be pairs of numbers such as 0-1; got '0:1'"):
        from_pharaoh("0:1")


def test_a_share_is_one_where_nothing_else_is_alike_and_a_link_told_nothing_of_is_sure() -> None:
    assert share_of(np.diag([0.2, 3.0])).tolist() == [[1, 0], [0, 1]]
    assert share_of(np.ones((2, 2))) == pytest.approx(np.full((2, 2), 1 / 3))
    assert Alignment({1: (0,)}).sureness(1) == 1.0
    assert Alignment({1: (0,)}).sureness(0) == 0.0
    assert from_matrix(np.eye(2, dtype=bool), np.full((2, 2), 1.5)).sure == {(0, 0): 1.0, (1, 1): 1.0}


class Letters:
    """Vectors of words by their first letter."""

    width = 26

    def vectors(self, sentences: Any) -> torch.Tensor:
        rows = [[torch.eye(26)[ord(word[0]) - 97] for word in words] for words in sentences]
        return torch.stack([torch.stack(row) for row in rows])


def test_similar_words_are_aligned_without_learning() -> None:
    found = Similarity(Letters()).fit([], []).align([["dose", "risk"], []], [["riesgo", "dosis"], ["x"]])
    assert [one.links for one in found] == [{0: (1,), 1: (0,)}, {}]
    assert found[0].sure[0, 1] == 1.0


# -- other programs ----------------------------------------------------------------------------------------


def program(folder: Path, name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / name
    file.write_text(f"#!/usr/bin/env python3\n{code}")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


ALIGNS = """
import sys
told = dict(zip(sys.argv[1::2], sys.argv[2::2]))
lines = [open(told[key]).read().splitlines() for key in ("-s", "-t")]
assert len(lines[0]) == len(lines[1])
for key in ("-f", "-r"):
    with open(told[key], "w") as out:
        for a, b in zip(*lines):
            n = min(len(a.split()), len(b.split())) - (key == "-r")
            out.write(" ".join(f"{i}-{i}" for i in range(n)) + "\\n")
"""


def test_eflomal_is_asked_in_both_directions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "eflomal-align", ALIGNS, monkeypatch)
    source, target = [["a", "b"], ["c"]], [["x", "y", "z"], ["w"]]
    found = Eflomal().fit(source, target).align(source[:1], target[:1])
    assert found[0].links == {0: (0,), 1: (1,)}
    assert found[0].sure == {(0, 0): 1.0, (1, 1): 0.5}


def test_apertium_translates_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(
        tmp_path,
        "apertium",
        "import sys\nassert sys.argv[1:] == ['-u', 'eng-spa']\nsys.stdout.write(sys.stdin.read().upper())",
        monkeypatch,
    )
    assert translator("apertium:eng-spa").translate(["a dose ; rm -rf x", "the\nrisk"]) == [
        "A DOSE ; RM -RF X",
        "THE RISK",
    ]


def test_a_program_that_fails_is_told_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "apertium", "import sys\nsys.stderr.write('no such pair')\nsys.exit(3)", monkeypatch)
    with pytest.raises(OSError, match="apertium failed with 3: no such pair"):
        Apertium("eng-xxx").translate(["a"])


def test_a_program_that_is_not_there_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ImportError, match="pip install eflomal"):
        aligner("eflomal")
    with pytest.raises(ImportError, match="apt-get install apertium"):
        translator("apertium:eng-spa")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="aligner must be ibm1, eflomal or similarity:ENCODER"):
        aligner("giza")
    with pytest.raises(ValueError, match="translator must be apertium:PAIR or seq2seq:PLACE"):
        translator("deepl")


def test_a_network_of_transformers_translates_texts_one_for_one(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

    words = ["<s>", "<pad>", "</s>", "<unk>", "the", "dose", "falls"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(tmp_path)
    config = BartConfig(
        vocab_size=7, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1,
        decoder_attention_heads=1, encoder_ffn_dim=8, decoder_ffn_dim=8, max_position_embeddings=32,
    )  # fmt: skip
    BartForConditionalGeneration(config).save_pretrained(tmp_path)
    made = Seq2Seq(str(tmp_path), beams=1, batch_size=2, longest=5)
    found = made.translate(["the dose", "falls", "the dose falls"])
    assert len(found) == 3
    assert found == made.translate(["the dose", "falls", "the dose falls"])
    assert all(isinstance(text, str) for text in found)
