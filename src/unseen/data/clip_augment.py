"""Random views of clips: one change for all frames of a clip, by the random numbers of a training run.

Each function takes clips (b, t, 3, h, w) and a generator. Two clips are mixed whole (Mixup) or box by box (CutMix).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

SCALES = (1.0, 0.875, 0.75, 0.66)
"""Shares of the side that a crop has, as X-CLIP and TSN draw them."""


def multi_scale_crop(
    x: Float[Tensor, "b t c h w"],
    generator: torch.Generator,
    scales: Sequence[float] = SCALES,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """A box of each clip, brought to a size, or to that of the clip: (b, t, 3, height, width).

    Its height and width are shares of the shorter side, drawn from `scales`.
    """
    b, _, _, tall, wide = x.shape
    drawn = torch.tensor(tuple(scales))[torch.randint(len(scales), (2, b), generator=generator)]
    square = torch.tensor([1.0, 1.0] if size is None else [min(tall, wide) / wide, min(tall, wide) / tall])
    return boxes(x, drawn * square[:, None], 2 * torch.rand(2, b, generator=generator) - 1, size)


def resized_crop(
    x: Float[Tensor, "b t c h w"],
    generator: torch.Generator,
    scale: tuple[float, float] = (0.5, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Float[Tensor, "b t c h w"]:
    """A box of each clip, the same in all its frames, brought to the size of the clip.

    Its area is a share of the clip's in `scale`, its width over its height lies in `ratio`, as far as it fits.
    """
    b, _, _, tall, wide = x.shape
    u = torch.rand(4, b, generator=generator)
    area = scale[0] + (scale[1] - scale[0]) * u[0]
    form = torch.exp(math.log(ratio[0]) + math.log(ratio[1] / ratio[0]) * u[1])
    shares = torch.stack([(area * form * tall / wide).sqrt(), (area / form * wide / tall).sqrt()]).clamp(max=1)
    return boxes(x, shares, 2 * u[2:] - 1)


def boxes(
    x: Float[Tensor, "b t c h w"],
    shares: Float[Tensor, "2 b"],
    place: Float[Tensor, "2 b"],
    size: tuple[int, int] | None = None,
) -> Float[Tensor, "b t c height width"]:
    """A box of each clip, brought to a size, or to that of the clip.

    Parameters
    ----------
    shares : Tensor (2, b)
        Of width and height.
    place : Tensor (2, b)
        From -1, at the left or the top, to 1.
    """
    b, t, c, tall, wide = x.shape
    height, width = (tall, wide) if size is None else size
    theta = torch.zeros(b, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = shares[0], shares[1]
    theta[:, 0, 2], theta[:, 1, 2] = (1 - shares[0]) * place[0], (1 - shares[1]) * place[1]
    grid = F.affine_grid(theta.to(x), [b, t * c, height, width], align_corners=False)
    cut = F.grid_sample(x.flatten(1, 2), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return cut.view(b, t, c, height, width)


def flip(x: Float[Tensor, "b t c h w"], generator: torch.Generator, share: float = 0.5) -> Float[Tensor, "b t c h w"]:
    """Mirror clips left to right, each with probability `share`: what moves left then moves right."""
    chosen = (torch.rand(len(x), generator=generator) < share).to(x.device)
    return torch.where(chosen[:, None, None, None, None], x.flip(4), x)


def jitter(
    x: Float[Tensor, "b t c h w"],
    generator: torch.Generator,
    strength: float = 0.4,
    grey: float = 0.2,
    share: float = 1.0,
    hue: float = 0.0,
) -> Float[Tensor, "b t c h w"]:
    """Change brightness, contrast and saturation by up to `strength`; with probability `grey` all colour goes.

    Hues turn by up to the share `hue` of the circle. A clip is changed with probability `share`. Changes are relative
    to the mean and the deviation of the clip, since values may be normalized.
    """
    draw = (2 * torch.rand(3, len(x), generator=generator) - 1) * strength
    changed = torch.rand(len(x), generator=generator) < share
    draw = draw * changed
    gone = torch.rand(len(x), generator=generator) < grey
    bright, contrast, colour = (part[:, None, None, None, None].to(x) for part in draw)
    mean, std = x.mean(dim=(1, 2, 3, 4), keepdim=True), x.std(dim=(1, 2, 3, 4), keepdim=True)
    x = mean + (x - mean) * (1 + contrast) + bright * std
    base = x.mean(dim=2, keepdim=True)
    keep = torch.where(gone[:, None, None, None, None].to(x.device), torch.zeros_like(colour), 1 + colour)
    x = base + (x - base) * keep
    if hue == 0:
        return x
    return turned(x, hue * changed * (2 * torch.rand(len(x), generator=generator) - 1))


def turned(x: Float[Tensor, "b t c h w"], share: Float[Tensor, " b"]) -> Float[Tensor, "b t c h w"]:
    """Turn the colours of each clip by its share of a circle, around the axis of greys, which stay."""
    angle = 2 * math.pi * share
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    turn = cos * torch.eye(3) + sin * cross + (1 - cos) / 3
    return torch.einsum("bij,btjhw->btihw", turn.to(x), x)


def smoothed(y: Int[Tensor, " b"], n_classes: int, eps: float = 0.1) -> Float[Tensor, "b k"]:
    """Targets 1 - eps + eps / k of the own class, eps / k of the others; rows sum to 1."""
    targets = torch.full((len(y), n_classes), eps / n_classes, device=y.device)
    targets[torch.arange(len(y), device=y.device), y] += 1 - eps
    return targets


def mixup(
    x: Float[Tensor, "b t c h w"], targets: Float[Tensor, "b k"], alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Clips l x + (1 - l) x' with targets alike; x' is the batch in reverse order, l from Beta(alpha, alpha)."""
    share = beta(alpha, generator)
    return share * x + (1 - share) * x.flip(0), share * targets + (1 - share) * targets.flip(0)


def cutmix(
    x: Float[Tensor, "b t c h w"], targets: Float[Tensor, "b k"], alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A box of each clip, the same in every frame, is that of another clip; targets by the area that is left.

    The box has the share 1 - l of the area, l from Beta(alpha, alpha), around a place drawn uniformly; what lies beyond
    the picture is cut off, and l is recomputed from what remains of it.
    """
    height, width = x.shape[-2:]
    side = math.sqrt(1 - beta(alpha, generator))
    tall, wide = int(side * height), int(side * width)
    row, column = (int(torch.randint(n, (1,), generator=generator)) for n in (height, width))
    top, bottom = max(row - tall // 2, 0), min(row + tall // 2, height)
    left, right = max(column - wide // 2, 0), min(column + wide // 2, width)
    mixed = x.clone()
    mixed[..., top:bottom, left:right] = x.flip(0)[..., top:bottom, left:right]
    share = 1 - (bottom - top) * (right - left) / (height * width)
    return mixed, share * targets + (1 - share) * targets.flip(0)


def beta(alpha: float, generator: torch.Generator) -> float:
    """A draw from Beta(alpha, alpha)."""
    with_own = torch._standard_gamma(torch.full((2,), float(alpha), dtype=torch.float64), generator=generator)
    return float(with_own[0] / with_own.sum().clamp(min=1e-300))
