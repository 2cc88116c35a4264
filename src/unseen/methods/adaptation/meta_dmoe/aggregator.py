"""Step 2: from what the experts see in a sample, one token each, to one target for the student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.build import builder

Kind = Literal["transformer", "average", "max", "weighted"]


class Block(nn.Module):
    """Pre-norm transformer block: attention over the tokens, then a perceptron d -> 2d -> d, both residual."""

    def __init__(self, width: int, heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
            nn.Dropout(dropout),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Tokens that know of each other."""
        z = self.before_attention(tokens)
        tokens = tokens + self.dropout(self.attention(z, z, z, need_weights=False)[0])
        return tokens + self.mlp(self.before_mlp(tokens))


class Transformer(nn.Module):
    """Blocks without positions or class token, then the mean over the tokens."""

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b d"]:
        """One vector per sample."""
        return self.blocks(tokens).mean(dim=1)


class Average(nn.Module):
    """The mean over the tokens."""

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b d"]:
        """One vector per sample."""
        return tokens.mean(dim=1)


class Maximum(nn.Module):
    """The largest value of each feature over the tokens."""

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b d"]:
        """One vector per sample."""
        return tokens.amax(dim=1)


class Weighted(nn.Module):
    """A weighted sum, whose weights are a softmax over a learnt score of each token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b d"]:
        """One vector per sample."""
        return (torch.softmax(self.score(tokens), dim=1) * tokens).sum(dim=1)


class Aggregator(nn.Module):
    """A rule from tokens to one vector, and a linear map for each expert that is not as wide as the student.

    The rule takes any number of tokens in any order.
    """

    def __init__(self, rule: nn.Module, maps: Sequence[nn.Module]) -> None:
        super().__init__()
        self.rule, self.maps = rule, nn.ModuleList(maps)

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b d"]:
        """t, what the student's features are drawn to."""
        return self.rule(tokens)


@builder("expert-aggregator")
def aggregator(kind: Kind, width: int, expert_widths: Sequence[int], heads: int = 4, depth: int = 1) -> Aggregator:
    """An untrained aggregator.

    Parameters
    ----------
    kind : {"transformer", "average", "max", "weighted"}
    width : int
        d of the student's features; `heads` must divide it for the transformer.
    expert_widths : sequence of int
        d of each expert's features.
    heads, depth : int
        Of the transformer.
    """
    if kind == "transformer" and width % heads:
        raise ValueError(f"heads must divide the {width} features of the student; got {heads}")
    maps = [nn.Identity() if other == width else nn.Linear(other, width) for other in expert_widths]
    return Aggregator(_rule(kind, width, heads, depth), maps)


def _rule(kind: Kind, width: int, heads: int, depth: int) -> nn.Module:
    if kind == "transformer":
        return Transformer(width, heads, depth)
    if kind == "weighted":
        return Weighted(width)
    return Average() if kind == "average" else Maximum()


def tokens(
    experts: Sequence[nn.Module], aggregator: Aggregator, x: Tensor, without: int | None = None
) -> Float[Tensor, "b n d"]:
    """What each expert sees, without gradients to the expert; expert `without` is not asked at all (step 5a)."""
    kept = [i for i in range(len(experts)) if i != without]
    with torch.no_grad():
        features = [experts[i].embed(x) for i in kept]  # type: ignore[operator]
    return torch.stack([aggregator.maps[i](z) for i, z in zip(kept, features)], dim=1)
