"""Transformers of two towers whose parts can be taken out: each layer has heads and a width of its own.

They compute what CLIP's towers compute; channels, heads and units can be gated while it is learnt which of them to keep
(`Gates`), and taken out for good (`unseen.nn.pruning`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.nn.build import builder

Activation = Literal["gelu", "quick-gelu"]
ENDS = ("last", "largest")
"""Where a text is read: at its last token, or at its largest, as CLIP's tokens end."""
EPS = 1e-5
"""Added to the variance in norms; other libraries have smaller ones."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """How wide a transformer is.

    Attributes
    ----------
    width : int
        Channels of the residual stream.
    head : int
        Width of a head.
    heads, mlp : tuple of int
        Heads and hidden units of each layer; with 0 there is no attention, or no perceptron, in it.
    """

    width: int
    head: int
    heads: tuple[int, ...]
    mlp: tuple[int, ...]

    @property
    def layers(self) -> int:
        """How many there are."""
        return len(self.heads)


class Gates(NamedTuple):
    """Factors of channels (w,), of the heads of each layer, and of the hidden units of each layer; 0 is closed."""

    hidden: Tensor
    heads: Sequence[Tensor]
    mlp: Sequence[Tensor]

    def of_layer(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        """What gates one layer."""
        return self.hidden, self.heads[i], self.mlp[i]


def open_norm(norm: nn.LayerNorm, x: Float[Tensor, "*b w"], z: Float[Tensor, " w"] | None) -> Float[Tensor, "*b w"]:
    """LayerNorm over the channels that are open alone; the others give 0."""
    if z is None:
        return norm(x)
    is_open = (z != 0).to(x.dtype)
    n = is_open.sum().clamp(min=1)
    centred = (x - (x * is_open).sum(dim=-1, keepdim=True) / n) * is_open
    variance = centred.square().sum(dim=-1, keepdim=True) / n
    return (centred * torch.rsqrt(variance + norm.eps) * norm.weight + norm.bias) * is_open


def heads_of(width: int, head: int) -> int:
    """Heads of such a width; one where they do not fit."""
    return max(1, width // head) if width % head == 0 else 1


class Block(nn.Module):
    """x + out(attention(norm(x))), then x + proj(gelu(fc(norm(x)))); a part without heads or units is not there."""

    def __init__(self, width: int, head: int, heads: int, mlp: int, activation: Activation, eps: float = EPS) -> None:
        super().__init__()
        self.head, self.heads, self.mlp, self.quick = head, heads, mlp, activation == "quick-gelu"
        if heads:
            self.ln_1 = nn.LayerNorm(width, eps)
            self.qkv, self.out = nn.Linear(width, 3 * heads * head), nn.Linear(heads * head, width)
        if mlp:
            self.ln_2 = nn.LayerNorm(width, eps)
            self.fc, self.proj = nn.Linear(width, mlp), nn.Linear(mlp, width)

    def forward(
        self, x: Float[Tensor, "b t w"], causal: bool, gates: tuple[Tensor, Tensor, Tensor] | None = None
    ) -> Float[Tensor, "b t w"]:
        """One layer; `gates` are those of channels, heads and units."""
        hidden, heads, units = gates or (None, None, None)
        if self.heads:
            x = x + self._gated(self.attended(x, causal, hidden, heads), hidden, heads)
        if self.mlp:
            x = x + self._gated(self.fed(x, hidden, units), hidden, units)
        return x

    def attended(
        self, x: Float[Tensor, "b t w"], causal: bool = False, hidden: Tensor | None = None, z: Tensor | None = None
    ) -> Float[Tensor, "b t w"]:
        """out(attention(norm(x))), what a layer with heads adds first; `hidden` and `z` gate channels and heads."""
        x = open_norm(self.ln_1, x, hidden)
        b, t, _ = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, self.head).permute(2, 0, 3, 1, 4)
        return self.out(self.attention(q, k, v, causal, z))

    def attention(
        self,
        q: Float[Tensor, "b m t d"],
        k: Float[Tensor, "b m n d"],
        v: Float[Tensor, "b m n d"],
        causal: bool = False,
        z: Tensor | None = None,
    ) -> Float[Tensor, "b t e"]:
        """What the heads find, beside each other; `z` gates them."""
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return (attended if z is None else attended * z[:, None, None]).transpose(1, 2).flatten(2)

    def fed(
        self, x: Float[Tensor, "b t w"], hidden: Tensor | None = None, units: Tensor | None = None
    ) -> Float[Tensor, "b t w"]:
        """proj(gelu(fc(norm(x)))), what a layer with units adds then; `hidden` and `units` gate channels and units."""
        inner = self.active(open_norm(self.ln_2, x, hidden))
        return self.proj(inner if units is None else inner * units)

    def active(self, x: Float[Tensor, "*b w"]) -> Float[Tensor, "*b u"]:
        """gelu(fc(x)), the hidden units."""
        inner = self.fc(x)
        return inner * torch.sigmoid(1.702 * inner) if self.quick else F.gelu(inner)

    @staticmethod
    def _gated(y: Tensor, hidden: Tensor | None, parts: Tensor | None) -> Tensor:
        """A part all of whose heads or units are closed gives nothing, not even its bias: it will not be there."""
        return y if hidden is None or parts is None else y * hidden * (parts != 0).any().to(y.dtype)


class PrunableTower(nn.Module):
    """What both towers have: layers (`blocks`), a last norm, and a projection into the shared space.

    Attributes
    ----------
    shape : Shape
    """

    last: nn.LayerNorm
    projection: nn.Parameter
    projection_bias: nn.Parameter | None

    def __init__(self, shape: Shape, dim: int, activation: Activation, bias: bool = False, eps: float = EPS) -> None:
        super().__init__()
        self.shape, self.dim, self.activation = shape, dim, activation
        sizes = zip(shape.heads, shape.mlp)
        self.blocks = nn.ModuleList(Block(shape.width, shape.head, heads, mlp, activation, eps) for heads, mlp in sizes)
        self.last = nn.LayerNorm(shape.width, eps)
        self.projection = nn.Parameter(shape.width**-0.5 * torch.randn(shape.width, dim))
        self.projection_bias = nn.Parameter(torch.zeros(dim)) if bias else None

    @property
    def layers(self) -> list[Block]:
        """The blocks, one after the other."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def _start(self) -> None:
        """CLIP's deviations of fresh weights."""
        width, layers = self.shape.width, max(self.shape.layers, 1)
        for module in self.modules():
            if isinstance(module, Block):
                for name, std in (
                    ("qkv", width**-0.5), ("out", (2 * width * layers) ** -0.5),
                    ("fc", (2 * width) ** -0.5), ("proj", (2 * width * layers) ** -0.5),
                ):  # fmt: skip
                    if hasattr(module, name):
                        nn.init.normal_(getattr(module, name).weight, std=std)
                        nn.init.zeros_(getattr(module, name).bias)

    def _transformed(self, x: Tensor, causal: bool, gates: Gates | None) -> Tensor:
        for i, block in enumerate(self.layers):
            x = block(x, causal, None if gates is None else gates.of_layer(i))
        return x

    def _projected(self, x: Tensor, gates: Gates | None) -> Tensor:
        y = (x if gates is None else x * gates.hidden) @ self.projection
        return y if self.projection_bias is None else y + self.projection_bias


