"""Two labelled pictures cut into one: by patches or by classes; and the many crops of one picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unseen.nn.bn_statistics import batch_norms

Mixed = tuple[Tensor, Tensor, Tensor]
"""Pictures (b, c, h, w), classes (b, h, w) and weights (b, h, w) of their pixels."""


def random_crops(
    pictures: Sequence[Float[Tensor, "c g k"]],
    n: int,
    size: tuple[int, int],
    generator: torch.Generator,
    *,
    scale: tuple[float, float] = (0.5, 1.0),
) -> Float[Tensor, "n c h w"]:
    """`n` crops of some pictures, each a random share `scale` of the sides of one, brought to a size and flipped."""
    crops = []
    for which in torch.randint(len(pictures), (n,), generator=generator).tolist():
        x = pictures[which]
        share = scale[0] + (scale[1] - scale[0]) * float(torch.rand(1, generator=generator))
        height, width = (max(2, min(side, round(side * share))) for side in x.shape[-2:])
        top = int(torch.randint(x.shape[-2] - height + 1, (1,), generator=generator))
        left = int(torch.randint(x.shape[-1] - width + 1, (1,), generator=generator))
        part = x[None, :, top : top + height, left : left + width]
        part = F.interpolate(part, size, mode="bilinear", align_corners=False, antialias=False)[0]
        crops.append(part.flip(-1) if bool(torch.rand(1, generator=generator) < 0.5) else part)
    return torch.stack(crops)


@torch.no_grad()
def measure_norms(
    network: nn.Module, pictures: Sequence[Tensor], generator: torch.Generator, *, batches: int = 4, size: int = 16
) -> None:
    """Let BatchNorm layers forget what they remember and measure random crops of some pictures, in place (AdaBN)."""
    sides = (int(pictures[0].shape[-2]), int(pictures[0].shape[-1]))
    layers = batch_norms(network)
    kept = {name: layer.momentum for name, layer in layers.items()}
    network.eval()
    for layer in layers.values():
        layer.reset_running_stats()  # type: ignore[operator]
        layer.momentum = None  # type: ignore[assignment]  # a mean over all batches
        layer.train()
    for _ in range(batches if layers else 0):
        network(random_crops(pictures, size, sides, generator, scale=(0.7, 1.0)))
    for name, layer in layers.items():
        layer.momentum = kept[name]
        layer.eval()


def patch_mix(
    x_s: Float[Tensor, "b c h w"],
    y_s: Int[Tensor, "b h w"],
    x_t: Float[Tensor, "b c h w"],
    y_t: Int[Tensor, "b h w"],
    w_t: Float[Tensor, "b h w"],
    grid: int,
    generator: torch.Generator,
    *,
    share: float = 0.5,
) -> tuple[Tensor, Tensor, Tensor, Bool[Tensor, "b h w"]]:
    """Pictures of which random patches are random crops of others, with their classes and weights.

    Parameters
    ----------
    x_s, y_s : Tensor
        Labelled pictures and their classes; each pixel weighs 1.
    x_t, y_t, w_t : Tensor
        Other pictures, what they are held for, and how much that weighs.
    grid : int
        Patches along each side.
    share : float
        Of the patches of a picture that are replaced, rounded.

    Returns
    -------
    (pictures, classes, weights, which pixels are of the others)
    """
    b, _, h, w = x_s.shape
    x, y = x_s.clone(), y_s.clone()
    weight, replaced = torch.ones_like(w_t), torch.zeros_like(y_s, dtype=torch.bool)
    rows, columns = ([round(side * i / grid) for i in range(grid + 1)] for side in (h, w))
    n = round(share * grid * grid)
    for i in range(b):
        for cell in torch.randperm(grid * grid, generator=generator)[:n].tolist():
            top, bottom = rows[cell // grid], rows[cell // grid + 1]
            left, right = columns[cell % grid], columns[cell % grid + 1]
            t = int(torch.randint(h - (bottom - top) + 1, (1,), generator=generator))
            s = int(torch.randint(w - (right - left) + 1, (1,), generator=generator))
            here = (i, slice(top, bottom), slice(left, right))
            there = (i, slice(t, t + bottom - top), slice(s, s + right - left))
            x[i, :, top:bottom, left:right] = x_t[i, :, t : t + bottom - top, s : s + right - left]
            y[here], weight[here], replaced[here] = y_t[there], w_t[there], True
    return x, y, weight, replaced


def class_mix(
    x_s: Float[Tensor, "b c h w"],
    y_s: Int[Tensor, "b h w"],
    x_t: Float[Tensor, "b c h w"],
    y_t: Int[Tensor, "b h w"],
    w_t: Float[Tensor, "b h w"],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor, Bool[Tensor, "b h w"]]:
    """Others onto which half of the classes of each labelled picture are pasted (ClassMix, as DACS uses it)."""
    kept = torch.zeros_like(y_s, dtype=torch.bool)
    for i in range(len(y_s)):
        classes = torch.unique(y_s[i][y_s[i] >= 0])
        half = classes[torch.randperm(len(classes), generator=generator)[: (len(classes) + 1) // 2]]
        kept[i] = torch.isin(y_s[i], half)
    x = torch.where(kept[:, None], x_s, x_t)
    return x, torch.where(kept, y_s, y_t), torch.where(kept, torch.ones_like(w_t), w_t), ~kept


@torch.no_grad()
def pseudo_labels(
    logits: Float[Tensor, "b n h w"], confidence: float, *, per_picture: bool = False
) -> tuple[Int[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """The likeliest class of every pixel, and what it weighs: 1 where its probability is at least `confidence`, else 0.

    `per_picture` gives every pixel of a picture the share of its pixels that are so sure (DACS).
    """
    highest, y = torch.softmax(logits, dim=1).max(dim=1)
    sure = (highest >= confidence).to(logits.dtype)
    return y, sure.mean(dim=(1, 2), keepdim=True).expand_as(sure) if per_picture else sure
