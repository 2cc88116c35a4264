"""Random views of pictures, as tensors, from the random numbers of a training run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Augment = Callable[[Tensor, torch.Generator], Tensor]

RESIZE_TO_CROP = 256 / 224
"""The usual recipe resizes to 256 pixels and crops 224 at random."""


def random_crop(x: Float[Tensor, "b c h w"], generator: torch.Generator, scale: float = RESIZE_TO_CROP) -> Tensor:
    """Shift each picture by up to (scale - 1) / 2 of its side, with mirrored borders; the size stays.

    It gives the places, not the magnification, of "resize to `scale` times the size, then crop".
    """
    n, _, height, width = x.shape
    pads = [min(round(side * (scale - 1) / 2), side - 1) for side in (height, width)]
    padded = F.pad(x, (pads[1], pads[1], pads[0], pads[0]), mode="reflect")
    top, left = (torch.randint(2 * pad + 1, (n,), generator=generator).to(x.device) for pad in pads)
    rows = (top[:, None] + torch.arange(height, device=x.device))[:, :, None]
    columns = (left[:, None] + torch.arange(width, device=x.device))[:, None, :]
    samples = torch.arange(n, device=x.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[samples, rows, columns].permute(0, 3, 1, 2).contiguous()


def random_flip(x: Float[Tensor, "b c h w"], generator: torch.Generator, share: float = 0.5) -> Tensor:
    """Mirror each picture left to right with probability `share`."""
    flip = (torch.rand(len(x), generator=generator) < share).to(x.device)
    return torch.where(flip[:, None, None, None], x.flip(3), x)


def crop_and_flip(x: Float[Tensor, "b c h w"], generator: torch.Generator) -> Tensor:
    """`random_crop`, then `random_flip`."""
    return random_flip(random_crop(x, generator), generator)


def jitter(
    x: Float[Tensor, "b c h w"],
    generator: torch.Generator,
    strength: float = 0.3,
    grey: float = 0.1,
    share: float = 1.0,
) -> Tensor:
    """Change brightness, contrast and saturation of each picture by up to `strength`, and take some colours away.

    Changes are relative to the mean and the deviation of the picture, since tensors may be normalized; `grey` is the
    probability of losing all colour, `share` that of the other changes.
    """
    draw = (2 * torch.rand(len(x), 3, generator=generator) - 1) * strength
    if share < 1:
        draw = draw * (torch.rand(len(x), 1, generator=generator) < share)
    gone = torch.rand(len(x), generator=generator) < grey
    bright, contrast, colour = (part[:, None, None, None].to(x) for part in draw.T)
    mean, std = x.mean(dim=(1, 2, 3), keepdim=True), x.std(dim=(1, 2, 3), keepdim=True)
    x = mean + (x - mean) * (1 + contrast) + bright * std
    base = x.mean(dim=1, keepdim=True)
    keep = torch.where(gone[:, None, None, None].to(x.device), torch.zeros_like(colour), 1 + colour)
    return base + (x - base) * keep


def jittered_crop(x: Float[Tensor, "b c h w"], generator: torch.Generator) -> Tensor:
    """`random_resized_crop` to .7 of the area, `random_flip`, then `jitter`."""
    return jitter(random_flip(random_resized_crop(x, generator, scale=(0.7, 1.0)), generator), generator)


def random_resized_crop(
    x: Float[Tensor, "b c h w"],
    generator: torch.Generator,
    scale: tuple[float, float] = (0.8, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Enlarge a random box of each picture to its size, or bring it to another one.

    It has `scale` of the area, and a width over height in `ratio`, uniform in its logarithm. A box that would not fit
    is as wide or as tall as the picture.
    """
    n, _, height, width = x.shape
    u = torch.rand(4, n, generator=generator)
    area = scale[0] + u[0] * (scale[1] - scale[0])
    low, high = (math.log(r * height / width) for r in ratio)
    shape = torch.exp(low + u[1] * (high - low))
    wide, tall = (area * shape).sqrt().clamp(max=1), (area / shape).sqrt().clamp(max=1)
    return boxed(x, wide, tall, u[2], u[3], (height, width) if size is None else size)


