"""The network of X-CLIP: frames that exchange messages, their integration, prompts that see the video."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.towers import Block, VisionTower, dropped, heads_of

NEW = ("message_", "mit", "prompts")
"""Parts of the names of what CLIP does not have, whose rate is larger."""
HEAD = 64
"""Width of a head of what is new on top of the towers."""


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x * torch.sigmoid(1.702 * x)


def perceptron(width: int) -> nn.Sequential:
    """width -> 4 width -> width."""
    return nn.Sequential(nn.Linear(width, 4 * width), QuickGELU(), nn.Linear(4 * width, width))


class CrossFrameBlock(nn.Module):
    """A layer of the image tower whose frames exchange messages first [1, eq. 4-7].

    Parameters
    ----------
    block : Block
        CLIP's layer, with its weights.
    width : int
    drop_path : float
    """

    def __init__(self, block: Block, width: int, drop_path: float) -> None:
        super().__init__()
        self.block = block
        self.message_fc = nn.Linear(width, width)
        self.message_ln = nn.LayerNorm(width)
        heads = width // block.head if width % block.head == 0 else 1  # a layer that was pruned may have fewer
        self.message_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.drop_path = dropped(drop_path)
        nn.init.trunc_normal_(self.message_fc.weight, std=0.02)
        nn.init.zeros_(self.message_fc.bias)

    def messages(self, x: Float[Tensor, "b t n w"]) -> Float[Tensor, "b t w"]:
        """One of each frame, made of its class token, after all frames of the video have met."""
        m = self.message_fc(x[:, :, 0])
        y = self.message_ln(m)
        return m + self.drop_path(self.message_attn(y, y, y, need_weights=False)[0])

    def forward(self, x: Float[Tensor, "b t n w"]) -> Float[Tensor, "b t n w"]:
        """Tokens of frames, each of which reads its own message and then forgets it."""
        b, t, n, w = x.shape
        z = torch.cat([x, self.messages(x)[:, :, None]], dim=2).view(b * t, n + 1, w)
        if self.block.heads:
            z = z + self.drop_path(self.block.attended(z))
        z = z[:, :n]
        if self.block.mlp:
            z = z + self.drop_path(self.block.fed(z))
        return z.reshape(b, t, n, w)


class PlainBlock(nn.Module):
    """The same layer without messages: each frame by itself."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Float[Tensor, "b t n w"]) -> Float[Tensor, "b t n w"]:
        """Tokens of frames."""
        return self.block(x.flatten(0, 1), False).view(x.shape)


class CrossFrameViT(nn.Module):
    """CLIP's image tower over the frames of a video: their vectors, and those of their patches."""

    def __init__(self, tower: VisionTower, cross_frame: bool, drop_path: float) -> None:
        super().__init__()
        width = tower.shape.width
        self.tower = tower
        layers = list(tower.layers)
        tower.blocks = nn.ModuleList()
        self.layers = nn.ModuleList(
            CrossFrameBlock(layer, width, drop_path) if cross_frame else PlainBlock(layer) for layer in layers
        )
        self.prompts_visual_ln = nn.LayerNorm(width)
        self.prompts_visual_proj = nn.Parameter(torch.randn(width, tower.dim))

    def forward(self, clips: Float[Tensor, "b t c h v"]) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b t p d"]]:
        """Vectors of frames, and of their patches."""
        b, t = clips.shape[:2]
        x = self.tower.placed(clips.flatten(0, 1))
        x = x.view(b, t, *x.shape[1:])
        for layer in self.layers:
            x = layer(x)
        frames = self.tower.last(x[:, :, 0]) @ self.tower.projection
        return frames, self.prompts_visual_ln(x[:, :, 1:]) @ self.prompts_visual_proj


class MultiFrameIntegration(nn.Module):
    """Vectors of frames as one of their video: positions, a layer, an outer residual, the mean [1, eq. 8]."""

    def __init__(self, dim: int, frames: int, layers: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.empty(frames, dim))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.blocks = nn.ModuleList(IntegrationBlock(dim) for _ in range(layers))

    def forward(self, c: Float[Tensor, "b t d"]) -> Float[Tensor, "b d"]:
        """Of any length."""
        y = c + self.positions
        for block in self.blocks:
            y = block(y)
        return (y + c).mean(dim=1)


class IntegrationBlock(nn.Module):
    """A layer of a transformer, with its norms first."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = nn.MultiheadAttention(dim, heads_of(dim, HEAD), batch_first=True)
        self.mlp = perceptron(dim)
        _start(self)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """All frames read all frames."""
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class CrossAttention(nn.Module):
    """Class texts read a video; classes do not read each other."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.heads = heads_of(dim, HEAD)
        self.q, self.k, self.v = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "b k d"], context: Float[Tensor, "b p d"]) -> Float[Tensor, "b k d"]:
        """Scale head_dim^-.5."""
        read = ((self.q, x), (self.k, context), (self.v, context))
        q, k, v = (line(z).unflatten(2, (self.heads, -1)).transpose(1, 2) for line, z in read)
        attended = F.scaled_dot_product_attention(q, k, v)
        return self.proj(attended.transpose(1, 2).flatten(2))


