"""Two towers that train: how they read texts, and that they are built again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from unseen.nn.build import rebuild, recipe_of
from unseen.nn.dual_encoder import (
    NOTHING,
    BytePairs,
    Letters,
    WordPieces,
    feature_head,
    named_classes,
    padded,
    perceptron,
    reader_of,
    side_head,
)
from unseen.nn.protocols import TokenizingTowers, TwoTower
from unseen.nn.small_towers import small_dual_encoder
from unseen.nn.state import load_state, save_state


def test_towers_keep_the_protocols_and_give_unit_vectors() -> None:
    towers = small_dual_encoder()
    assert isinstance(towers, TwoTower)
    assert isinstance(towers, TokenizingTowers)
    z, w = towers.encode_image(torch.randn(5, 16)), towers.encode_text(towers.tokenize(["a", "longer text"]))
    assert torch.linalg.vector_norm(torch.cat([z, w]), dim=1).tolist() == pytest.approx([1.0] * 7, abs=1e-5)
    assert towers.logit_scale.exp().item() == pytest.approx(20)


def test_a_text_reads_alike_beside_longer_ones() -> None:
    towers = small_dual_encoder()
    alone = towers.encode_text(towers.tokenize(["cat"]))
    beside = towers.encode_text(towers.tokenize(["cat", "a much longer sentence"]))[:1]
    torch.testing.assert_close(alone, beside, atol=1e-6, rtol=1e-5)


def test_towers_are_saved_with_their_reader_and_come_back(tmp_path: Path) -> None:
    towers = small_dual_encoder("image")
    save_state(tmp_path / "t", towers)
    back = load_state(tmp_path / "t")
    x, texts = torch.randn(2, 3, 8, 8), ["one", "two"]
    assert torch.equal(back.encode_image(x), towers.encode_image(x))
    assert torch.equal(back.encode_text(back.tokenize(texts)), towers.encode_text(towers.tokenize(texts)))


@pytest.mark.parametrize("reader", [Letters(), BytePairs(20)], ids=["letters", "byte-pairs"])
def test_readers_say_what_rebuilds_them_and_noise_stands_between_the_ends(reader: Letters | BytePairs) -> None:
    if isinstance(reader, BytePairs):
        pytest.importorskip("open_clip")
    again = reader_of(json.loads(json.dumps(reader.to_json())))
    texts = ["a cat", "something else altogether"]
    assert torch.equal(again(texts), reader(texts))
    noise = reader.noise(6, 10, torch.Generator().manual_seed(0))
    assert noise.shape == (6, 12)
    assert noise[:, 0].unique().tolist() == [reader.first]
    assert noise[:, -1].unique().tolist() == [reader.last]


def test_word_pieces_are_those_of_the_tokenizer_and_are_cut() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(models.WordLevel({"[B]": 0, "[E]": 1, "a": 2, "cat": 3, "?": 4}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="[B] $A [E]", special_tokens=[("[B]", 0), ("[E]", 1)])
    reader = WordPieces(made.to_str(), 4)
    assert reader(["a cat", "a", "a cat a cat"]).tolist() == [[0, 2, 3, 1], [0, 2, 1, NOTHING], [0, 2, 3, 1]]


def test_an_unknown_kind_of_reader_is_refused() -> None:
    with pytest.raises(ValueError, match="kind 'os'; there are byte-pairs, encoder, grams, letters, word-pieces"):
        reader_of({"kind": "os"})


def test_rows_of_tokens_are_padded() -> None:
    assert padded([[1, 2], [3]]).tolist() == [[1, 2], [3, NOTHING]]


def test_a_side_head_changes_nothing_at_first_and_its_base_rests() -> None:
    base = perceptron((6, 3))
    head = side_head(base, 6, 3, hidden=4)
    x = torch.randn(5, 6)
    assert torch.equal(head(x), base(x))
    assert not any(p.requires_grad for p in head.base.parameters())
    assert rebuild(recipe_of(side_head(None, 3, 3))).base(x[:, :3]).shape == (5, 3)


def test_named_classes_score_by_scaled_cosines() -> None:
    made = named_classes(perceptron((4, 3)), 2, 3, 10.0)
    made.weights.copy_(torch.eye(3)[:2])
    x = torch.randn(5, 4)
    torch.testing.assert_close(made(x), 10 * torch.nn.functional.normalize(made.image(x), dim=1)[:, :2])


def test_a_feature_head_reads_features_as_they_are_spread():
    x = torch.randn(50, 4) * torch.tensor([1.0, 10, 0, 3]) + 5
    head = feature_head(4, 3, 8, 0.5)
    head[0].measure(x)
    made = head[0](x)
    torch.testing.assert_close(made.mean(dim=0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.std(dim=0, correction=0), torch.tensor([1.0, 1, 0, 1]))
    assert head(x).shape == (50, 3)
    assert len(feature_head(4, 3, 0)) == 2


def test_parts_of_a_module_count_as_what_a_protocol_asks_for_and_nothing_else_does() -> None:
    from unseen.nn.protocols import Classifier, Segmenter, TwoTower, Writer

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(2, 2)  # a part, which stands in no dictionary of the instance itself

        def embed(self, x: torch.Tensor) -> torch.Tensor:
            return x

    assert isinstance(Network(), Classifier)
    assert isinstance(Network(), Segmenter)
    assert not isinstance(Network(), TwoTower)
    assert not isinstance(nn.Linear(2, 2), Classifier)
    assert not isinstance(3, Writer)
