"""The loss of LightGlue [1]: minus the log of the assignment that truth gives, on every layer.

[1] Lindenberger et al., "LightGlue: Local Feature Matching at Light Speed", ICCV 2023, section 3.3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.homographies import apply, through
from unseen.nn.xfeat import Features

NEAR, FAR = 3.0, 5.0
"""Pixels within which points belong together, and beyond which a point has no partner; between, nothing is said."""


class Assignment(NamedTuple):
    """Indices of points that belong together, (k, 2), and of points of either side that have no partner."""

    pairs: Tensor
    alone: tuple[Tensor, Tensor]


def assignment(first: NDArray[Any], second: NDArray[Any], rows: NDArray[Any]) -> Assignment:
    """Who belongs to whom: mutual nearest by the homography that truth follows, within `NEAR` pixels both ways.

    Parameters
    ----------
    first, second : arrays (m, 2) and (n, 2)
        Points of both pictures.
    rows : array (k, 4), k >= 4
        Points of the first picture and where they lie in the second.
    """
    matrix = through(rows[:, :2], rows[:, 2:])
    there, back = apply(matrix, first), apply(np.linalg.inv(matrix), second)
    ahead = np.linalg.norm(there[:, None] - second[None], axis=2)
    distance = np.maximum(ahead, np.linalg.norm(first[:, None] - back[None], axis=2))
    distance = np.nan_to_num(distance, nan=np.inf)
    to, fro = distance.argmin(axis=1), distance.argmin(axis=0)
    index = np.arange(len(first))
    good = (fro[to] == index) & (distance[index, to] < NEAR)
    pairs = np.column_stack([index[good], to[good]])
    alone = [np.flatnonzero(distance.min(axis=axis) > FAR) for axis in (1, 0)]
    return Assignment(torch.from_numpy(pairs), (torch.from_numpy(alone[0]), torch.from_numpy(alone[1])))


def glue_loss(
    network: Any, first: Features, second: Features, size: tuple[int, int], truth: Assignment
) -> Float[Tensor, ""]:
    """Mean over layers of the balanced loss: half for points that belong together, a quarter for those alone on a side.

    Parameters
    ----------
    network : LightGlue of kornia
    size : tuple
        Width and height of both pictures.
    """
    middle, half = first.points.new_tensor(size) / 2, max(size) / 2
    codes = [network.posenc(((side.points - middle) / half)[None]) for side in (first, second)]
    a, b = (network.input_proj(side.descriptors[None].detach()) for side in (first, second))
    losses = []
    for layer, assign in zip(network.transformers, network.log_assignment):
        a, b = layer(a, b, *codes)
        scores = assign(a, b)[0][0]
        together = scores[truth.pairs[:, 0], truth.pairs[:, 1]]
        parts = [(0.5, together), (0.25, scores[truth.alone[0], -1]), (0.25, scores[-1, truth.alone[1]])]
        losses.append(-torch.stack([weight * part.mean() for weight, part in parts if len(part)]).sum())
    return torch.stack(losses).mean()
