"""Small deterministic parts of a ranking system, for tests and examples: no weights and no tokenizer."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.words import words_of
from unseen.nn.build import builder

WIDTH = 64


def hashed(texts: Sequence[str], width: int = WIDTH) -> Float[Tensor, "n d"]:
    """Words by a hash, (n, width), earlier ones a little more, with a small constant, so that no text is zero."""
    out = torch.full((len(texts), width), 0.01)
    for row, text in zip(out, texts):
        for i, word in enumerate(words_of(text)):
            row[zlib.crc32(word.encode()) % width] += 1 / (1 + 0.1 * i)
    return out


class HashedRanker(nn.Module):
    """A bi-encoder whose vectors are hashed words through a linear map, the identity at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, width, bias=False)
        nn.init.eye_(self.map.weight)

    def embed(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Unit vectors, (n, d)."""
        return F.normalize(self.map(hashed(texts, self.map.in_features)), dim=1)

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> Float[Tensor, "n"]:
        """Ten times the cosine, less five."""
        return self.logits((self.embed(queries) * self.embed(documents)).sum(dim=1))

    def logits(self, cosines: Tensor) -> Tensor:
        """Scores of cosines."""
        return 10 * cosines - 5


@builder("hashed-ranker")
def hashed_ranker(width: int = WIDTH) -> nn.Module:
    """A `HashedRanker`."""
    return HashedRanker(width)


class HashedWords:
    """An encoder of texts: counts of hashed words."""

    def encode(self, domain: Domain) -> Domain:
        """The same samples as features."""
        return domain.replace(x=hashed([str(text) for text in domain.x]).numpy().astype(np.float32), kind="features")


class LastWords:
    """A writer that makes a query of the last words of the document at the end of a prompt."""

    name = "last-words"

    def write(self, prompts: Sequence[str], *, longest: int = 64, stop: str = "\n") -> list[str]:
        """The last three words of each document, at most `longest`."""
        documents = [re.findall(r"Document: (.*?)\nRelevant Query:", prompt, re.DOTALL)[-1] for prompt in prompts]
        return [" ".join(document.split()[-min(3, longest) :]) for document in documents]
