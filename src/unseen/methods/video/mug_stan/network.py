"""The network of Mug-STAN: two towers, of which that of pictures has a branch beside it that reads along time."""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.build import Recipe, builder, rebuild, recipe_of
from unseen.nn.dual_encoder import NOTHING
from unseen.nn.late_interaction import Mode, Words, in_parts, similarity
from unseen.nn.towers import Block, VisionTower, dropped, heads_of

Temporal = Literal["none", "posterior", "intermediate", "branch"]
TimeModule = Literal["selfattn", "conv"]
Alignment = Literal["simple", "full", "eos", "mean"]

LONGEST = 64
"""Frames of a clip that there are vectors of time for."""
HEAD = 64
"""Width of a head on top of the tower."""
NEW = ("stan_",)
"""Begins the name of what the image-text model does not have, whose rate is larger."""


class TemporalModule(nn.Module):
    """x + FC0(module(norm(x))) along time, each place by itself; FC0 begins at 0, so that x stays x.

    Parameters
    ----------
    width, head : int
        Of tokens, and of a head of the attention.
    kind : {"selfattn", "conv"}
        All frames read all frames, or each its neighbours by a convolution of 3.
    drop_path : float
        Chance to skip it, in training.
    """

    def __init__(self, width: int, head: int, kind: TimeModule, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        heads = heads_of(width, head)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True) if kind == "selfattn" else None
        self.conv = nn.Conv1d(width, width, 3, padding=1) if kind == "conv" else None
        self.drop_path = dropped(drop_path)
        self.fc = nn.Linear(width, width)
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(
        self, x: Float[Tensor, "b p t w"], times: Float[Tensor, "t w"] | None = None
    ) -> Float[Tensor, "b p t w"]:
        """Tokens of the same places at all times; `times` are added to what is read alone."""
        y = self.norm(x.flatten(0, 1))
        y = y if times is None else y + times
        if self.attn is not None:
            y = self.attn(y, y, y, need_weights=False)[0]
        else:
            assert self.conv is not None
            y = self.conv(y.transpose(1, 2)).transpose(1, 2)
        return x + self.fc(self.drop_path(y)).view(x.shape)


class SpatialModule(nn.Module):
    """A layer of the image tower, copied, whose one class token stands in every frame.

    It attends within each frame, and what it is told there is averaged over frames; then the perceptron.
    """

    def __init__(self, block: Block, drop_path: float) -> None:
        super().__init__()
        self.block = copy.deepcopy(block)
        self.drop_path = dropped(drop_path)

    def forward(
        self, cls: Float[Tensor, "b 1 w"], patches: Float[Tensor, "b p t w"]
    ) -> tuple[Float[Tensor, "b 1 w"], Float[Tensor, "b p t w"]]:
        """The class token of the video and its patches."""
        b, p, t, w = patches.shape
        if self.block.heads:
            each = torch.cat([cls[:, None].expand(b, t, 1, w), patches.transpose(1, 2)], dim=2)
            seen = self.drop_path(self.block.attended(each.flatten(0, 1))).view(b, t, 1 + p, w)
            cls, patches = cls + seen[:, :, 0].mean(dim=1, keepdim=True), patches + seen[:, :, 1:].transpose(1, 2)
        if self.block.mlp:
            x = torch.cat([cls, patches.flatten(1, 2)], dim=1)
            x = x + self.block.fed(x)
            cls, patches = x[:, :1], x[:, 1:].view(b, p, t, w)
        return cls, patches


