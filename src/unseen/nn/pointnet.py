"""PointNet: a classifier for clouds of points that does not mind their order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.build import builder
from unseen.nn.classifier import Classifier


class SharedMLP(nn.Module):
    """The same small network for every point, then the largest value of each channel over the points, (b, widths[-1]).

    Linear layers with BatchNorm (over all points of the batch) and ReLU; the widest is not rectified before the
    maximum, since that would only cut the maximum.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((3, *widths), widths):
            layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Float[Tensor, "b d"]:
        """Features (b, d) of clouds (b, p, 3)."""
        if x.ndim != 3 or x.shape[2] != 3:
            raise RuntimeError(f"clouds of points have the shape (b, p, 3); got {tuple(x.shape)}")
        each = self.layers(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return torch.relu(each.max(dim=1).values)


@builder("pointnet")
def pointnet(n_classes: int, widths: Sequence[int] = (64, 128, 256), bottleneck: int = 64) -> Classifier:
    """A classifier of clouds (b, p, 3) in SHOT's three parts, for any number of points [1].

    A perceptron that all points share and a maximum over them as backbone, Linear + BatchNorm as bottleneck, and a
    weight-normalised linear head. The paper's learnt alignments (T-Nets) are left out: clouds come upright.

    Parameters
    ----------
    n_classes : int
    widths : sequence of int
        Of the layers that points share; the last one is what the maximum is taken of. (64, 64, 64, 128, 1024) is the
        paper's.
    bottleneck : int
        Features that the head reads.

    References
    ----------
    [1] Qi, Su, Mo, Guibas, "PointNet: Deep Learning on Point Sets for 3D Classification and Segmentation", CVPR 2017.
    """
    if not widths or min(*widths, bottleneck, n_classes) < 1:
        raise ValueError(
            f"widths, bottleneck and n_classes must be at least 1; got {widths}, {bottleneck}, {n_classes}"
        )
    return Classifier(
        SharedMLP(tuple(widths)),
        nn.Sequential(nn.Linear(widths[-1], bottleneck), nn.BatchNorm1d(bottleneck)),
        nn.utils.parametrizations.weight_norm(nn.Linear(bottleneck, n_classes)),
    )