class PromptLayer(nn.Module):
    """t + attention(norm(t), video), then t + mlp(norm(t))."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.cross, self.mlp = CrossAttention(dim), perceptron(dim)

    def forward(self, t: Float[Tensor, "b k d"], context: Float[Tensor, "b p d"]) -> Float[Tensor, "b k d"]:
        """Texts that have seen the video; the context has no norm of its own in a layer."""
        t = t + self.cross(self.ln_1(t), context)
        return t + self.mlp(self.ln_2(t))


class VideoSpecificPrompt(nn.Module):
    """alpha times what class texts become that look at a video [1, eq. 9-11]."""

    def __init__(self, dim: int, layers: int, alpha: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.decoder = nn.ModuleList(PromptLayer(dim) for _ in range(layers))
        self.alpha = nn.Parameter(torch.full((dim,), alpha))
        _start(self.decoder)

    def forward(self, t: Float[Tensor, "b k d"], context: Float[Tensor, "b p d"]) -> Float[Tensor, "b k d"]:
        """What is added to the texts; it holds alpha t itself, as the residual carries it."""
        context = self.norm(context)
        for layer in self.decoder:
            t = layer(t, context)
        return self.alpha * t


class XCLIPNetwork(nn.Module):
    """Two towers that read videos and the names of classes.

    Parameters
    ----------
    towers : DualEncoder
        Its image tower is a `VisionTower` that reads its class token.
    frames : int
        T, which the positions of the integration are made for.
    cross_frame, mit, video_prompt : bool
        The three parts.
    classes : int
        With 0 classes are texts; else they are so many vectors that are learnt in their place.
    """

    def __init__(
        self, towers: Any, frames: int, cross_frame: bool = True, mit: bool = True, video_prompt: bool = True,
        mit_layers: int = 1, prompt_layers: int = 2, alpha: float = 0.1, drop_path: float = 0.0, classes: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        tower: VisionTower = towers.image.requires_grad_(True)
        self.frames, dim = frames, tower.dim
        self.size = (tower.grid[0] * tower.patches.kernel_size[0], tower.grid[1] * tower.patches.kernel_size[1])
        self.text, self.reader = towers.text, towers.reader
        self.logit_scale = nn.Parameter(towers.logit_scale.detach().clone(), requires_grad=False)
        self.text.requires_grad_(False)
        self.visual = CrossFrameViT(tower, cross_frame, drop_path)
        self.mit = MultiFrameIntegration(dim, frames, mit_layers) if mit else None
        self.prompts_generator = VideoSpecificPrompt(dim, prompt_layers, alpha) if video_prompt else None
        self.prompts_classes = nn.Parameter(dim**-0.5 * torch.randn(classes, dim)) if classes else None

    def parts(self) -> dict[str, bool]:
        """Which parts it has, by the names of the arguments that ask for them."""
        return {
            "cross_frame": any(isinstance(layer, CrossFrameBlock) for layer in self.visual.layers),
            "mit": self.mit is not None,
            "text_head": self.prompts_classes is None,
            "video_prompt": self.prompts_generator is not None,
        }

    @property
    def classes(self) -> int:
        """How many vectors are learnt in the place of names."""
        return 0 if self.prompts_classes is None else len(self.prompts_classes)

    def encode_video(self, clips: Float[Tensor, "b t c h v"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b t p d"]]:
        """Vectors of videos, of any length, and those of their patches.

        Raises
        ------
        ValueError
            If clips have another number of frames than the network was made for.
        """
        if clips.shape[1] != self.frames:
            raise ValueError(f"clips must have {self.frames} frames, as the network was made; got {clips.shape[1]}")
        c, patches = self.visual(clips)
        return (c.mean(dim=1) if self.mit is None else self.mit(c)), patches

    def seen_by(self, text: Float[Tensor, "k d"], patches: Float[Tensor, "b t p d"]) -> Float[Tensor, "b k d"]:
        """Vectors of the classes, of `text` or those that are learnt, as each video prompts them."""
        text = text if self.prompts_classes is None else self.prompts_classes
        t = text.expand(len(patches), *text.shape)
        if self.prompts_generator is None:
            return t
        return t + self.prompts_generator(t, patches.mean(dim=1))

    def forward(self, clips: Float[Tensor, "b t c h v"], text: Float[Tensor, "k d"]) -> Float[Tensor, "b k"]:
        """exp(s) <v, t> of unit vectors; `text` are the vectors of the classes' names."""
        v, patches = self.encode_video(clips)
        t = self.seen_by(text, patches)
        scale = self.logit_scale.exp()
        return scale * torch.einsum("bd,bkd->bk", F.normalize(v, dim=-1), F.normalize(t, dim=-1))

    @torch.no_grad()
    def encode_names(self, names: list[str]) -> Float[Tensor, "k d"]:
        """Vectors of texts by the text tower, which learns nothing."""
        device = self.logit_scale.device
        was, _ = self.text.training, self.text.eval()
        vectors = self.text(self.reader(names).to(device))
        self.text.train(was)
        return vectors


@builder("x-clip")
def x_clip_network(
    towers: nn.Module, frames: int, cross_frame: bool = True, mit: bool = True, video_prompt: bool = True,
    mit_layers: int = 1, prompt_layers: int = 2, alpha: float = 0.1, drop_path: float = 0.0, classes: int = 0,
) -> XCLIPNetwork:  # fmt: skip
    """An `XCLIPNetwork` on a copy of two towers."""
    towers = copy.deepcopy(towers)
    return XCLIPNetwork(
        towers, frames, cross_frame, mit, video_prompt, mit_layers, prompt_layers, alpha, drop_path, classes
    )


def _start(part: nn.Module) -> None:
    """Truncated normal weights of .02, no biases, norms of 1 and 0."""
    for module in part.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
