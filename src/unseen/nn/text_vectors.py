"""Vectors of texts from the vectors of their words, and whose these are."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from unseen.data.words import WordVectors, wordllama

Weighting = Literal["mean", "tfidf"]


class TextVectors(NamedTuple):
    """Texts as unit vectors, and how much of them is known.

    Attributes
    ----------
    vectors : Tensor (n, d)
        Zeros where no word of a text has a vector.
    skipped : int
        Words without a vector, which are left out.
    """

    vectors: Float[Tensor, "n d"]
    skipped: int

    @property
    def known(self) -> Bool[np.ndarray, " n"]:
        """Which texts have a vector."""
        return (self.vectors != 0).any(dim=1).numpy()


def text_vectors(
    texts: Sequence[str], words: WordVectors, weighting: Weighting = "mean", corpus: Sequence[str] | None = None
) -> TextVectors:
    """The mean of the vectors of the words of each text, at unit length; "tfidf" weighs a word by its rarity.

    The weight of an occurrence is ln((1 + n) / (1 + texts with the word)) + 1 over the n texts of the corpus, which are
    `texts` if absent.
    """
    others = () if weighting == "mean" else texts if corpus is None else corpus
    every = [*texts, *others]
    table, tokens, _ = words.read(every, longest=max([1, *(len(words.tokenize(text)) for text in every)]))
    tokens, among = tokens[: len(texts)], tokens[len(texts) :]
    skipped = sum(len(words.tokenize(text)) for text in texts) - int((tokens >= 0).sum())
    there = tokens >= 0
    weight = there.astype(np.float64)
    if weighting == "tfidf" and len(table):
        holding = np.zeros(len(table))
        for row in among:
            holding[np.unique(row[row >= 0])] += 1
        weight = weight * (np.log((1 + len(among)) / (1 + holding)) + 1)[tokens.clip(min=0)]
    out = np.zeros((len(tokens), words.dim))
    for i in range(tokens.shape[1]) if len(table) else ():
        out += weight[:, i, None] * table[tokens[:, i].clip(min=0)]
    return TextVectors(F.normalize(torch.as_tensor(out), dim=1).float(), skipped)


def word_vectors(encoder: Any) -> WordVectors:
    """The vectors given, or those of wordllama."""
    if encoder is None:
        return wordllama()
    if not isinstance(encoder, WordVectors):
        raise TypeError(f"encoder must be a WordVectors (unseen.data.words); got {type(encoder).__name__}")
    return encoder