class VisionTower(PrunableTower):
    """CLIP's vision transformer: patches, a class token, positions, layers, a projection.

    Parameters
    ----------
    image_size, patch : pair of int
        Height and width of pictures and of a patch.
    shape : Shape
    dim : int
        Width of the shared space.
    activation : {"gelu", "quick-gelu"}
    pool : {"token", "mean", "mean-first"}
        What is projected: the class token; the mean of the patches, each normed; or their mean, normed.
    norm_first : bool
        Whether there is a norm before the first layer.
    eps : float
        Added to the variance in every norm.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        patch: tuple[int, int],
        shape: Shape,
        dim: int,
        activation: Activation = "gelu",
        pool: Literal["token", "mean", "mean-first"] = "token",
        norm_first: bool = True,
        eps: float = EPS,
    ) -> None:
        super().__init__(shape, dim, activation, eps=eps)
        n = (image_size[0] // patch[0]) * (image_size[1] // patch[1])
        self.pool = pool
        self.patches = nn.Conv2d(3, shape.width, patch, stride=patch, bias=False)
        self.class_token = nn.Parameter(shape.width**-0.5 * torch.randn(shape.width))
        self.positions = nn.Parameter(shape.width**-0.5 * torch.randn(n + 1, shape.width))
        self.first = nn.LayerNorm(shape.width, eps) if norm_first else None
        self.grid = (image_size[0] // patch[0], image_size[1] // patch[1])
        self._start()

    def positions_of(self, grid: tuple[int, int]) -> Float[Tensor, "n w"]:
        """The class token's position and those of a grid of patches: between the learnt ones where it is another."""
        if grid == self.grid:
            return self.positions
        places = self.positions[1:].T.reshape(1, -1, *self.grid)
        between = F.interpolate(places, grid, mode="bicubic", align_corners=False)
        return torch.cat([self.positions[:1], between.flatten(2)[0].T])

    def placed(self, x: Float[Tensor, "b c h v"], hidden: Tensor | None = None) -> Float[Tensor, "b n w"]:
        """What the first layer reads: the class token and the patches, with their positions, gated."""
        x = self.positioned(x)
        if hidden is not None:
            x = x * hidden
        return x if self.first is None else open_norm(self.first, x, hidden)

    def positioned(self, x: Float[Tensor, "b c h v"]) -> Float[Tensor, "b n w"]:
        """The class token and the patches, with their positions, before the first norm."""
        x = self.patches(x)
        positions = self.positions_of((x.shape[2], x.shape[3]))
        x = x.flatten(2).transpose(1, 2)
        return torch.cat([self.class_token.expand(x.shape[0], 1, -1), x], dim=1) + positions

    def forward(self, x: Float[Tensor, "b c h v"], gates: Gates | None = None) -> Float[Tensor, "b d"]:
        """Vectors of pictures, of any length; they may be of another size than those that it was made for."""
        hidden = None if gates is None else gates.hidden
        x = self.placed(x, hidden)
        return self._projected(self.pooled(self._transformed(x, False, gates), hidden), gates)

    def pooled(self, x: Float[Tensor, "b n w"], hidden: Tensor | None = None) -> Float[Tensor, "b w"]:
        """What is projected, of the last layer's tokens, normed."""
        if self.pool == "mean":
            return open_norm(self.last, x[:, 1:], hidden).mean(dim=1)
        return open_norm(self.last, x[:, 0] if self.pool == "token" else x[:, 1:].mean(dim=1), hidden)


