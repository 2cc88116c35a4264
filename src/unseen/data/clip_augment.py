"""Random views of clips: one change for all frames of a clip, by the random numbers of a training run.

Each function takes clips (b, t, 3, h, w) and a generator. Two clips are mixed whole (Mixup) or box by box (CutMix).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unseen.data import augment

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
    b, t, c, tall, wide = x.shape
    height, width = (tall, wide) if size is None else size
    drawn = torch.tensor(tuple(scales))[torch.randint(len(scales), (2, b), generator=generator)]
    square = torch.tensor([1.0, 1.0] if size is None else [min(tall, wide) / wide, min(tall, wide) / tall])
    across, down = torch.rand(2, b, generator=generator)
    share = drawn * square[:, None]
    cut = augment.boxed(x.flatten(1, 2), share[0], share[1], across, down, (height, width))
    return cut.view(b, t, c, height, width)


def resized_crop(
    x: Float[Tensor, "b t c h w"], generator: torch.Generator, scale: tuple[float, float] = (0.5, 1.0)
) -> Float[Tensor, "b t c h w"]:
    """`unseen.data.augment.random_resized_crop` of clips: one box for all frames, brought to the size of the clip."""
    return augment.random_resized_crop(x.flatten(1, 2), generator, scale).view(x.shape)


def flip(x: Float[Tensor, "b t c h w"], generator: torch.Generator, share: float = 0.5) -> Float[Tensor, "b t c h w"]:
    """Mirror clips left to right, each with probability `share`: what moves left then moves right."""
    return augment.random_flip(x.flatten(1, 2), generator, share).view(x.shape)


def mirror_classes(names: Sequence[str]) -> Int[Tensor, " k"]:
    """What a clip of each class shows in a mirror: the class whose name says right for left, or the same class.

    Where a name says left or right and no class has the other name it is -1: such a clip is not to be mirrored.
    """
    other = {"left": "right", "right": "left"}
    word_lists = [tuple(re.findall(r"[^\W_]+", name.casefold())) for name in names]
    places = {words: i for i, words in enumerate(word_lists)}
    return torch.tensor([places.get(tuple(other.get(word, word) for word in words), -1) for words in word_lists])


def mirrored(
    x: Float[Tensor, "b t c h w"],
    y: Int[Tensor, " b"],
    classes: Int[Tensor, " k"],
    generator: torch.Generator,
    share: float = 0.5,
) -> tuple[Float[Tensor, "b t c h w"], Int[Tensor, " b"]]:
    """`flip`, and the classes of the clips that were mirrored (`mirror_classes`); those of class -1 stay."""
    seen = classes.to(y.device)[y]
    chosen = (torch.rand(len(x), generator=generator) < share).to(y.device) & (seen >= 0)
    return torch.where(chosen[:, None, None, None, None].to(x.device), x.flip(4), x), torch.where(chosen, seen, y)


def erased(
    x: Float[Tensor, "b t c h w"],
    generator: torch.Generator,
    share: float = 0.25,
    area: tuple[float, float] = (0.02, 1 / 3),
    ratio: tuple[float, float] = (0.3, 10 / 3),
) -> Float[Tensor, "b t c h w"]:
    """A box of each clip, the same in every frame, becomes its mean colour, each with probability `share` [1].

    It has `area` of the picture, and a height over width in `ratio`, uniform in its logarithm.

    References
    ----------
    [1] Zhong et al., "Random Erasing Data Augmentation", AAAI 2020.
    """
    b, _, _, height, width = x.shape
    u = torch.rand(5, b, generator=generator)
    covered = area[0] + (area[1] - area[0]) * u[1]
    shape = torch.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * u[2])
    rows, columns = (_span((covered * shape).sqrt(), height, u[3]), _span((covered / shape).sqrt(), width, u[4]))
    box = (rows[:, :, None] & columns[:, None] & (u[0] < share)[:, None, None]).to(x.device)
    return torch.where(box[:, None, None], x.mean(dim=(1, 3, 4), keepdim=True), x)


def _span(share: Float[Tensor, " b"], n: int, at: Float[Tensor, " b"]) -> Bool[Tensor, "b n"]:
    """Which of n places lie in a span of such a share of them, that begins early (0) or late (1)."""
    size = (share.clamp(max=1) * n).round().clamp(min=1)[:, None]
    start = (at[:, None] * (n - size + 1)).floor()
    places = torch.arange(n)
    return (places >= start) & (places < start + size)


def jitter(
    x: Float[Tensor, "b t c h w"],
    generator: torch.Generator,
    strength: float = 0.4,
    grey: float = 0.2,
    share: float = 1.0,
    hue: float = 0.0,
) -> Float[Tensor, "b t c h w"]:
    """`unseen.data.augment.jitter` of clips, whose frames stand one below the other as one picture.

    Changes are relative to the mean and the deviation of the clip. Clips that change, each with probability `share`,
    also turn their hues by up to the share `hue` of the circle.
    """
    if hue:
        changed = (torch.rand(len(x), generator=generator) < share).to(x.device)
        turn = hue * (2 * torch.rand(len(x), generator=generator) - 1)
        other = turned(jitter(x, generator, strength, 0.0), turn)
        return jitter(torch.where(changed[:, None, None, None, None], other, x), generator, 0.0, grey)
    b, t, c, h, w = x.shape
    tall = x.transpose(1, 2).reshape(b, c, t * h, w)
    return augment.jitter(tall, generator, strength, grey, share).view(b, c, t, h, w).transpose(1, 2)


def turned(x: Float[Tensor, "b t c h w"], share: Float[Tensor, " b"]) -> Float[Tensor, "b t c h w"]:
    """Turn the colours of each clip by its share of a circle, around the axis of greys, which stay."""
    angle = 2 * math.pi * share
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    turn = cos * torch.eye(3) + sin * cross + (1 - cos) / 3
    return torch.einsum("bij,btjhw->btihw", turn.to(x), x)


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
