"""What networks compute, and about how long training them takes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

SPEED = 3e10
"""Operations a second, as small transformers are trained on one core; an operation is a multiplication or addition."""
STEP = 0.02
"""Seconds of a step of training beside its operations: what is read and changed."""
LEARNT = 3
"""How many times a pass forward a step of training takes: as much again backward for the input, and for weights."""


def forward_operations(network: nn.Module, shape: Sequence[int]) -> float | None:
    """Operations of a pass forward on one sample of a shape, without computing it; None where that cannot be told.

    The samples have no values, so that a network which asks for them (`.item()`, NumPy) is not followed.
    """
    bare = copy.deepcopy(network).to("meta").eval()
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            bare(torch.zeros(1, *shape, device="meta"))
    except (RuntimeError, NotImplementedError):
        return None
    return float(counter.get_total_flops())


def transformer_operations(tokens: float, width: int, mlp: int, layers: int) -> float:
    """Operations of a pass forward through so many layers."""
    return layers * tokens * (2 * (4 * width**2 + 2 * width * mlp) + 4 * tokens * width)


def frame_operations(tower: Any) -> float:
    """Operations of a `VisionTower` on one picture."""
    width, (tall, wide) = tower.shape.width, tower.grid
    n = tall * wide + 1
    operations = 2 * (n - 1) * tower.patches.weight.numel()
    for block in tower.layers:
        inner = block.heads * block.head
        operations += 2 * n * (4 * width * inner + 2 * n * inner + 2 * width * block.mlp)
    return float(operations)


def training_seconds(operations: float, steps: int) -> float:
    """About how long a training of so many operations in so many steps takes on one core."""
    return operations / SPEED + STEP * steps
