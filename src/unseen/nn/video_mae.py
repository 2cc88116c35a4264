"""VideoMAE: a vision transformer over tubes of a clip, pre-trained by what is hidden from it.

    L = mean over hidden tubes j of (x_j - D(E(x_visible))_j)^2,
    x_j = (pixels of tube j - their mean) / their deviation

One spatial mask is drawn for a clip and hides the same places at all times, so that no tube can be read off the frame
before. The encoder E sees what is visible alone; the light decoder D is dropped after pre-training [1].

References
----------
[1] Tong, Song, Wang, Wang, "VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video
    Pre-Training", NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.towers import EPS, Block

TINY = 1e-6
"""Added to the deviation of a tube's pixels, which may all be equal."""


class VideoEncoder(nn.Module):
    """A vision transformer whose tokens are tubes: `tubelet` frames x `patch` x `patch` pixels.

    Parameters
    ----------
    frames : int
        T, a multiple of `tubelet`.
    size : (int, int)
        Height and width of frames, multiples of `patch`.
    tubelet, patch : int
    width, layers, heads, mlp : int
        Of the transformer; `width` is a multiple of `heads`.
    eps : float
        Added to the variance in the norms of layers.
    """

    positions: Tensor

    def __init__(
        self,
        frames: int,
        size: tuple[int, int],
        tubelet: int,
        patch: int,
        width: int,
        layers: int,
        heads: int,
        mlp: int,
        eps: float = EPS,
    ) -> None:
        super().__init__()
        _check_sizes(frames, size, tubelet, patch)
        if width % heads:
            raise ValueError(f"width must be a multiple of heads ({heads}); got {width}")
        self.frames, self.size, self.tubelet, self.patch, self.width = frames, size, tubelet, patch, width
        self.grid = (frames // tubelet, size[0] // patch, size[1] // patch)
        self.patches = nn.Conv3d(3, width, (tubelet, patch, patch), stride=(tubelet, patch, patch))
        self.blocks = nn.ModuleList(Block(width, width // heads, heads, mlp, "gelu", eps) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.register_buffer("positions", sine_positions(self.tokens_of_a_clip, width))
        _start(self)

    @property
    def tokens_of_a_clip(self) -> int:
        """N: slots in time x places."""
        slots, tall, wide = self.grid
        return slots * tall * wide

    def check(self, clips: Tensor) -> None:
        """Raise `ValueError` if clips are of another length or size than positions were made for."""
        if tuple(clips.shape[1:]) != (self.frames, 3, *self.size):
            shape = f"({self.frames}, 3, {self.size[0]}, {self.size[1]}), as the network was made"
            raise ValueError(f"clips must be of shape {shape}: its positions are fixed; got {tuple(clips.shape[1:])}")

    def placed(self, clips: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b n d"]:
        """Tubes as tokens, first in time, then row by row, with their positions."""
        self.check(clips)
        return self.patches(clips.transpose(1, 2)).flatten(2).transpose(1, 2) + self.positions

    def tokens(
        self, clips: Float[Tensor, "b t c h w"], hidden: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b v d"]:
        """What the transformer makes of the tubes that are not hidden; the same number is hidden in each clip."""
        x = self.placed(clips)
        if hidden is not None:
            x = x[~hidden].view(len(x), -1, self.width)
        for block in self.blocks:
            x = block(x, False)
        return x

    def forward(self, clips: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b d"]:
        """The mean of all tokens, normed: the features of clips."""
        return self.norm(self.tokens(clips).mean(dim=1))


class VideoMAE(nn.Module):
    """An encoder with what pre-trains it: a norm, a line, a mask token, a light decoder and a head to pixels.

    Parameters
    ----------
    encoder : VideoEncoder
        It is trained in place.
    width, layers, heads : int
        Of the decoder.
    """

    positions: Tensor

    def __init__(self, encoder: VideoEncoder, width: int, layers: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"the decoder's width must be a multiple of its heads ({heads}); got {width}")
        self.encoder = encoder
        self.last = nn.LayerNorm(encoder.width)
        self.narrow = nn.Linear(encoder.width, width, bias=False)
        self.mask_token = nn.Parameter(torch.empty(width))
        self.blocks = nn.ModuleList(Block(width, width // heads, heads, 4 * width, "gelu") for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, encoder.tubelet * encoder.patch**2 * 3)
        self.register_buffer("positions", sine_positions(encoder.tokens_of_a_clip, width))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        for part in (self.narrow, self.blocks, self.head):
            _start(part)

    def decoded(self, clips: Float[Tensor, "b t c h w"], hidden: Bool[Tensor, "b n"]) -> Float[Tensor, "b m p"]:
        """What the hidden tubes are taken to be, in their order."""
        seen = self.narrow(self.last(self.encoder.tokens(clips, hidden)))
        b, d = len(seen), seen.shape[2]
        places = self.positions.expand(b, -1, -1)
        shown = seen + places[~hidden].view(b, -1, d)
        masked = self.mask_token + places[hidden].view(b, -1, d)
        x = torch.cat([shown, masked], dim=1)
        for block in self.blocks:
            x = block(x, False)
        return self.head(self.norm(x[:, shown.shape[1] :]))

    def forward(self, clips: Float[Tensor, "b t c h w"], hidden: Bool[Tensor, "b n"]) -> Float[Tensor, ""]:
        """The mean squared error on the hidden tubes alone, of their normalized pixels."""
        target = normalized_tubes(tubes(clips, self.encoder.tubelet, self.encoder.patch))[hidden]
        return (self.decoded(clips, hidden).flatten(0, 1) - target).square().mean()


def tube_mask(n: int, grid: tuple[int, int, int], ratio: float, generator: torch.Generator) -> Bool[Tensor, "n tokens"]:
    """Which tokens of `n` clips are hidden: for each clip the same places at all times.

    Of the places round((1 - ratio) h w) stay visible, at least one, and at least one is hidden.
    """
    slots, tall, wide = grid
    places = tall * wide
    if places < 2:
        raise ValueError(f"frames must have two patches at least, one to see and one to hide; got {places}")
    visible = min(max(round((1 - ratio) * places), 1), places - 1)
    rank = torch.rand(n, places, generator=generator).argsort(dim=1).argsort(dim=1)
    return (rank >= visible)[:, None].expand(n, slots, places).reshape(n, slots * places)


def tubes(clips: Float[Tensor, "b t c h w"], tubelet: int, patch: int) -> Float[Tensor, "b n q c"]:
    """The pixels of each tube, colours last; tubes stand first in time, then row by row."""
    b, t, c, h, w = clips.shape
    cut = clips.view(b, t // tubelet, tubelet, c, h // patch, patch, w // patch, patch)
    return cut.permute(0, 1, 4, 6, 2, 5, 7, 3).reshape(b, -1, tubelet * patch**2, c)


def normalized_tubes(x: Float[Tensor, "b n q c"]) -> Float[Tensor, "b n p"]:
    """Pixels of each tube less their mean, over their deviation, each colour by itself; one row a tube."""
    mean, deviation = x.mean(dim=2, keepdim=True), x.var(dim=2, keepdim=True).sqrt()
    return ((x - mean) / (deviation + TINY)).flatten(2)


def sine_positions(n: int, width: int) -> Float[Tensor, "n width"]:
    """sin and cos of position / 10000^(2 floor(j / 2) / width) in even and odd columns j: fixed, not learnt."""
    columns = torch.arange(width, dtype=torch.float64)
    angles = torch.arange(n, dtype=torch.float64)[:, None] / 10000 ** (2 * (columns // 2) / width)
    return torch.where(columns.long() % 2 == 0, angles.sin(), angles.cos()).float()


@builder("video-encoder")
def video_encoder(
    frames: int, size: Sequence[int], tubelet: int, patch: int, width: int, layers: int, heads: int, mlp: int,
    eps: float = EPS,
) -> VideoEncoder:  # fmt: skip
    """A `VideoEncoder` with fresh weights."""
    height, wide = size
    return VideoEncoder(frames, (height, wide), tubelet, patch, width, layers, heads, mlp, eps)


def _check_sizes(frames: int, size: tuple[int, int], tubelet: int, patch: int) -> None:
    if frames % tubelet:
        raise ValueError(f"frames must be a multiple of tubelet ({tubelet}); got {frames}")
    if size[0] % patch or size[1] % patch:
        raise ValueError(f"height and width of clips must be multiples of patch ({patch}); got {size[0]} x {size[1]}")


def _start(part: nn.Module) -> None:
    """Xavier's uniform weights, no biases."""
    for module in part.modules():
        if isinstance(module, (nn.Linear, nn.Conv3d)):
            nn.init.xavier_uniform_(module.weight.data.view(len(module.weight), -1))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
