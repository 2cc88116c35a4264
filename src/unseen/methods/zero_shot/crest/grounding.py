"""The two pathways: attributes that look at regions, and regions that look at attributes."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unseen.methods.zero_shot.crest.bank import PatternBank

Mapping = Literal["softmax", "bilinear"]


class Visual(NamedTuple):
    """What the visual pathway makes of a batch: features and score of each attribute, and where it looked."""

    features: Float[Tensor, "b a d"]
    scores: Float[Tensor, "b a"]
    maps: Float[Tensor, "b a r"]


class Attributes(NamedTuple):
    """What the attribute pathway makes of a batch: scores, the region of each attribute, queries to the bank."""

    scores: Float[Tensor, "b a"]
    maps: Float[Tensor, "b a r"]
    queries: Float[Tensor, "b q d"] | None


class VisualGrounding(nn.Module):
    """VGT (step 1): each attribute attends to the regions, and what it finds there is scored against its words.

        H_v = block(E W_q, F W_k, F W_v),   p_v[a] = E_a^T W_1 H_v[a]

    Parameters
    ----------
    width, words : int
        Values of a region, d, and of the word vector of an attribute.
    sharpness : float
        Of the attention, softmax(sharpness Q K^T / sqrt(d)).
    """

    def __init__(self, width: int, words: int, sharpness: float) -> None:
        super().__init__()
        self.sharpness = sharpness
        self.query = nn.Linear(words, width)
        self.key, self.value = nn.Linear(width, width), nn.Linear(width, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.score = nn.Linear(words, width, bias=False)

    def forward(self, regions: Float[Tensor, "b r d"], words: Float[Tensor, "a w"]) -> Visual:
        """Ground the attributes in the regions."""
        query = self.query(words)
        unit = math.sqrt(query.shape[1]) / self.sharpness
        maps = torch.softmax(query @ self.key(regions).transpose(1, 2) / unit, dim=2)
        features = self.first(query + maps @ self.value(regions))
        features = self.second(features + self.feed(features))
        return Visual(features, (features * self.score(words)).sum(dim=2), maps)


class AttributeGrounding(nn.Module):
    """AGT (steps 2 and 3): each region attends to the attributes, and its score is given to those that it shows.

        H_a = softmax(F W_q (E W_k)^T / sqrt(d)) E W_v + V_t,   s_r = F_r^T W_2 H_a[r] / sqrt(d) + b,   p_a = Att^T s

    b starts at 1: before anything is learnt, all regions count alike.

    Parameters
    ----------
    width, words : int
        As in `VisualGrounding`.
    mapping : {"softmax", "bilinear"}
        Att: the softmax over regions of F W_3 E^T, or F W_3 E^T itself over their number. With one region the softmax
        is 1, and all attributes have the same score.
    """

    def __init__(self, width: int, words: int, mapping: Mapping) -> None:
        super().__init__()
        self.mapping = mapping
        self.query = nn.Linear(width, width)
        self.key, self.value = nn.Linear(words, width), nn.Linear(words, width)
        self.score = nn.Linear(width, width, bias=False)
        self.alike = nn.Parameter(torch.ones(()))
        self.map = nn.Linear(words, width, bias=False)

    def forward(
        self, regions: Float[Tensor, "b r d"], words: Float[Tensor, "a w"], bank: PatternBank | None = None
    ) -> Attributes:
        """Ground the regions in the attributes; with a bank, what it remembers is added."""
        unit = math.sqrt(regions.shape[2])
        attention = torch.softmax(self.query(regions) @ self.key(words).T / unit, dim=2)
        attended, queries = attention @ self.value(words), None
        if bank is not None:
            queries = bank.ask(regions, attended)
            attended = attended + bank(queries)
        each = (self.score(regions) * attended).sum(dim=2) / unit + self.alike
        match = self.map(words) @ regions.transpose(1, 2)
        maps = torch.softmax(match, dim=2)
        weights = maps if self.mapping == "softmax" else match / regions.shape[1]
        return Attributes((weights @ each[:, :, None])[:, :, 0], maps, queries)