class TextTower(PrunableTower):
    """CLIP's text transformer: numbers of tokens, positions, causal layers, a projection of where the text ends.

    Parameters
    ----------
    vocabulary, context : int
        Tokens that there are, and that a text may have.
    shape : Shape
    dim : int
    activation : {"gelu", "quick-gelu"}
    end : {"last", "largest"} or int
        Where it is read: at the last token that is there (none is negative), at the largest, as CLIP's byte pairs end,
        or at a token of this number.
    bias : bool
        Whether the projection has one.
    eps : float
        Added to the variance in every norm.
    """

    def __init__(
        self,
        vocabulary: int,
        context: int,
        shape: Shape,
        dim: int,
        activation: Activation = "gelu",
        end: str | int = "last",
        bias: bool = False,
        eps: float = EPS,
    ) -> None:
        super().__init__(shape, dim, activation, bias, eps)
        self.end = end
        self.tokens = nn.Embedding(vocabulary, shape.width)
        self.positions = nn.Parameter(0.01 * torch.randn(context, shape.width))
        nn.init.normal_(self.tokens.weight, std=0.02)
        self._start()

    def forward(self, tokens: Int[Tensor, "b t"], gates: Gates | None = None) -> Float[Tensor, "b d"]:
        """Vectors of texts, of any length; what stands behind the end is not read."""
        x = self._hidden_states(tokens, gates)
        at = self.ends_at(tokens).clamp(min=0)
        x = x.gather(1, at[:, None, None].expand(-1, 1, x.shape[2]))[:, 0]
        return self._projected(open_norm(self.last, x, None if gates is None else gates.hidden), gates)

    def states(self, tokens: Int[Tensor, "b t"], gates: Gates | None = None) -> Float[Tensor, "b t d"]:
        """Vectors of all tokens in the shared space, of any length; that of the last is the text's."""
        x = self._hidden_states(tokens, gates)
        return self._projected(open_norm(self.last, x, None if gates is None else gates.hidden), gates)

    def states_of(self, vectors: Float[Tensor, "b t w"]) -> Float[Tensor, "b t d"]:
        """`states` of vectors that stand for tokens, such as those of a prompt; positions are added here."""
        x = self._transformed(vectors + self.positions[: vectors.shape[1]], True, None)
        return self._projected(self.last(x), None)

    def ends_at(self, tokens: Int[Tensor, "b t"]) -> Int[Tensor, " b"]:
        """The place of the token at which each text is read; -1 where there is none."""
        if self.end == "last":
            return (tokens >= 0).sum(dim=1) - 1
        return (tokens if self.end == "largest" else torch.eq(tokens, int(self.end)).int()).argmax(dim=1)

    def _hidden_states(self, tokens: Tensor, gates: Gates | None) -> Tensor:
        """What the layers make of tokens."""
        hidden = None if gates is None else gates.hidden
        x = self.tokens(tokens.clamp(min=0)) + self.positions[: tokens.shape[1]]
        return self._transformed(x if hidden is None else x * hidden, True, gates)


