"""Decoders of captions: memory, batches, tokens, a tiny GPT-2, and beam search against all texts there are."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from unseen.data.caption_words import caption_words, event_words, stem
from unseen.nn.beam import Prompts, beam_search
from unseen.nn.captioners import (
    BEGIN,
    END,
    PAD,
    UNKNOWN,
    causal_decoder_of,
    decoder_of,
    prompt_words,
    small_decoder,
    vocabulary,
)
from unseen.nn.protocols import CaptionDecoder
from unseen.nn.state import load_state, save_state

WORDS = ("dog", "barks", "rain", "a", ",")


def small(**settings: Any) -> Any:
    torch.manual_seed(1)
    return small_decoder(WORDS, **{"width": 8, "layers": 2, "heads": 2, "dropout": 0.0, **settings}).eval()


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with a tiny GPT-2 of random weights and a tokenizer of words and spaces."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from tokenizers.decoders import ByteLevel
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("gpt2")
    pieces = ["<|endoftext|>", ".", *(f"Ġ{w}" for w in ("dog", "barks", "rain", "There", "are", "in", "the", "audio"))]
    pieces.append("<unk>")
    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    torch.manual_seed(2)
    n = len(fast)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=n, n_embd=16, n_layer=2, n_head=2, n_positions=64, eos_token_id=0))
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(params=["small", "gpt2"])
def decoder(request: pytest.FixtureRequest, gpt2: Path) -> Any:
    return small() if request.param == "small" else decoder_of(f"gpt2:{gpt2}").eval()  # type: ignore[union-attr]


def test_a_decoder_keeps_the_protocol(decoder: Any) -> None:
    assert isinstance(decoder, CaptionDecoder)
    assert decoder.embed(torch.tensor([[1, 2]])).shape == (1, 2, decoder.width)


def test_with_memory_it_says_what_it_says_without(decoder: Any) -> None:
    x = torch.randn(2, 7, decoder.width)
    whole = decoder(x)
    mask = torch.ones(2, 5, dtype=torch.bool)
    hidden, memory = decoder.hidden(x[:, :5], mask, torch.arange(5).expand(2, 5))
    assert torch.allclose(decoder.logits(hidden), whole[:, :5], atol=1e-4)
    for t in (5, 6):
        mask = torch.cat([mask, mask.new_ones(2, 1)], dim=1)
        hidden, memory = decoder.hidden(x[:, t : t + 1], mask, torch.full((2, 1), t), memory)
        assert torch.allclose(decoder.logits(hidden)[:, 0], whole[:, t], atol=1e-4)


def test_a_prompt_is_continued_alike_alone_and_in_a_batch_with_longer_ones(decoder: Any) -> None:
    x = torch.randn(3, 6, decoder.width)
    mask = torch.arange(6)[None] < torch.tensor([[6], [3], [4]])
    both = beam_search(decoder, Prompts(x, mask), width=3, longest=5)
    for i, n in enumerate((6, 3, 4)):
        alone = beam_search(decoder, Prompts(x[i : i + 1, :n], mask[i : i + 1, :n]), width=3, longest=5)
        assert alone[0] == both[i]


def test_a_beam_as_wide_as_all_texts_finds_the_most_probable() -> None:
    lm = small(layers=1)
    x = torch.randn(1, 3, 8)

    def score(ids: tuple[int, ...]) -> float:
        rows = torch.cat([x[0], lm.embed(torch.tensor([ids[:-1]], dtype=torch.int64))[0]])
        logits = lm(rows[None])[0].index_fill(1, torch.tensor(sorted(lm.never)), -torch.inf)
        logp = logits.log_softmax(dim=1)
        return sum(float(logp[2 + j, token].detach()) for j, token in enumerate(ids))

    size, ends = len(lm.words), lm.ends
    texts: list[tuple[int, ...]] = [(END,)]
    words = [a for a in range(size) if a not in ends | lm.never]
    texts += [(a, END) for a in words]
    texts += list(itertools.product(words, repeat=2))
    best = max(texts, key=score)
    found = beam_search(lm, Prompts(x, torch.ones(1, 3, dtype=torch.bool)), width=size, longest=2)[0]
    assert found == [token for token in best if token not in ends]


@pytest.mark.parametrize("token", [PAD, BEGIN, UNKNOWN])
def test_what_is_no_word_is_never_said(token: int) -> None:
    lm = small()
    with torch.no_grad():
        lm.last.weight.zero_()
        lm.last.bias.copy_(lm.table.weight[token] * 40)
    prompt = Prompts(torch.randn(2, 2, 8), torch.ones(2, 2, dtype=torch.bool))
    for width in (1, 3):
        assert all(i not in lm.never for said in beam_search(lm, prompt, width=width, longest=4) for i in said)


def test_special_tokens_of_a_causal_model_are_never_said(gpt2: Path) -> None:
    lm: Any = decoder_of(f"gpt2:{gpt2}")
    assert lm.never == frozenset()  # its one special token ends a caption
    lm.tokenizer.add_special_tokens(["<unk>", "<|user|>"])
    assert lm.never == {10, 11}  # more than the model has scores for
    prompt = Prompts(torch.randn(1, 2, 16), torch.ones(1, 2, dtype=torch.bool))
    assert all(i < 10 for i in beam_search(lm.eval(), prompt, width=3, longest=4)[0])


def test_a_beam_wider_than_the_vocabulary_is_as_wide_as_that() -> None:
    lm = small()
    prompt = Prompts(torch.randn(1, 2, 8), torch.ones(1, 2, dtype=torch.bool))
    assert beam_search(lm, prompt, width=64, longest=3) == beam_search(lm, prompt, width=6, longest=3)


def test_a_pair_of_words_stands_once_where_that_is_asked_and_a_length_is_kept() -> None:
    lm = small()
    with torch.no_grad():
        lm.last.weight.zero_()
        lm.last.bias.copy_(lm.table.weight[5] * 40)  # it says "barks" for ever
    prompt = Prompts(torch.randn(1, 2, 8), torch.ones(1, 2, dtype=torch.bool))
    assert beam_search(lm, prompt, width=1, longest=4) == [[5] * 4]
    pairs = [*itertools.pairwise(beam_search(lm, prompt, width=2, longest=6, no_repeat=True)[0])]
    assert len(pairs) == len(set(pairs))


def test_the_small_decoder_numbers_words_and_ends() -> None:
    lm = small()
    assert lm.caption_ids("A dog barks, loudly!") == [7, 4, 5, UNKNOWN, END]
    assert lm.prompt_ids("dog, rain") == [4, 8, 6]
    assert lm.start == (BEGIN,)
    assert lm.text([BEGIN, 4, 5, END]) == "dog barks"
    assert lm(torch.randn(1, 3, 8)).shape == (1, 3, 9)


def test_words_of_prompts_alone_are_never_said() -> None:
    lm = small(read=2)
    assert lm(torch.randn(1, 3, 8)).shape == (1, 3, 7)
    assert lm.prompt_ids("a") == [7]
    assert lm.caption_ids("a dog") == [UNKNOWN, 4, END]


def test_a_vocabulary_holds_frequent_words_and_all_of_prompts() -> None:
    words, read = vocabulary(["a dog", "a cat", "dog dog"], ["There are bells, in"], least=2)
    assert words == ("dog", "a", "there", "are", "bells", ",", "in")
    assert read == 5
    assert prompt_words("There are x, y.") == ["there", "are", "x", ",", "y"]


def test_gpt2_reads_a_label_with_the_space_before_it_and_stops_at_a_full_stop(gpt2: Path) -> None:
    lm: Any = decoder_of(f"gpt2:{gpt2}")
    assert lm.prompt_ids("dog") == [2]  # " dog", not the letters of "dog"
    assert lm.caption_ids("dog barks.") == [2, 3, 0]
    assert lm.ends == {0, 1}
    assert lm.text([2, 3, 1]) == "dog barks"
    assert lm.start == ()


def test_gpt2_is_saved_and_built_again_without_its_folder(gpt2: Path, tmp_path: Path) -> None:
    lm: Any = decoder_of(f"gpt2:{gpt2}")
    save_state(tmp_path / "m", {"lm": lm})
    back = load_state(tmp_path / "m")["lm"]
    x = torch.randn(1, 4, 16)
    assert torch.equal(back(x), lm.eval()(x))
    assert json.loads((tmp_path / "m" / "state.json").read_text())["value"]["items"][0]["$"] == "network"


def test_a_copy_learns_and_the_model_stays(gpt2: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(gpt2)
    made: Any = causal_decoder_of(model, AutoTokenizer.from_pretrained(gpt2))
    next(made.parameters()).data.add_(1)
    assert not torch.equal(next(made.parameters()), next(model.parameters()))


@pytest.mark.parametrize("name", ["", "gpt2", "small:x", "bert:x"])
def test_an_unknown_decoder_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="decoder must be small, smollm2 or gpt2"):
        decoder_of(name)


def test_a_folder_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match=r"there is no folder '\./nowhere'"):
        decoder_of("gpt2:./nowhere")


def test_words_of_captions_are_without_punctuation_and_clitics_are_words() -> None:
    assert caption_words("A dog's bark, then (rain) - it doesn’t stop.") == [
        "a", "dog", "'s", "bark", "then", "rain", "it", "does", "n't", "stop",
    ]  # fmt: skip


def test_event_words_are_stems_of_what_sounds() -> None:
    assert {stem(word) for word in ("barks", "barking", "barked", "bark")} == {"bark"}
    assert stem("running") == stem("runs") == "run"
    assert stem("glass") == "glass"
    assert event_words("A dog is barking loudly in the background, followed by rain") == {"dog", "bark", "rain"}
