"""Prefix tokens: a learnt vector in front of a text that tells its tower where the text comes from."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.dual_encoder import NOTHING
from unseen.nn.prompting import PromptableText

Place = Literal["behind start", "front"]


class PrefixText(nn.Module):
    """A text tower with a mode: [start, prefix of the source, words, end], all else shared.

    Parameters
    ----------
    text : PromptableText
        Takes the vectors of tokens. Its context holds the prefix, too: a text that would not fit loses its last words,
        never the token that ends it.
    sources : int, >= 1
        Modes, of which the first is the default.
    tokens : int, >= 0
        Vectors of a prefix; one is enough. With 0 there is no mode.
    place : {"behind start", "front"}
        Behind the token that begins a text, or before it.
    shift : bool
        A vector of each source is added to what the tower gives: an ablation, which cannot re-route its layers.
    """

    def __init__(
        self, text: PromptableText, sources: int, tokens: int = 1, place: Place = "behind start", shift: bool = False
    ) -> None:
        super().__init__()
        if text.context - tokens < 3:
            raise ValueError(f"tokens must leave room for a word in a context of {text.context}; got {tokens}")
        self.text, self.place = text, place
        width = text.table.shape[1]
        spread = float(text.table.detach().std())
        self.prefix = nn.Parameter(spread * torch.randn(sources, tokens, width))
        dim = self._given(text)
        self.shift = nn.Parameter(torch.zeros(sources, dim)) if shift else None

    @staticmethod
    @torch.no_grad()
    def _given(text: PromptableText) -> int:
        vectors = text.table[:1].expand(3, -1)[None]
        return int(text(vectors, torch.tensor([3], device=vectors.device)).shape[1])

    def forward(self, tokens: Int[Tensor, "n t"], source: Int[Tensor, " n"] | int = 0) -> Float[Tensor, "n d"]:
        """Unit vectors of texts in the mode of a source, or of one for each."""
        ids = shortened(tokens, self.text.context - self.prefix.shape[1])
        if isinstance(source, int):
            source = torch.full((len(ids),), source, device=ids.device)
        vectors, lengths = F.embedding(ids.clamp(min=0), self.text.table), (ids != NOTHING).sum(dim=1)
        at = 1 if self.place == "behind start" else 0
        vectors = torch.cat([vectors[:, :at], self.prefix[source].to(vectors.dtype), vectors[:, at:]], dim=1)
        out = self.text(vectors, lengths + self.prefix.shape[1])
        return out if self.shift is None else F.normalize(out + self.shift[source], dim=1)


@builder("prefix-text")
def prefix_text(
    text: nn.Module, sources: int = 2, tokens: int = 1, place: Place = "behind start", shift: bool = False
) -> PrefixText:
    """A `PrefixText` around a tower that reads vectors."""
    return PrefixText(text, sources, tokens, place, shift)  # type: ignore[arg-type]


def shortened(tokens: Int[Tensor, "n t"], most: int) -> Int[Tensor, "n u"]:
    """Rows of at most so many tokens, of which the last still ends the text."""
    if tokens.shape[1] <= most:
        return tokens
    lengths = (tokens != NOTHING).sum(dim=1)
    out = tokens[:, :most].clone()
    long = lengths > most
    out[long, most - 1] = tokens[long, lengths[long] - 1]
    return out