def boxed(
    x: Float[Tensor, "b c h w"],
    wide: Float[Tensor, " b"],
    tall: Float[Tensor, " b"],
    across: Float[Tensor, " b"],
    down: Float[Tensor, " b"],
    size: tuple[int, int],
) -> Float[Tensor, "b c height width"]:
    """A box of each picture, brought to a size.

    `wide` and `tall` are its shares of the sides, `across` and `down` its place: 0 at the left and the top, 1 at the
    right and the bottom.
    """
    theta = torch.zeros(len(x), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = wide, tall
    theta[:, 0, 2], theta[:, 1, 2] = (1 - wide) * (2 * across - 1), (1 - tall) * (2 * down - 1)
    grid = F.affine_grid(theta.to(x), [*x.shape[:2], *size], align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def random_turn(x: Float[Tensor, "b c h w"], generator: torch.Generator) -> Tensor:
    """Turn each square picture by 0, 90, 180 or 270 degrees: pictures from straight above have no top."""
    turns = torch.randint(4, (len(x),), generator=generator)
    out = x.clone()
    for k in (1, 2, 3):
        mask = (turns == k).to(x.device)
        out[mask] = torch.rot90(x[mask], k, dims=(2, 3))
    return out


class Crops(NamedTuple):
    """Views of the pictures of a batch: large boxes and small ones, each a batch in the same order."""

    wide: tuple[Tensor, ...]
    local: tuple[Tensor, ...]


@dataclasses.dataclass(frozen=True)
class MultiCrop:
    """Boxes of each picture of two kinds: what a teacher sees, and what a student sees beside it [1].

    Attributes
    ----------
    n_wide, n_local : int
        How many there are of each; papers call the first global.
    wide_scale, local_scale : pair of float
        Share of the picture's area that a box has.
    local_size : int
        Pixels of a side of the small ones; the large ones have the picture's size.
    turns : {"none", "flips", "any"}
        Whether views are mirrored, or mirrored and turned by quarters, too.

    References
    ----------
    [1] Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021.
    """

    n_wide: int = 2
    n_local: int = 6
    wide_scale: tuple[float, float] = (0.4, 1.0)
    local_scale: tuple[float, float] = (0.05, 0.4)
    local_size: int = 96
    turns: str = "none"

    def __call__(self, x: Float[Tensor, "b c h w"], generator: torch.Generator) -> Crops:
        """Draw all views of a batch, small ones by a generator of their own: their number moves no large one."""
        small = (self.local_size, self.local_size)
        local_generator = torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        wide = tuple(self._view(x, generator, self.wide_scale, None) for _ in range(self.n_wide))
        return Crops(wide, tuple(self._view(x, local_generator, self.local_scale, small) for _ in range(self.n_local)))

    def _view(
        self, x: Tensor, generator: torch.Generator, scale: tuple[float, float], size: tuple[int, int] | None
    ) -> Tensor:
        view = random_resized_crop(x, generator, scale, size=size)
        if self.turns != "none":
            view = random_flip(view, generator)
        return random_turn(view, generator) if self.turns == "any" else view


def blurred_features(std: Float[Tensor, " d"], noise: float, drop: float, mean: Float[Tensor, " d"]) -> Augment:
    """Views of features: normal noise of `noise` deviations, and a share `drop` of the features at their mean.

    Parameters
    ----------
    std, mean : Tensor (d,)
        Of each feature over the data.
    noise : float, >= 0
    drop : float in [0, 1]
    """

    def view(x: Tensor, generator: torch.Generator) -> Tensor:
        moved = x + noise * std.to(x) * torch.randn(x.shape, generator=generator).to(x)
        gone = (torch.rand(x.shape, generator=generator) < drop).to(x.device)
        return torch.where(gone, mean.to(x), moved)

    return view