class Branch(nn.Module):
    """STAN: levels beside the last layers of a tower, each a temporal and a spatial module.

    Parameters
    ----------
    tower : VisionTower
    depth : int
        Levels; each begins with the weights of the layer that it reads.
    kind : {"selfattn", "conv"}
    drop_path : float
        Of the last level; it grows from 0.
    """

    def __init__(self, tower: VisionTower, depth: int, kind: TimeModule, drop_path: float) -> None:
        super().__init__()
        width, head = tower.shape.width, tower.shape.head
        drops = torch.linspace(0, drop_path, depth).tolist()
        self.times = nn.Parameter(torch.randn(LONGEST, width))
        self.temporal = nn.ModuleList(TemporalModule(width, head, kind, drop) for drop in drops)
        self.spatial = nn.ModuleList(SpatialModule(b, drop) for b, drop in zip(tower.layers[-depth:], drops))

    def forward(
        self, layers: list[Tensor], class_token: Float[Tensor, " w"], positions: Float[Tensor, "n w"]
    ) -> Float[Tensor, "b 1 w"]:
        """The class token of each video, of what the last layers of the tower gave, (b, t, n, w) each."""
        cls, patches = self.begun(layers[0], class_token, positions)
        for i, (temporal, spatial) in enumerate(zip(self.temporal, self.spatial)):
            if i:
                mean, x = split(layers[i])
                cls, patches = cls + mean, patches + x
            cls, patches = spatial(cls, temporal(patches))
        return cls

    def begun(
        self, x: Float[Tensor, "b t n w"], class_token: Float[Tensor, " w"], positions: Float[Tensor, "n w"]
    ) -> tuple[Float[Tensor, "b 1 w"], Float[Tensor, "b p t w"]]:
        """What the first level reads: patches with their places once more and their times; the class token between
        the mean of the frames' and that of pictures."""
        cls, patches = split(x)
        return (cls + class_token + positions[0]) / 2, patches + positions[1:, None] + self.times[: x.shape[1]]


class Posterior(nn.Module):
    """The rival on top: layers of a transformer over vectors of frames; what it adds begins at 0."""

    def __init__(self, dim: int, head: int, depth: int) -> None:
        super().__init__()
        heads = heads_of(dim, head)
        self.norm = nn.LayerNorm(dim)
        self.times = nn.Parameter(torch.randn(LONGEST, dim))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(dim, heads, 4 * dim, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(depth)
        )
        self.fc = nn.Linear(dim, dim)
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, frames: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """All frames have read all frames."""
        y = self.norm(frames) + self.times[: frames.shape[1]]
        for layer in self.layers:
            y = layer(y)
        return frames + self.fc(y)


class Intermediate(nn.Module):
    """The rival within: a temporal module before each of the last layers of the tower."""

    def __init__(self, tower: VisionTower, depth: int, kind: TimeModule, drop_path: float) -> None:
        super().__init__()
        width, head = tower.shape.width, tower.shape.head
        self.times = nn.Parameter(torch.randn(LONGEST, width))
        self.temporal = nn.ModuleList(TemporalModule(width, head, kind, drop_path) for _ in range(depth))

    def forward(self, x: Float[Tensor, "b t n w"], level: int) -> Float[Tensor, "b t n w"]:
        """Tokens before a layer."""
        return self.temporal[level](x.transpose(1, 2), self.times[: x.shape[1]]).transpose(1, 2)


