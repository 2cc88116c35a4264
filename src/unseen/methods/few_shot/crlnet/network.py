"""The network: the maps of a support and of a query become two vectors, each conditional on the other."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.build import builder

TEMPERATURE = 10_000
"""Of the sine positions: how much slower the last pair of features turns than the first."""

Pair = tuple[Tensor, Tensor]
"""Of the support and of the query."""


def sine_positions(height: int, width: int, channels: int) -> Float[Tensor, "t c"]:
    """Where each position of a map lies, row by row: half of the features for the row, half for the column.

    Rows and columns are counted from 1 and stretched so that the last one is a full turn.
    """
    each = channels // 2
    slower = TEMPERATURE ** (2 * (torch.arange(each) // 2) / each)

    def turns(n: int) -> Float[Tensor, "n e"]:
        angle = (torch.arange(1, n + 1) / n * 2 * math.pi)[:, None] / slower
        return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], dim=2).flatten(1)

    rows, columns = turns(height), turns(width)
    places = [rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)]
    return torch.cat(places, dim=2).flatten(0, 1)


class FeedForward(nn.Module):
    """LayerNorm(x + FFN(x)), token by token."""

    def __init__(self, channels: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(channels, ffn), nn.Linear(ffn, channels)
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(channels)

    def forward(self, x: Float[Tensor, "b t c"]) -> Float[Tensor, "b t c"]:
        """The tokens, changed."""
        return self.norm(x + self.dropout(self.outer(self.dropout(self.inner(x).relu()))))


class CrossAttention(nn.Module):
    """Step 3: the tokens of each picture look at those of both; projections are its own, the attention is shared.

    Keys and values are both maps, one below the other, that of the picture itself on top.
    """

    own_places: Tensor
    all_places: Tensor

    def __init__(self, channels: int, height: int, width: int, heads: int, ffn: int) -> None:
        super().__init__()
        self.support, self.query = (
            nn.ModuleDict({role: nn.Linear(channels, channels) for role in ("query", "key", "value")}) for _ in range(2)
        )
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.norm = nn.LayerNorm(channels)
        self.ffn = FeedForward(channels, ffn, dropout=0.1)
        self.register_buffer("own_places", sine_positions(height, width, channels), persistent=False)
        self.register_buffer("all_places", sine_positions(2 * height, width, channels), persistent=False)

    def forward(self, s: Float[Tensor, "b t c"], q: Float[Tensor, "b t c"]) -> Pair:
        """s' and q'."""
        return self.look(s, q, self.support), self.look(q, s, self.query)

    def look(
        self, tokens: Float[Tensor, "b t c"], other: Float[Tensor, "b t c"], project: nn.ModuleDict
    ) -> Float[Tensor, "b t c"]:
        """The tokens of one picture after they looked at both."""
        both = torch.cat([tokens, other], dim=1)
        query = project["query"](tokens) + self.own_places
        key, value = project["key"](both) + self.all_places, project["value"](both)
        attended = self.attention(query, key, value, need_weights=False)[0]
        return self.ffn(self.norm(query + attended))


class Correlation(nn.Module):
    """Step 4: how each position of one picture goes with all of the other, by one shared convolution."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.grid = (height, width)
        self.convolution = nn.Conv3d(height, 1, (width, 3, 3), padding=(0, 1, 1))
        self.norm = nn.BatchNorm3d(1)

    def forward(self, s: Float[Tensor, "b t c"], q: Float[Tensor, "b t c"]) -> Pair:
        """corr_s and corr_q, (b, t, 1) each."""
        products = s @ q.transpose(1, 2)  # M, (b, positions of the support, positions of the query)
        return self.condensed(products.transpose(1, 2)), self.condensed(products)

    def condensed(self, products: Float[Tensor, "b t t"]) -> Float[Tensor, "b t 1"]:
        """The first picture's rows are channels, its columns the depth; what is left are the second one's positions."""
        volume = products.reshape(len(products), *self.grid, *self.grid)
        return self.norm(self.convolution(volume)).relu().flatten(2).transpose(1, 2)


