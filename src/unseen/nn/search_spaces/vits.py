"""`Vits`: small vision transformers that differ in patches, width, depth, and heads and MLP ratio of each layer."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.search_spaces.base import SearchSpace, check_picture, digit, number

GRIDS = (2, 4)
"""Patches along each side of a picture."""
WIDTHS = (12, 24, 36)
HEADS = (1, 2, 4)
RATIOS = (1, 2, 4)
DEPTH = 4
LAYERS = tuple((heads, ratio) for heads in HEADS for ratio in RATIOS)
PARTS = ("qkv", "project", "up", "down")
"""The linear maps of a layer."""


@dataclasses.dataclass(frozen=True)
class Vit:
    """Patches along a side, width, and (heads, MLP ratio) of one to four layers; its text is ``g4/w24/h2r4/h1r2``."""

    grid: int
    width: int
    layers: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return "/".join((f"g{self.grid}", f"w{self.width}", *(f"h{h}r{r}" for h, r in self.layers)))


class Vits(SearchSpace[Vit]):
    """6 x (9 + 9^2 + 9^3 + 9^4) = 44,280 transformers, in the manner of AutoFormer's space."""

    name = "vits"

    def __init__(self) -> None:
        layers = [f"layer{i}.{part}" for i in range(DEPTH) for part in PARTS]
        self.slots = ("patches", *layers, "head")

    def __len__(self) -> int:
        return len(GRIDS) * len(WIDTHS) * sum(len(LAYERS) ** depth for depth in range(1, DEPTH + 1))

    def at(self, index: int) -> Vit:
        if not 0 <= index < len(self):
            raise ValueError(f"index must lie in [0, {len(self)}); got {index}")
        index, grid = digit(index, GRIDS)
        index, width = digit(index, WIDTHS)
        depth = 1
        while index >= len(LAYERS) ** depth:
            index -= len(LAYERS) ** depth
            depth += 1
        layers = []
        for _ in range(depth):
            index, layer = digit(index, LAYERS)
            layers.append(layer)
        return Vit(grid, width, tuple(layers))

    def sample(self, n: int, seed: int) -> list[Vit]:
        """`n` different architectures; of an eighth of the space at most, every depth is equally likely."""
        if not 1 <= n <= len(self):
            raise ValueError(f"n must lie in [1, {len(self)}], the size of the space {self.name}; got {n}")
        if n > len(self) // 8:
            return super().sample(n, seed)
        rng = torch.Generator().manual_seed(seed)
        drawn: dict[Vit, None] = {}
        while len(drawn) < n:
            depth, *picks = (int(torch.randint(k, (), generator=rng)) for k in (DEPTH, 2, 3, *(len(LAYERS),) * DEPTH))
            drawn[Vit(GRIDS[picks[0]], WIDTHS[picks[1]], tuple(LAYERS[p] for p in picks[2 : 3 + depth]))] = None
        return list(drawn)

    def parse(self, text: str) -> Vit:
        words = text.split("/")
        if not 3 <= len(words) <= 2 + DEPTH:
            raise ValueError(f"a ViT is gGRID, wWIDTH and one to {DEPTH} times hHEADSrRATIO; got {text!r}")
        layers = []
        for word in words[2:]:
            heads, sign, ratio = word.partition("r")
            layers.append((number(heads, "h", HEADS, text), number(sign + ratio, "r", RATIOS, text)))
        return Vit(number(words[0], "g", GRIDS, text), number(words[1], "w", WIDTHS, text), tuple(layers))

    def neighbours(self, architecture: Vit) -> list[Vit]:
        grid, width, layers = architecture.grid, architecture.width, architecture.layers
        near = [Vit(g, width, layers) for g in GRIDS if g != grid] + [
            Vit(grid, w, layers) for w in WIDTHS if w != width
        ]
        for i, (heads, ratio) in enumerate(layers):
            changed = [(h, ratio) for h in HEADS if h != heads] + [(heads, r) for r in RATIOS if r != ratio]
            near += [Vit(grid, width, (*layers[:i], layer, *layers[i + 1 :])) for layer in changed]
        if len(layers) > 1:
            near.append(Vit(grid, width, layers[:-1]))
        if len(layers) < DEPTH:
            near += [Vit(grid, width, (*layers, layer)) for layer in LAYERS]
        return near

    def build(self, architecture: Vit | str, *, n_classes: int, channels: int = 1, size: int = 8) -> nn.Module:
        return vit_network(str(architecture), n_classes, channels, size)


class _Layer(nn.Module):
    """x + attention(LN(x)), then x + MLP(LN(x))."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, ratio * width), nn.Linear(ratio * width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.mT / (d // self.heads) ** 0.5, dim=-1)
        x = x + self.project((weights @ v).transpose(1, 2).reshape(b, n, d))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class VitNetwork(nn.Module):
    """Patches, positions, layers, mean over places, head."""

    def __init__(self, vit: Vit, n_classes: int, channels: int, size: int) -> None:
        super().__init__()
        side = -(-size // vit.grid)
        self.pad = side * vit.grid - size
        self.patches = nn.Conv2d(channels, vit.width, side, side)
        self.positions = nn.Parameter(0.02 * torch.randn(1, vit.grid**2, vit.width))
        self.depth = len(vit.layers)
        for i, (heads, ratio) in enumerate(vit.layers):
            self.add_module(f"layer{i}", _Layer(vit.width, heads, ratio))
        self.norm = nn.LayerNorm(vit.width)
        self.head = nn.Linear(vit.width, n_classes)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits, (b, k)."""
        x = self.patches(F.pad(x, (0, self.pad, 0, self.pad))).flatten(2).mT + self.positions
        for i in range(self.depth):
            x = self.get_submodule(f"layer{i}")(x)
        return self.head(self.norm(x).mean(dim=1))


@builder("vit-network")
def vit_network(vit: str, n_classes: int, channels: int = 1, size: int = 8) -> VitNetwork:
    """The transformer of a text, for pictures of a side of at least 4; others are padded to whole patches."""
    check_picture(n_classes, channels, size, 4)
    return VitNetwork(Vits().parse(vit), n_classes, channels, size)
