"""Soft and hard prompts, and what a decoder reads of both before a caption (steps 3 to 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.nn.beam import Prompts, beam_search
from unseen.nn.build import builder
from unseen.nn.protocols import CaptionDecoder

Mapper = Literal["mlp", "transformer"]
TEMPLATE = "This is a sound of {}"
"""How an event is said to the text tower, in training and at inference."""
FOUND, NOTHING = "There are {} in the audio.", "There are something in the audio."
IGNORED = -100


class SoftPrompt(nn.Module):
    """The mapping network M: from a vector of the shared space to some vectors of the language model (step 3).

    Parameters
    ----------
    in_dim, length, d : int
        From in_dim to length x d.
    mapper : {"mlp", "transformer"}
        Two layers with a tanh between; or a linear map to length x d beside as many learnt queries, and a transformer
        over both, of which the last `length` are the prompt.
    layers : int
        Of the transformer.
    """

    def __init__(self, in_dim: int, length: int, d: int, mapper: Mapper = "mlp", layers: int = 8) -> None:
        super().__init__()
        self.length, self.d = length, d
        self.first: nn.Module
        self.encoder: nn.Module | None = None
        if mapper == "mlp":
            hidden = max(length * d // 2, 1)
            self.first = nn.Sequential(nn.Linear(in_dim, hidden), nn.Tanh(), nn.Linear(hidden, length * d))
        else:
            self.first = nn.Linear(in_dim, length * d)
            self.queries = nn.Parameter(torch.randn(length, d) * 0.02)
            heads = next(h for h in (8, 4, 2, 1) if d % h == 0)
            layer = nn.TransformerEncoderLayer(d, heads, 2 * d, dropout=0.0, batch_first=True, norm_first=True)
            self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, e: Float[Tensor, "b in"]) -> Float[Tensor, "b l d"]:
        """The soft prompt of each vector, (b, length, d)."""
        x = self.first(e).view(len(e), self.length, self.d)
        if self.encoder is None:
            return x
        both = torch.cat([x, self.queries.expand(len(e), -1, -1)], dim=1)
        return self.encoder(both)[:, -self.length :]


@builder("soft-prompt")
def soft_prompt(in_dim: int, length: int, d: int, mapper: str = "mlp", layers: int = 8) -> nn.Module:
    """A `SoftPrompt` with fresh weights."""
    return SoftPrompt(in_dim, length, d, mapper, layers)  # type: ignore[arg-type]


class HardPrompt:
    """Names of sound events, retrieved by a vector of the shared space, in a sentence (step 4).

    Parameters
    ----------
    labels : sequence of str
    bank : Tensor (labels, d)
        Unit vectors of `TEMPLATE` with each label, by the text tower.
    k : int
        Labels, at most.
    threshold : float
        Share of the softmax that a label must have.
    temperature : float
        Of the softmax.
    mask_prob : float in [0, 1]
        With which a label is left out in training: a decoder that can copy does not learn to listen.
    """

    def __init__(
        self,
        labels: Sequence[str],
        bank: Float[Tensor, "c d"],
        k: int = 3,
        threshold: float = 0.2,
        temperature: float = 0.01,
        mask_prob: float = 0.4,
    ) -> None:
        self.names, self.bank = tuple(labels), bank
        self.k, self.threshold, self.temperature, self.mask_prob = k, threshold, temperature, mask_prob

    def retrieve(self, e: Float[Tensor, "b d"]) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
        """Shares of the softmax and places of the nearest k labels, the nearest first."""
        shares = (e @ self.bank.to(e.device).T / self.temperature).softmax(dim=1)
        nearest = shares.topk(min(self.k, shares.shape[1]), dim=1)
        return nearest.values, nearest.indices

    def labels(self, e: Float[Tensor, "b d"], generator: torch.Generator | None = None) -> list[list[str]]:
        """The labels of each vector above the threshold; with a generator some are left out, as in training."""
        shares, places = self.retrieve(e)
        kept = shares >= self.threshold
        if generator is not None and self.mask_prob:
            kept = kept & (torch.rand(kept.shape, generator=generator).to(kept.device) >= self.mask_prob)
        return [
            [self.names[place] for place, keeps in zip(row, mask) if keeps]
            for row, mask in zip(places.tolist(), kept.tolist())
        ]

    @staticmethod
    def text(labels: Sequence[str]) -> str:
        """The prompt in words."""
        return FOUND.format(", ".join(labels)) if labels else NOTHING


class Sequences(NamedTuple):
    """What stands behind the soft prompts of a batch: tokens (b, t), how many of each row, and what is learnt.

    `targets[i, j]` is the token that follows place j of the whole sequence, soft prompt included, or `IGNORED`.
    """

    tokens: Int[Tensor, "b t"]
    counts: Int[Tensor, " b"]
    targets: Int[Tensor, "b s"]


def assemble(
    prompts: Sequence[Sequence[int]], start: Sequence[int], captions: Sequence[Sequence[int]], length: int
) -> Sequences:
    """[soft prompt | hard prompt | caption], padded behind the caption; learnt are its words and its end (steps 5, 6).

    Parameters
    ----------
    prompts, captions : sequences of token numbers
    start : sequence of int
        Tokens between both, which are not learnt.
    length : int
        Of the soft prompt.
    """
    rows = [[*prompt, *start, *caption] for prompt, caption in zip(prompts, captions)]
    width = max(map(len, rows))
    tokens = torch.zeros(len(rows), width, dtype=torch.int64)
    targets = torch.full((len(rows), length + width), IGNORED, dtype=torch.int64)
    for i, (row, caption) in enumerate(zip(rows, captions)):
        tokens[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
        end = length + len(row)
        if len(caption):
            targets[i, end - len(caption) - 1 : end - 1] = torch.tensor(caption, dtype=torch.int64)
    return Sequences(tokens, torch.tensor([len(row) for row in rows]), targets)


class PrefixCaptioner:
    """A language model that continues [soft prompt | hard prompt] by a caption.

    Parameters
    ----------
    lm : CaptionDecoder
    soft : SoftPrompt or None
    hard : HardPrompt or None
        At least one of both; or neither, for a model of captions alone.
    """

    def __init__(self, lm: CaptionDecoder, soft: nn.Module | None, hard: HardPrompt | None) -> None:
        self.lm, self.soft, self.hard = lm, soft, hard
        self._known: dict[str, list[int]] = {}

    @property
    def length(self) -> int:
        """Of the soft prompt."""
        return 0 if self.soft is None else int(self.soft.length)  # type: ignore[arg-type]

    def loss(
        self, e: Float[Tensor, "b d"], captions: Sequence[Sequence[int]], generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """L = -sum_t log p(c_t | soft, hard, c_<t), per token of the batch (step 6)."""
        prompts = self.hard_ids(e, generator)
        batch = assemble(prompts, self.lm.start, captions, self.length)
        x = self._vectors(e, batch.tokens.to(e.device))
        targets = batch.targets.to(e.device)
        learnt = targets != IGNORED
        hidden, _ = self.lm.hidden(x)
        return F.cross_entropy(self.lm.logits(hidden[learnt]), targets[learnt])

    def hard_ids(self, e: Float[Tensor, "b d"], generator: torch.Generator | None = None) -> list[list[int]]:
        """Tokens of the hard prompt of each vector."""
        if self.hard is None:
            return [[] for _ in range(len(e))]
        return [self._ids(self.hard.text(labels)) for labels in self.hard.labels(e, generator)]

    def generate(self, e: Float[Tensor, "n d"], **search: Any) -> list[str]:
        """The caption of each vector, by beam search (step 8)."""
        batch = assemble(self.hard_ids(e), self.lm.start, [()] * len(e), self.length)
        mask = torch.arange(batch.tokens.shape[1])[None] < batch.counts[:, None]
        mask = torch.cat([torch.ones(len(e), self.length, dtype=torch.bool), mask], dim=1).to(e.device)
        x = self._vectors(e, batch.tokens.to(e.device))
        return [self.lm.text(ids) for ids in beam_search(self.lm, Prompts(x, mask), **search)]

    def _vectors(self, e: Tensor, tokens: Int[Tensor, "b t"]) -> Float[Tensor, "b s d"]:
        x = self.lm.embed(tokens)
        return x if self.soft is None else torch.cat([self.soft(e).to(x.dtype), x], dim=1)

    def _ids(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = self.lm.prompt_ids(text)
        return self._known[text]


def project(e: Float[Tensor, "n d"], support: Float[Tensor, "m d"], temperature: float) -> Float[Tensor, "n d"]:
    """e = normalize(sum_i w_i E_i), w = softmax(e . E / temperature): onto what texts say (step 7, DeCap)."""
    return F.normalize((e @ support.T / temperature).softmax(dim=1) @ support, dim=1)
