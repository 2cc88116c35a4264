"""Parts taken out of networks: channels, heads, hidden units, layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor, nn

from unseen.nn.towers import Block, PrunableTower, Shape, TextTower, VisionTower, reshaped

Index = Int[Tensor, "_"]


class Kept(NamedTuple):
    """What stays of a tower: layers, channels, and of each layer that stays its heads and hidden units."""

    layers: Sequence[int]
    hidden: Index
    heads: Sequence[Index]
    mlp: Sequence[Index]

    def shape(self, head: int) -> Shape:
        """Of the tower that is left."""
        return Shape(len(self.hidden), head, tuple(map(len, self.heads)), tuple(map(len, self.mlp)))


@torch.no_grad()
def slice_linear(into: nn.Linear, of: nn.Linear, rows: Index, columns: Index) -> None:
    """Copy some rows and columns of a layer's weights, and the biases of these rows."""
    into.weight.copy_(of.weight[rows][:, columns])
    if into.bias is not None and of.bias is not None:
        into.bias.copy_(of.bias[rows])


@torch.no_grad()
def slice_norm(into: nn.LayerNorm | nn.BatchNorm2d, of: Any, channels: Index) -> None:
    """Copy some channels of a norm, the statistics of a BatchNorm included."""
    for name, value in of.state_dict().items():
        into.state_dict()[name].copy_(value[channels] if value.ndim else value)


def rows_of_heads(heads: Index, head: int, n: int, parts: int = 3) -> Index:
    """Rows of q, k and v (or of one of them) of some of `n` heads: a slice within each, never across them."""
    rows = (heads[:, None] * head + torch.arange(head)).flatten()
    return torch.cat([part * n * head + rows for part in range(parts)])


def slice_attention(into: Block, of: Block, heads: Index, channels: Index) -> None:
    """Copy some heads, whole, with their inputs and outputs in some channels."""
    rows = rows_of_heads(heads, of.head, of.heads)
    slice_linear(into.qkv, of.qkv, rows, channels)
    slice_linear(into.out, of.out, channels, rows[: len(heads) * of.head])


@torch.no_grad()
def taken(tower: PrunableTower, kept: Kept) -> Any:
    """A smaller tower with what is kept of another."""
    small = reshaped(tower, kept.shape(tower.shape.head))
    copy_kept(small, tower, kept)
    return small


@torch.no_grad()
def copy_kept(small: PrunableTower, tower: PrunableTower, kept: Kept) -> None:
    """Copy what is kept of a tower into one of that shape."""
    hidden = kept.hidden
    for i, layer in enumerate(kept.layers):
        into, of = small.layers[i], tower.layers[layer]
        if into.heads:
            slice_norm(into.ln_1, of.ln_1, hidden)
            slice_attention(into, of, kept.heads[i], hidden)
        if into.mlp:
            slice_norm(into.ln_2, of.ln_2, hidden)
            slice_linear(into.fc, of.fc, kept.mlp[i], hidden)
            slice_linear(into.proj, of.proj, hidden, kept.mlp[i])
    slice_norm(small.last, tower.last, hidden)
    small.projection.copy_(tower.projection[hidden])
    if small.projection_bias is not None and tower.projection_bias is not None:
        small.projection_bias.copy_(tower.projection_bias)
    _positions(small).copy_(_positions(tower)[:, hidden])
    if isinstance(tower, VisionTower) and isinstance(small, VisionTower):
        small.patches.weight.copy_(tower.patches.weight[hidden])
        small.class_token.copy_(tower.class_token[hidden])
        if small.first is not None and tower.first is not None:
            slice_norm(small.first, tower.first, hidden)
    elif isinstance(tower, TextTower) and isinstance(small, TextTower):
        small.tokens.weight.copy_(tower.tokens.weight[:, hidden])


def _positions(tower: PrunableTower) -> Tensor:
    assert isinstance(tower, (VisionTower, TextTower))
    return tower.positions


# -- which parts -------------------------------------------------------------------------------------------


def leading(importance: Tensor, k: int) -> Index:
    """The first k."""
    return torch.arange(k)


def uniform(importance: Tensor, k: int) -> Index:
    """Every (n / k)-th."""
    return torch.arange(k) * len(importance) // k


def important(importance: Tensor, k: int) -> Index:
    """The k most important, in their order; of equals the first."""
    return importance.argsort(descending=True, stable=True)[:k].sort().values


SELECTIONS: dict[str, Callable[[Tensor, int], Index]] = {
    "leading": leading, "uniform": uniform, "importance": important,
}  # fmt: skip


@torch.no_grad()
def channel_importance(tower: PrunableTower) -> Tensor:
    """Sum of the absolute weights that write into each channel of the residual stream, (w,)."""
    total = _positions(tower).abs().sum(dim=0)
    if isinstance(tower, VisionTower):
        total = total + tower.patches.weight.abs().flatten(1).sum(dim=1) + tower.class_token.abs()
    elif isinstance(tower, TextTower):
        total = total + tower.tokens.weight.abs().mean(dim=0)
    for block in tower.layers:
        for layer in ("out", "proj"):
            if hasattr(block, layer):
                total = total + getattr(block, layer).weight.abs().sum(dim=1)
    return total


@torch.no_grad()
def head_importance(block: Block) -> Tensor:
    """Sum of the absolute weights that read each head, (heads,)."""
    if not block.heads:
        return torch.zeros(0)
    return block.out.weight.abs().sum(dim=0).view(block.heads, block.head).sum(dim=1)


@torch.no_grad()
def unit_importance(block: Block) -> Tensor:
    """Sum of the absolute weights that read each hidden unit, (m,)."""
    return block.proj.weight.abs().sum(dim=0) if block.mlp else torch.zeros(0)