class MugSTANNetwork(nn.Module):
    """Two towers that read clips as vectors of frames and texts as vectors of tokens.

    Parameters
    ----------
    towers : DualEncoder
        Its image tower is a `VisionTower` that reads its class token; with `temporal` none or posterior it may be any.
    temporal : {"none", "posterior", "intermediate", "branch"}
        Where time is read.
    depth : int
        Levels of the branch, layers with time within, or layers on top.
    time_module : {"selfattn", "conv"}
    alignment : {"simple", "full", "eos", "mean"}
    tau : float
    drop_path : float
    """

    def __init__(
        self, towers: Any, temporal: Temporal, depth: int, time_module: TimeModule, alignment: Alignment, tau: float,
        drop_path: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.image, self.text, self.reader = towers.image, towers.text, towers.reader
        self.temporal: Temporal = temporal if depth else "none"
        self.depth, self.time_module, self.alignment, self.tau = depth, time_module, alignment, tau
        self.stan_branch = Branch(self.image, depth, time_module, drop_path) if self.temporal == "branch" else None
        self.stan_within = (
            Intermediate(self.image, depth, time_module, drop_path) if self.temporal == "intermediate" else None
        )
        self.stan_above = Posterior(_width(towers), HEAD, depth) if self.temporal == "posterior" else None

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the frames that the tower was made for, if it says so."""
        if not isinstance(self.image, VisionTower):
            return None
        (h, w), (p, q) = self.image.grid, self.image.patches.kernel_size
        return h * p, w * q

    def encode_frames(self, clips: Float[Tensor, "b t c h v"]) -> Float[Tensor, "b t d"]:
        """Vectors of frames, of any length, that know of each other.

        Raises
        ------
        ValueError
            If clips have more frames than there are vectors of time.
        """
        b, t = clips.shape[:2]
        if t > LONGEST and self.temporal != "none":
            raise ValueError(f"clips must have at most {LONGEST} frames where time is read; got {t}")
        if self.temporal in ("none", "posterior"):
            frames = self.image(clips.flatten(0, 1)).view(b, t, -1)
            return frames if self.stan_above is None else self.stan_above(frames)
        tower, layers = self.image, []
        x = tower.placed(clips.flatten(0, 1))
        x = x.view(b, t, *x.shape[1:])
        first = len(tower.layers) - self.depth
        for i, layer in enumerate(tower.layers):
            if self.stan_within is not None and i >= first:
                x = self.stan_within(x, i - first)
            x = layer(x.flatten(0, 1), False).view(x.shape)
            layers += [x] if i >= first else []
        cls = x[:, :, 0]
        if self.stan_branch is not None:
            (h, v), (p, q) = clips.shape[3:], tower.patches.kernel_size
            cls = cls + self.stan_branch(layers, tower.class_token, tower.positions_of((h // p, v // q)))
        y = tower.last(cls) @ tower.projection
        return y if tower.projection_bias is None else y + tower.projection_bias

    def encode_words(self, tokens: Tensor) -> Words:
        """Vectors of the tokens of texts; one of the whole text where that is compared, or the tower has no more."""
        states = getattr(self.text, "states", None)
        if states is None or self.alignment in ("eos", "mean"):
            whole = self.text(tokens)[:, None]
            return Words(whole, torch.ones(whole.shape[:2], dtype=torch.bool, device=whole.device))
        return Words(states(tokens), tokens != NOTHING)

    def read(self, texts: list[str]) -> Words:
        """The same of texts, by the text tower at rest."""
        tower, device = self.text, next(self.text.parameters()).device
        was, _ = tower.training, tower.eval()
        with torch.no_grad():
            words = self.encode_words(self.reader(texts).to(device))
        tower.train(was)
        return words

    def similarity(self, words: Words, frames: Float[Tensor, "b t d"]) -> Float[Tensor, "a b"]:
        """How well each text fits each clip, in the way that the network was made for."""
        return similarity(words, frames, self.tau, self._mode)

    def similarity_in_parts(self, words: Words, frames: Float[Tensor, "b t d"]) -> Float[Tensor, "a b"]:
        """The same of many."""
        return in_parts(words, frames, self.tau, self._mode)

    @property
    def _mode(self) -> Mode:
        modes: dict[Alignment, Mode] = {"simple": "simple", "full": "full", "eos": "simple", "mean": "mean"}
        return modes[self.alignment]


@builder("mug-stan")
def mug_stan_network(
    towers: nn.Module, temporal: Temporal = "branch", depth: int = 4, time_module: TimeModule = "selfattn",
    alignment: Alignment = "simple", tau: float = 100.0, drop_path: float = 0.1,
) -> MugSTANNetwork:  # fmt: skip
    """A `MugSTANNetwork` on a copy of two towers."""
    return MugSTANNetwork(copy.deepcopy(towers), temporal, depth, time_module, alignment, tau, drop_path)


def going_on(model: MugSTANNetwork, **changes: Any) -> MugSTANNetwork:
    """A copy of a network with its weights, of which what has none is another."""
    recipe = recipe_of(model)
    network = rebuild(Recipe(recipe.builder, {**recipe.args, **changes}))
    network.load_state_dict(model.state_dict())
    assert isinstance(network, MugSTANNetwork)
    return network


def split(x: Float[Tensor, "b t n w"]) -> tuple[Float[Tensor, "b 1 w"], Float[Tensor, "b p t w"]]:
    """The mean over frames of their class tokens, and patches by place, then time."""
    return x[:, :, 0].mean(dim=1, keepdim=True), x[:, :, 1:].transpose(1, 2)


def _width(towers: Any) -> int:
    """Of the space that both towers share."""
    with torch.no_grad():
        return int(towers.text(towers.reader(["a"])).shape[-1])
