"""What transformers compute, and about how long training them takes."""

from __future__ import annotations

from typing import Any

SPEED = 3e10
"""Operations a second, as small transformers are trained on one core; an operation is a multiplication or addition."""
STEP = 0.02
"""Seconds of a step of training beside its operations: what is read and changed."""
LEARNT = 3
"""How many times a pass forward a step of training takes: as much again backward for the input, and for weights."""


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
