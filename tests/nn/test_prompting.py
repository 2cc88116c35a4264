"""Text towers that take prompts of vectors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unseen.nn.prompting import pooled_text

CONFIG = {
    "model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
    "vocab_size": 32, "max_position_embeddings": 12,
}  # fmt: skip
TEXTS = [[30, 1, 2, 9, 31], [30, 3, 9, 31]]


def test_a_prompt_is_begin_context_name_full_stop_end() -> None:
    text = pooled_text(CONFIG)
    prompts = text.prompts(TEXTS, 3, ("ab", "c"))
    context = torch.arange(48.0).reshape(2, 3, 8)
    vectors, lengths = prompts.with_context(context)
    assert vectors.shape == (4, 8, 8)  # two images, two classes; 1 + 3 + 4 tokens
    assert lengths.tolist() == [8, 7, 8, 7]
    table = text.table
    for row, (image, ids) in enumerate([(0, TEXTS[0]), (0, TEXTS[1]), (1, TEXTS[0]), (1, TEXTS[1])]):
        expected = torch.cat([table[ids[:1]], context[image], table[ids[1:]]])
        torch.testing.assert_close(vectors[row, : lengths[row]], expected)


def test_a_context_of_word_vectors_gives_the_features_of_the_text() -> None:
    text = pooled_text(CONFIG, dim=4)
    prompts = text.prompts(TEXTS, 2, ("ab", "c"))
    vectors, lengths = prompts.with_context(text.table[[5, 6]][None])
    expected = text.encode_tokens([[30, 5, 6, *ids[1:]] for ids in TEXTS])
    torch.testing.assert_close(text(vectors, lengths), expected)


def test_padding_does_not_matter() -> None:
    text = pooled_text(CONFIG)
    vectors = F.embedding(torch.tensor([TEXTS[1]]), text.table)
    padded = torch.cat([vectors, torch.randn(1, 3, 8)], dim=1)
    torch.testing.assert_close(text(padded, torch.tensor([4])), text(vectors, torch.tensor([4])))


def test_a_name_that_is_too_long_is_named() -> None:
    with pytest.raises(ValueError, match=r"'ab' has 5 tokens, 8 more are context, and the text tower reads 12"):
        pooled_text(CONFIG).prompts(TEXTS, 8, ("ab", "c"))
