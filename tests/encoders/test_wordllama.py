"""WordLlama as an encoder of texts: the mean of its pieces, as its own package gives it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from unseen import encoders
from unseen.data.domain import Domain
from unseen.encoders.base import Encoder
from unseen.encoders.unread import unread

pytest.importorskip("wordllama", reason="pip install wordllama")
pytest.importorskip("transformers")

TEXTS = [
    "a cat sleeps on the sofa",
    "A Kitten takes a nap",
    "shares fell by three percent",
    "naïve façade – 猫",
    "so " * 400,
]


def vectors(texts: list[str], encoder: Encoder | None = None) -> np.ndarray:
    made = encoder or encoders.get("wordllama", precision="fp32")
    return made.encode(Domain(x=texts, kind="text"), cache=False, precision="fp32").x


def test_vectors_are_those_of_the_package() -> None:
    import wordllama
    from tokenizers import Tokenizer

    from unseen.data.words import wordllama as words

    known = words()
    own = wordllama.WordLlamaInference(known.table, Tokenizer.from_str(known.tokenizer))
    expected = np.concatenate([own.embed([text], norm=True) for text in TEXTS])  # one by one: nothing is padded
    np.testing.assert_allclose(vectors(TEXTS), expected, atol=1e-5)  # another order of sums
    assert encoders.get("wordllama").dim == expected.shape[1] == encoders.describe("wordllama")["dim"]


def test_an_empty_text_has_no_vector_and_long_ones_are_read_whole() -> None:
    long = "one " * 3000 + "cat " * 3000
    empty, whole, one = vectors(["", long, "one " * 3000])
    assert not empty.any()
    assert whole @ one < 0.95, "what is behind counts, too"
    assert unread(encoders.get("wordllama"), [long, "ቀይ መኪና"]).lines() == []


def test_it_comes_back_from_its_folder_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoders.get("wordllama", precision="fp32")
    encoder.save_weights(tmp_path)
    monkeypatch.setattr("unseen.encoders.text.wordllama", None)
    again = encoders.load(encoder.to_json(), tmp_path)
    assert np.array_equal(vectors(TEXTS[:3], again), vectors(TEXTS[:3], encoder))


def test_it_says_which_package_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "wordllama" else found(name))
    with pytest.raises(ImportError, match=re.escape("pip install wordllama")):
        encoders.get("wordllama")