def _shape(width: int, head: int, heads: Sequence[int], mlp: Sequence[int]) -> Shape:
    return Shape(width, head, tuple(heads), tuple(mlp))


@builder("vision-tower")
def vision_tower(
    image_size: Sequence[int],
    patch: Sequence[int],
    width: int,
    head: int,
    heads: Sequence[int],
    mlp: Sequence[int],
    dim: int,
    activation: Activation = "gelu",
    pool: Literal["token", "mean", "mean-first"] = "token",
    norm_first: bool = True,
    eps: float = EPS,
) -> VisionTower:
    """A `VisionTower` with fresh weights; `heads` and `mlp` have an entry for each layer."""
    (h, w), (p, q) = image_size, patch
    return VisionTower((h, w), (p, q), _shape(width, head, heads, mlp), dim, activation, pool, norm_first, eps)


@builder("text-tower")
def text_tower(
    vocabulary: int,
    context: int,
    width: int,
    head: int,
    heads: Sequence[int],
    mlp: Sequence[int],
    dim: int,
    activation: Activation = "gelu",
    end: str | int = "last",
    bias: bool = False,
    eps: float = EPS,
) -> TextTower:
    """A `TextTower` with fresh weights."""
    return TextTower(vocabulary, context, _shape(width, head, heads, mlp), dim, activation, end, bias, eps)


def reshaped(tower: PrunableTower, shape: Shape) -> Any:
    """A tower of the same kind in another shape, with fresh weights."""
    from unseen.nn.build import Recipe, rebuild, recipe_of

    recipe = recipe_of(tower)
    args = {**recipe.args, "width": shape.width, "head": shape.head, "heads": shape.heads, "mlp": shape.mlp}
    return rebuild(Recipe(recipe.builder, args))


def size_in(tower: PrunableTower, shape: Shape) -> int:
    """Parameters that a tower would have in another shape."""
    w = shape.width
    blocks = sum(p.numel() for p in tower.blocks.parameters())
    fixed = 0 if tower.projection_bias is None else tower.dim
    channels = (sum(p.numel() for p in tower.parameters()) - blocks - fixed) // tower.shape.width
    attention = sum(n * shape.head * (4 * w + 3) + 3 * w for n in shape.heads if n)
    return attention + sum(m * (2 * w + 1) + 3 * w for m in shape.mlp if m) + channels * w + fixed


def dropped(share: float) -> nn.Module:
    """Leave out a share of the samples' ways around a layer while it trains (stochastic depth), as timm does it."""
    from timm.layers import DropPath  # timm takes a second to import, and its classes are rarely asked for

    return DropPath(share)
