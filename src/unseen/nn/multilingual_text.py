"""Text towers for any language: hashed parts of words, and pieces of words that are learnt from the texts at hand."""

from __future__ import annotations

import functools
import json
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.dual_encoder import NOTHING, padded, perceptron, text_reader

SIZES = (2, 3, 4)
"""Letters of a part of a word."""
START = 0.05
"""Deviation of the vectors of grams at first: as their mean is normed, a small one lets a usual rate move them."""


@text_reader("grams")
class Grams:
    """Numbers of words and of their parts of two to four letters, by a hash; single signs where a script has no spaces.

    Parameters
    ----------
    buckets : int, >= 2
        Numbers that there are.
    limit : int
        Numbers that a text may have.
    """

    def __init__(self, buckets: int = 20_000, limit: int = 192) -> None:
        self.buckets, self.limit = buckets, limit

    def __call__(self, texts: Sequence[str]) -> Int[Tensor, "n t"]:
        """A row for each text; an empty one has the number 0."""
        return padded([self._numbers(text) for text in texts])

    def _numbers(self, text: str) -> list[int]:
        return [zlib.crc32(gram.encode()) % self.buckets for gram in grams(text)[: self.limit]] or [0]

    def noise(self, n: int, length: int, generator: torch.Generator | None = None) -> Int[Tensor, "n t"]:
        """Random numbers."""
        return torch.randint(self.buckets, (n, length), generator=generator)

    def cuts(self, texts: Sequence[str]) -> list[bool]:
        """Which texts are longer than it reads."""
        return [len(grams(text)) > self.limit for text in texts]

    def unspelt(self, texts: Sequence[str]) -> list[bool]:
        """Which texts it has no word of: of signs alone, such as emoji, all of which have the number 0."""
        return [not grams(text) for text in texts]

    def to_json(self) -> Mapping[str, Any]:
        """Its size."""
        return {"kind": "grams", "buckets": self.buckets, "limit": self.limit}

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self  # nothing in it changes


@functools.lru_cache(maxsize=2**16)
def grams(text: str) -> tuple[str, ...]:
    """Words in their order, each with its parts; the ends of a word are marked."""
    parts: list[str] = []
    for word in unicodedata.normalize("NFKC", text).casefold().split():
        word = "".join(letter for letter in word if letter.isalnum())
        if not word:
            continue
        marked = f"<{word}>"
        parts.append(marked)
        parts += [letter for letter in word if ord(letter) > 0x2E80]
        parts += [marked[i : i + size] for size in SIZES for i in range(len(marked) - size + 1)]
    return tuple(parts)


class GramText(nn.Module):
    """The mean of the vectors of a text's grams, normed, then a perceptron.

    Parameters
    ----------
    buckets, word, hidden, dim : int
        Vectors that there are, their width, units, and the width of what it gives.
    """

    def __init__(self, buckets: int, word: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(buckets + 1, word, mode="mean", padding_idx=buckets)
        nn.init.normal_(self.table.weight, std=START)
        self.norm = nn.LayerNorm(word, elementwise_affine=False)
        self.layers = perceptron((word, hidden, dim))

    def forward(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n d"]:
        """Vectors of texts, of any length."""
        nothing = self.table.num_embeddings - 1
        return self.layers(self.norm(self.table(torch.where(tokens == NOTHING, nothing, tokens))))


@builder("gram-text")
def gram_text(buckets: int, word: int = 128, hidden: int = 256, dim: int = 128) -> GramText:
    """A `GramText` with fresh weights."""
    return GramText(buckets, word, hidden, dim)


def learnt_pieces(texts: Sequence[str], vocabulary: int = 8000) -> str:
    """The JSON of a tokenizer of byte pairs that are learnt from texts in any languages, one vocabulary for all.

    Parameters
    ----------
    texts : sequence of str
    vocabulary : int
        Pieces at most.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models.BPE(unk_token=special[0]))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(list(texts), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, sort_keys=True)


def unit_bag(texts: Sequence[str], buckets: int) -> Float[Tensor, "n b"]:
    """Counts of grams of texts, dampened and of unit length, (n, buckets): what a text is without any learning."""
    out = torch.zeros(len(texts), buckets)
    for row, numbers in zip(out, Grams(buckets, 10**6)(texts)):
        row += torch.bincount(numbers[numbers != NOTHING], minlength=buckets).sqrt()
    return F.normalize(out, dim=1)
