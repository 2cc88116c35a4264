"""The network of ZeroI2V: heads that look along time, linear adapters, and their merging into the image transformer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.dropout import Dropout
from unseen.nn.operations import frame_operations
from unseen.nn.towers import Block, VisionTower

Shifted = Literal["kv", "k", "v", "input"]
Adapted = Literal["all", "attn-in", "attn-out", "mlp", "none"]
Pooling = Literal["mean", "attention"]


# -- spatial-temporal dual-headed attention -----------------------------------------------------------------


def shift_index(frames: int, heads: int, offsets: Sequence[int]) -> Int[Tensor, "t m"]:
    """The frame whose keys and values frame t meets in each head: t + offset, or t itself where there is none [1].

    Parameters
    ----------
    frames, heads : int
    offsets : sequence of int
        Of the first heads, one each; those of the others are 0. -1 looks at the frame before.
    """
    if len(offsets) > heads:
        raise ValueError(f"offsets must be at most one for each head; a layer has {heads}, got {len(offsets)}")
    offset = torch.zeros(heads, dtype=torch.long)
    offset[: len(offsets)] = torch.tensor(tuple(offsets), dtype=torch.long)
    positions = torch.arange(frames)[:, None].expand(frames, heads)
    met = positions + offset
    return torch.where((met >= 0) & (met < frames), met, positions)


def shifted(x: Float[Tensor, "b t m n d"], index: Int[Tensor, "t m"]) -> Float[Tensor, "b t m n d"]:
    """What the heads m have of the frames at `index`: a copy, no parameter and no operation."""
    return x[:, index, torch.arange(x.shape[2], device=x.device)]


# -- linear adapters ----------------------------------------------------------------------------------------


class LinearAdapter(nn.Module):
    """A(x) = x + s (W2 dropout(W1 x + b1) + b2), the identity at first, since W2 and b2 are 0 [1].

    Parameters
    ----------
    width, hidden : int
    scale : float
        s, which is merged as it was trained.
    dropout : float
    linear : bool
        Else there is a GELU between the two, and nothing can be merged.
    """

    def __init__(self, width: int, hidden: int, scale: float, dropout: float, linear: bool) -> None:
        super().__init__()
        self.scale, self.linear = scale, linear
        self.down, self.dropout, self.up = nn.Linear(width, hidden), Dropout(dropout), nn.Linear(hidden, width)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Float[Tensor, "*b w"]) -> Float[Tensor, "*b w"]:
        """The same shape."""
        inner = self.down(x) if self.linear else F.gelu(self.down(x))
        return x + self.scale * self.up(self.dropout(inner))

    def merge_before(self, weight: Tensor, bias: Tensor) -> None:
        """W (A(x)) + b as one projection: W' = W M, b' = W m + b with M = I + s W2 W1 and m = s (W2 b1 + b2)."""
        w1, b1, w2, b2, w = (part.double() for part in (*self._parts(), weight))
        bias += (self.scale * (w @ (w2 @ b1 + b2))).to(bias)
        weight += (self.scale * (w @ w2) @ w1).to(weight)

    def merge_behind(self, weight: Tensor, bias: Tensor) -> None:
        """A(W x + b) as one projection: W' = M W, b' = M b + m."""
        w1, b1, w2, b2, w, b = (part.double() for part in (*self._parts(), weight, bias))
        bias += (self.scale * (w2 @ (w1 @ b + b1) + b2)).to(bias)
        weight += (self.scale * w2 @ (w1 @ w)).to(weight)

    def _parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if not self.linear:
            raise ValueError("an adapter with a GELU cannot be merged: adapters must be linear (linear=True)")
        return self.down.weight, self.down.bias, self.up.weight, self.up.bias


class LayerAdapters(nn.Module):
    """The adapters of a layer: before and behind its attention, before and behind its perceptron [1].

    Parameters
    ----------
    block : Block
    where : {"all", "attn-in", "attn-out", "mlp", "none"}
        Which of them there are; the others are the identity.
    shared : bool
        Whether queries, keys and values read through one adapter, else through one each.
    make : callable -> LinearAdapter
    """

    def __init__(self, block: Block, where: Adapted, shared: bool, make: Callable[[], LinearAdapter]) -> None:
        super().__init__()

        def one(*places: Adapted, there: int) -> nn.Module:
            return make() if there and where in ("all", *places) else nn.Identity()

        self.attn_in = nn.ModuleList(one("attn-in", there=block.heads) for _ in range(1 if shared else 3))
        self.attn_out = one("attn-out", there=block.heads)
        self.mlp_in, self.mlp_out = (one("mlp", there=block.mlp) for _ in range(2))

    @torch.no_grad()
    def merge(self, block: Block) -> None:
        """Write them into the projections of a layer: the norm before stays as it is."""
        if block.heads:
            weights, biases = (part.chunk(len(self.attn_in)) for part in (block.qkv.weight, block.qkv.bias))
            for adapter, weight, bias in zip(self.attn_in, weights, biases):
                if isinstance(adapter, LinearAdapter):
                    adapter.merge_before(weight, bias)
            if isinstance(self.attn_out, LinearAdapter):
                self.attn_out.merge_behind(block.out.weight, block.out.bias)
        if isinstance(self.mlp_in, LinearAdapter) and isinstance(self.mlp_out, LinearAdapter):
            self.mlp_in.merge_before(block.fc.weight, block.fc.bias)
            self.mlp_out.merge_behind(block.proj.weight, block.proj.bias)


# -- the network --------------------------------------------------------------------------------------------


class Cost(NamedTuple):
    """What a network has and computes; an operation is a multiplication or an addition.

    Attributes
    ----------
    image_parameters : int
        Of the image transformer.
    training_parameters, trained_parameters : int
        Of the network with its adapters, and those of them that learn.
    merged_parameters : int
        Without adapters: the image transformer, the temporal embedding and the head.
    image_operations : int
        Of the image transformer on all frames of a clip.
    training_operations, merged_operations : int
        Of a clip, with adapters and without.
    """

    image_parameters: int
    training_parameters: int
    trained_parameters: int
    merged_parameters: int
    image_operations: int
    training_operations: int
    merged_operations: int


class VideoTransformer(nn.Module):
    """An image transformer that reads clips: `tower` is a `VisionTower` still, and its state dict loads into one.

    Parameters
    ----------
    tower : VisionTower
        Its projection is not used.
    classes, frames : int
    offsets : sequence of int
        Of the first heads in every layer (`shift_index`).
    shift : {"kv", "k", "v", "input"}
        What is taken from other frames: keys and values, one of them, or what the adapter before all three reads.
    adapters : {"all", "attn-in", "attn-out", "mlp", "none"}
    temporal : bool
        Whether frames have an embedding of their place, 0 at first.
    pool : {"mean", "attention"}
        Frames are averaged, or weighted by the softmax of a learnt query.
    linear, shared, frozen : bool
        Adapters without GELU; one for queries, keys and values; whether the tower rests.
    reduction, scale, dropout, head_dropout : float
    """

    def __init__(
        self, tower: VisionTower, classes: int, frames: int, offsets: Sequence[int] = (-1, 1), shift: Shifted = "kv",
        adapters: Adapted = "all", temporal: bool = True, pool: Pooling = "mean", linear: bool = True,
        shared: bool = True, frozen: bool = True, reduction: int = 4, scale: float = 0.5, dropout: float = 0.1,
        head_dropout: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__()
        width = tower.shape.width
        self.tower, self.offsets, self.shift, self.linear = tower, tuple(offsets), shift, linear
        self.size = (tower.grid[0] * tower.patches.kernel_size[0], tower.grid[1] * tower.patches.kernel_size[1])

        def make() -> LinearAdapter:
            return LinearAdapter(width, max(1, width // reduction), scale, dropout, linear)

        for block in tower.layers:
            self._check(block, width)
        self.adapters = nn.ModuleList(LayerAdapters(block, adapters, shared, make) for block in tower.layers)
        self.temporal = nn.Parameter(torch.zeros(frames, width)) if temporal else None
        self.query = nn.Parameter(torch.zeros(width)) if pool == "attention" else None
        self.dropout, self.head = Dropout(head_dropout), nn.Linear(width, classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        tower.requires_grad_(not frozen)
        tower.last.requires_grad_(True)
        tower.projection.requires_grad_(False)

    def _check(self, block: Block, width: int) -> None:
        if not block.heads:
            return
        shift_index(1, block.heads, self.offsets)
        if self.shift == "input" and self.offsets and block.heads * block.head != width:
            raise ValueError(f"shift='input' needs heads as wide as {width} channels together; got {block.heads} heads")

    def times(self, frames: int) -> Float[Tensor, "t w"]:
        """The embedding of places in a clip of so many frames: between the learnt ones where it is another number."""
        assert self.temporal is not None
        if frames == len(self.temporal):
            return self.temporal
        return F.interpolate(self.temporal.T[None], frames, mode="linear", align_corners=False)[0].T

    def attended(self, x: Float[Tensor, "b t n w"], block: Block, adapters: LayerAdapters) -> Float[Tensor, "b t n w"]:
        """A_out(attention(A_in(norm(x)))), some of whose heads look at the frames beside [1]; no query moves."""
        b, t, n, _ = x.shape
        heads = (block.heads, block.head)
        index = shift_index(t, block.heads, self.offsets).to(x.device)
        y = block.ln_1(x)
        if self.shift == "input" and self.offsets:  # before the adapters, which can then be merged still
            y = shifted(y.unflatten(3, heads).transpose(2, 3), index).transpose(2, 3).flatten(3)
        read = [adapter(y) for adapter in adapters.attn_in]
        weights, biases = (part.chunk(len(read)) for part in (block.qkv.weight, block.qkv.bias))
        qkv = torch.cat([F.linear(*parts) for parts in zip(read, weights, biases)], dim=3)
        q, k, v = qkv.view(b, t, n, 3, *heads).permute(3, 0, 1, 4, 2, 5)
        k = shifted(k, index) if self.shift in ("kv", "k") else k
        v = shifted(v, index) if self.shift in ("kv", "v") else v
        met = block.attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1))
        return adapters.attn_out(block.out(met.view(b, t, n, -1)))

    def embed(self, clips: Float[Tensor, "b t c h v"]) -> Float[Tensor, "b t w"]:
        """Vectors of the frames: the class token of each, normed."""
        b, t = clips.shape[:2]
        x = self.tower.positioned(clips.flatten(0, 1))
        x = x.view(b, t, *x.shape[1:])
        if self.temporal is not None:
            x = x + self.times(t)[:, None]
        x = x if self.tower.first is None else self.tower.first(x)
        for block, adapters in zip(self.tower.layers, self.adapters):
            assert isinstance(adapters, LayerAdapters)
            if block.heads:
                x = x + self.attended(x, block, adapters)
            if block.mlp:
                x = x + adapters.mlp_out(block.proj(block.active(adapters.mlp_in(block.ln_2(x)))))
        return self.tower.pooled(x.flatten(0, 1)).view(b, t, -1)

    def forward(self, clips: Float[Tensor, "b t c h v"]) -> Float[Tensor, "b k"]:
        """Logits of clips, whose frames may be of another number than in training."""
        c = self.embed(clips)
        return self.head(self.dropout((self.weights(c)[..., None] * c).sum(dim=1)))

    def weights(self, c: Float[Tensor, "b t w"]) -> Float[Tensor, "b t"]:
        """Shares of the frames: all alike, or softmax(<c, query> / w^.5)."""
        scores = torch.zeros_like(c[..., 0]) if self.query is None else c @ self.query / c.shape[2] ** 0.5
        return scores.softmax(dim=1)

    # -- what it costs, and how it is merged ----------------------------------------------------------------

    @property
    def adapted(self) -> bool:
        """Whether there are adapters that are not merged."""
        return any(isinstance(module, LinearAdapter) for module in self.adapters.modules())

    def merged(self) -> VideoTransformer:
        """A copy in eval mode whose adapters are in the projections of its tower; one without adapters stays.

        Raises
        ------
        ValueError
            If adapters are not linear.
        """
        tower = copy.deepcopy(self.tower)
        for block, adapters in zip(tower.layers, self.adapters):
            assert isinstance(adapters, LayerAdapters)
            adapters.merge(block)
        frames = 1 if self.temporal is None else len(self.temporal)
        pool: Pooling = "mean" if self.query is None else "attention"
        network: VideoTransformer = video_transformer(
            tower, self.head.out_features, frames, self.offsets, self.shift, "none", self.temporal is not None, pool,
            head_dropout=self.dropout.p,
        )  # fmt: skip
        network.to(self.head.weight.dtype).load_state_dict(
            {key: value for key, value in self.state_dict().items() if not key.startswith(("tower.", "adapters."))}
            | {f"tower.{key}": value for key, value in tower.state_dict().items()}
        )
        return network.eval()

    def cost(self, frames: int) -> Cost:
        """What it has, and what a clip of so many frames costs, with and without adapters."""
        tower, sizes = self.tower, [parameter.numel() for parameter in self.parameters()]
        added = sum(p.numel() for p in self.adapters.parameters())
        n, image = tower.grid[0] * tower.grid[1] + 1, int(frame_operations(tower))
        head = 2 * self.head.weight.numel()
        lines = sum(line.weight.numel() for line in self.adapters.modules() if isinstance(line, nn.Linear))
        return Cost(
            image_parameters=sum(p.numel() for p in tower.parameters()),
            training_parameters=sum(sizes),
            trained_parameters=sum(p.numel() for p in self.parameters() if p.requires_grad),
            merged_parameters=sum(sizes) - added,
            image_operations=frames * image,
            training_operations=frames * (image + 2 * n * lines) + head,
            merged_operations=frames * image + head,
        )


@builder("zeroi2v")
def video_transformer(
    tower: nn.Module, classes: int, frames: int, offsets: Sequence[int] = (-1, 1), shift: Shifted = "kv",
    adapters: Adapted = "all", temporal: bool = True, pool: Pooling = "mean", linear: bool = True, shared: bool = True,
    frozen: bool = True, reduction: int = 4, scale: float = 0.5, dropout: float = 0.1, head_dropout: float = 0.5,
) -> VideoTransformer:  # fmt: skip
    """A `VideoTransformer` on a copy of an image transformer."""
    image: Any = copy.deepcopy(tower)
    return VideoTransformer(
        image, classes, frames, offsets, shift, adapters, temporal, pool, linear, shared, frozen, reduction, scale,
        dropout, head_dropout,
    )  # fmt: skip
