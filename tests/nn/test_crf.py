"""A CRF beside enumeration, padding that changes nothing, and weights of python-crfsuite that decode as it does."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from unseen.nn.build import recipe_of
from unseen.nn.crf import ChainCRF, bio_steps
from unseen.nn.linear_crf import attributes_of, learn
from unseen.nn.state import load_state, save_state
from unseen.nn.taggers import (
    SHAPES,
    best_tags,
    hashed_letters,
    letters,
    sequence_tagger,
    shape_of,
    token_encoder,
    train_tagger,
    transformer_tokens,
)
from unseen.runtime import reproducible


def random_crf(n: int) -> ChainCRF:
    crf = ChainCRF(n)
    with torch.no_grad(), reproducible(0):
        for p in crf.parameters():
            p.copy_(torch.randn_like(p))
    return crf


def scored(crf: ChainCRF, emissions: Any) -> dict[tuple[int, ...], float]:
    """The score of every sequence of tags, by hand."""
    t, n = emissions.shape
    found = {}
    for path in itertools.product(range(n), repeat=t):
        total = crf.start[path[0]] + crf.end[path[-1]] + sum(emissions[i, k] for i, k in enumerate(path))
        found[path] = float(total + sum(crf.transitions[a, b] for a, b in zip(path, path[1:])))
    return found


@pytest.mark.parametrize("t", [1, 2, 3, 4])
def test_partition_likelihood_viterbi_and_marginals_are_those_of_enumeration(t: int) -> None:
    crf = random_crf(3)
    emissions = torch.randn(t, 3, generator=torch.Generator().manual_seed(t))
    table = scored(crf, emissions)
    total = torch.logsumexp(torch.tensor([*table.values()]), dim=0)
    mask = torch.ones(1, t, dtype=torch.bool)
    assert crf.log_partition(emissions[None], mask).item() == pytest.approx(total.item(), abs=1e-4)
    best = max(table, key=lambda path: table[path])
    assert tuple(crf.viterbi(emissions)) == best
    loss = crf.loss(emissions[None], torch.tensor([best]), mask)
    assert loss.item() == pytest.approx(total.item() - table[best], abs=1e-4)
    sure = crf.marginals(emissions)
    for i, k in itertools.product(range(t), range(3)):
        expected = sum(torch.tensor(v - total.item()).exp().item() for path, v in table.items() if path[i] == k)
        assert sure[i, k].item() == pytest.approx(expected, abs=1e-4)


def test_padding_changes_no_likelihood() -> None:
    crf, emissions = random_crf(3), torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
    tags, mask = torch.tensor([[0, 1, 2, 0], [1, 2, 0, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    both = crf.log_partition(emissions, mask) - crf.score(emissions, tags, mask)
    alone = [crf.loss(emissions[i : i + 1, :t], tags[i : i + 1, :t], mask[i : i + 1, :t]) for i, t in ((0, 4), (1, 2))]
    assert both.tolist() == pytest.approx([one.item() for one in alone], abs=1e-4)


def test_of_tags_only_those_that_are_spans_are_said() -> None:
    tags = ("O", "B-a", "I-a", "B-b", "I-b")
    allowed, first = bio_steps(tags)
    assert first.tolist() == [True, True, False, True, False]
    assert allowed[0].tolist() == [True, True, False, True, False]
    assert allowed[1].tolist() == [True, True, True, True, False]
    scores = torch.zeros(3, 5)
    scores[:, 4] = 5.0  # I-b everywhere, which may not begin
    found, sure = best_tags(scores, ChainCRF(5), tags)
    assert found == ["B-b", "I-b", "I-b"]
    assert all(0 <= p <= 1 for p in sure)


def test_steps_that_never_occur_get_low_scores() -> None:
    sentences = [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]] * 4
    tags = [[{"a": 0, "b": 1, "c": 2}[word] for word in words] for words in sentences]
    with reproducible(0):
        made = sequence_tagger(hashed_letters(8, 64), ("O", "B-x", "I-x"), 8, 0.0)
        train_tagger(
            made,
            sentences,
            tags,
            name="t",
            epochs=30,
            batch_size=4,
            learning_rate=0.05,
            encoder_rate=0.05,
            weight_decay=0.0,
        )
    steps = made.crf.transitions.detach()
    assert steps[0, 2] < steps[0, 1]  # after O comes B here, never I


def test_weights_of_crfsuite_decode_as_it_does(tmp_path: Path) -> None:
    crfsuite = pytest.importorskip("pycrfsuite")
    names = ("O", "B-x", "I-x")
    sentences = [["the", "dose", "falls"], ["a", "dose", "of", "12"], ["nothing", "here"], ["the", "risk"]] * 3
    tags = [["O", "B-x", "I-x"], ["O", "B-x", "I-x", "I-x"], ["O", "O"], ["O", "O"]] * 3
    found = learn(sentences, tags, names, l1=0.0, l2=0.1, iterations=30, least=1, sentence=True)
    trainer = crfsuite.Trainer(verbose=False)
    trainer.set_params(
        {"c1": 0.0, "c2": 0.1, "max_iterations": 30, "feature.minfreq": 1, "feature.possible_transitions": True}
    )
    for words, own in zip(sentences, tags):
        trainer.append(crfsuite.ItemSequence(attributes_of(words)), own)
    trainer.train(str(tmp_path / "m"))
    tagger = crfsuite.Tagger()
    tagger.open(str(tmp_path / "m"))
    for words in (*sentences[:4], ["unheard", "dose", "x"]):
        tagger.set(crfsuite.ItemSequence(attributes_of(words)))
        theirs = tagger.tag()
        said, sure = best_tags(found.emissions(words), found.chain(), names)
        assert said == theirs
        assert sure == pytest.approx([tagger.marginal(tag, i) for i, tag in enumerate(theirs)], abs=1e-3)


def test_a_tag_that_was_never_learnt_is_never_said() -> None:
    pytest.importorskip("pycrfsuite")
    found = learn(
        [["a", "b"]] * 3,
        [["O", "B-x"]] * 3,
        ("O", "B-x", "I-x", "B-y", "I-y"),
        l1=0.0,
        l2=0.1,
        iterations=10,
        least=1,
        sentence=False,
    )
    assert set(best_tags(found.emissions(["b", "b", "b"]), found.chain(), found.tags)[0]) <= {"O", "B-x"}


def test_words_that_look_alike_share_letters_and_shapes_are_told_apart() -> None:
    assert set(letters("neoplasia")) & set(letters("neoplasm"))
    assert letters("ab") == ["<ab>", "<ab", "ab>"]
    told = [SHAPES[shape_of(word)] for word in ("0.05", "B12", "dose", "Dose", "DNA", "%", "mRNA")]
    assert told == [*SHAPES]


def test_a_tagger_of_letters_is_built_again_from_json(tmp_path: Path) -> None:
    with reproducible(0):
        made = sequence_tagger(hashed_letters(8, 64), ("O", "B-x"), 4, 0.0).eval()
    assert recipe_of(made).builder == "sequence-tagger"
    save_state(tmp_path / "s", {"tagger": made})
    back = load_state(tmp_path / "s")["tagger"]
    words = [["the", "dose"], ["risk"]]
    assert torch.equal(back.emissions(words)[0], made.emissions(words)[0])


@pytest.fixture
def small() -> Any:
    """A BERT of a moment, with a tokenizer of pieces."""
    pytest.importorskip("tokenizers")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "dose", "fall", "##s", "the", "."]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    with reproducible(0):
        return lambda limit: transformer_tokens(
            {"model_type": "bert", **config.to_diff_dict()}, tokenizer.to_str(), limit
        ).eval()


def test_each_token_has_the_mean_of_its_pieces_and_a_long_sentence_is_read_in_parts(small: Any) -> None:
    with reproducible(0):
        made = small(16)
    with torch.no_grad():
        found = made.vectors([["the", "dose", "falls", "."], ["dose"]])
        states = made.transformer(input_ids=torch.tensor([[2, 7, 4, 5, 6, 8, 3]])).last_hidden_state[0]
        assert found.shape == (2, 4, 8)
        assert torch.allclose(found[0, 2], states[3:5].mean(dim=0), atol=1e-5)
        assert found[1, 1:].abs().sum() == 0
        with reproducible(0):
            short = small(6)
        parts = short.vectors([["the", "dose", "falls", "."] * 5])
    assert parts.shape == (1, 20, 8)
    assert (parts.abs().sum(dim=2) > 0).all()


def test_an_unknown_encoder_is_named() -> None:
    with pytest.raises(ValueError, match="encoder must be letters, minilm or transformer:PLACE"):
        token_encoder("bert")