class Refinement(nn.Module):
    """Step 6: self-attention within each picture, shared but for the projections."""

    places: Tensor

    def __init__(self, channels: int, height: int, width: int, heads: int, ffn: int) -> None:
        super().__init__()
        self.support, self.query = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.before, self.after = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.ffn = FeedForward(channels, ffn, dropout=0.0)
        self.register_buffer("places", sine_positions(height, width, channels), persistent=False)

    def forward(self, s: Float[Tensor, "b t c"], q: Float[Tensor, "b t c"]) -> Pair:
        """s'' and q''."""
        x = torch.cat([self.support(s), self.query(q)]) + self.places
        normed = self.before(x)
        refined = self.ffn(self.after(x + self.attention(normed, normed, normed, need_weights=False)[0]))
        first, second = refined.split([len(s), len(q)])
        return first, second


class ConditionalNetwork(nn.Module):
    """Maps to two vectors, conditional on each other.

    Parameters
    ----------
    n_features : int
        Values of a region.
    channels : int
        C, values that are left of them by `basis`; divisible by `heads` and by 4.
    height, width : int
        Of the maps, in positions.
    hidden, ffn : int
        Of the perceptron of step 5, and of what follows each attention.
    cross_attention, correlation, self_attention, residual_backbone : bool
        Whether there are steps 3, 4, 6, and the backbone's part in step 7.
    """

    mean: Tensor
    basis: Tensor

    def __init__(
        self, n_features: int, channels: int, height: int, width: int, *, heads: int, hidden: int, ffn: int,
        cross_attention: bool, correlation: bool, self_attention: bool, residual_backbone: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.grid, self.residual = (height, width), residual_backbone
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("basis", torch.eye(n_features, channels))
        self.cross = CrossAttention(channels, height, width, heads, ffn) if cross_attention else None
        self.correlation = Correlation(height, width) if correlation else None
        self.perceptron = nn.Sequential(
            nn.Linear(channels + correlation, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, channels),
        )  # fmt: skip
        self.refine = Refinement(channels, height, width, heads, ffn) if self_attention else None
        for name, weight in self.named_parameters():
            if weight.dim() > 1 and "perceptron" not in name and "convolution" not in name:
                nn.init.xavier_uniform_(weight)

    def project(self, cells: Float[Tensor, "n t d"]) -> Float[Tensor, "n t c"]:
        """The maps as all else reads them: the frozen 1 x 1 projection."""
        return (cells - self.mean) @ self.basis

    def pair(self, s: Float[Tensor, "b t c"], q: Float[Tensor, "b t c"]) -> Pair:
        """e_s and e_q, (b, c): the i-th support and the i-th query, each in the light of the other (steps 3 to 7)."""
        mapped = self.refined(*self.embedded(s, q))
        pooled = [x.mean(dim=1) for x in mapped]
        if self.residual:
            pooled = [(x + backbone.mean(dim=1)) / 2 for x, backbone in zip(pooled, (s, q))]
        return pooled[0], pooled[1]

    def embedded(self, s: Float[Tensor, "b t c"], q: Float[Tensor, "b t c"]) -> Pair:
        """Steps 3 to 5. The attended maps enter through their correlation; without one they stand for the maps."""
        attended = (s, q) if self.cross is None else self.cross(s, q)
        if self.correlation is None:
            return self.perceptron(attended[0]), self.perceptron(attended[1])
        corr_s, corr_q = self.correlation(*attended)
        return self.perceptron(torch.cat([s, corr_s], dim=2)), self.perceptron(torch.cat([q, corr_q], dim=2))

    def refined(self, s: Float[Tensor, "b t c"], q: Float[Tensor, "b t c"]) -> Pair:
        """Step 6."""
        return (s, q) if self.refine is None else self.refine(s, q)

    def forward(self, s: Float[Tensor, "b t d"], q: Float[Tensor, "b t d"]) -> Float[Tensor, " b"]:
        """The cosine of each support with its query, from the features of regions."""
        e_s, e_q = self.pair(self.project(s), self.project(q))
        return torch.cosine_similarity(e_s, e_q, dim=1)


@builder("crlnet")
def conditional_network(
    n_features: int, channels: int, height: int, width: int, heads: int, hidden: int, ffn: int, cross_attention: bool,
    correlation: bool, self_attention: bool, residual_backbone: bool,
) -> ConditionalNetwork:  # fmt: skip
    """A `ConditionalNetwork` with fresh weights."""
    return ConditionalNetwork(
        n_features, channels, height, width, heads=heads, hidden=hidden, ffn=ffn, cross_attention=cross_attention,
        correlation=correlation, self_attention=self_attention, residual_backbone=residual_backbone,
    )  # fmt: skip
