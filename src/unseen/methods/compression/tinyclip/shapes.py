"""What a student of a given size looks like: width and depth shrink about alike, in both towers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn

from unseen.methods.compression.tinyclip.inheritance import on_meta
from unseen.methods.compression.tinyclip.resnets import depths_of, is_resnet, resnet_like, width_of
from unseen.nn.build import n_parameters
from unseen.nn.towers import Shape, reshaped, size_in

STEPS = 32
"""Widths between nothing and the teacher's that are tried."""
ALIKE = math.log(1.6)
"""Largest logarithm of the ratio of the shares of width and depth that are kept, where such a student fits."""


class Plan(NamedTuple):
    """How wide and how deep a tower is: channels and layers (for a ResNet: blocks of each stage)."""

    width: int
    layers: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.width} x {'+'.join(map(str, self.layers))}"


def plan_of(tower: Any) -> Plan:
    """Of a tower as it is."""
    if is_resnet(tower):
        return Plan(width_of(tower), depths_of(tower))
    return Plan(tower.shape.width, (tower.shape.layers,))


def made(tower: Any, plan: Plan) -> nn.Module:
    """A tower like another, in this plan, with fresh weights."""
    if is_resnet(tower):
        return resnet_like(tower, plan.width, plan.layers)
    return reshaped(tower, _shape(tower.shape, plan))


def _shape(whole: Shape, plan: Plan) -> Shape:
    """Heads and hidden units shrink as the width does."""
    (layers,), share = plan.layers, plan.width / whole.width
    heads, mlp = (max(1, round(max(sizes) * share)) for sizes in (whole.heads, whole.mlp))
    return Shape(plan.width, whole.head, (heads,) * layers, (mlp,) * layers)


def planned(tower: Any, width: float, depth: float) -> Plan:
    """These shares of a tower's width and depth, at least one channel step and one layer."""
    whole = plan_of(tower)
    step = max(2, whole.width // STEPS)
    channels = min(max(step, round(width * whole.width / step) * step), whole.width)
    return Plan(channels, tuple(max(1, round(depth * layers)) for layers in whole.layers))


def smallest(image: Any, text: Any) -> int:
    """Parameters of the smallest student."""
    return sum(_size(tower, planned(tower, 0, 0)) for tower in (image, text))


def within(small: Plan, large: Plan) -> bool:
    """Whether a tower of one plan can be cut from one of another."""
    return small.width <= large.width and all(a <= b for a, b in zip(small.layers, large.layers))


def fitting(image: Any, text: Any, most: int, least: tuple[Plan, Plan] | None = None) -> tuple[Plan, Plan]:
    """The largest students of both towers with at most so many parameters together, shrunk about alike.

    Parameters
    ----------
    image, text : nn.Module
        The large towers.
    most : int
        Parameters.
    least : tuple of Plan, optional
        What must still be cut from these students: the plans of the stage after.

    Raises
    ------
    ValueError
        If even the smallest has more.
    """
    candidates: list[tuple[bool, int, tuple[Plan, Plan]]] = []
    sizes: dict[tuple[int, Plan], int] = {}
    for width, depth in _shares(image, text):
        plans = planned(image, width, depth), planned(text, width, depth)
        if least and not all(map(within, least, plans)):
            continue
        total = 0
        for i, (tower, plan) in enumerate(zip((image, text), plans)):
            if (i, plan) not in sizes:
                sizes[i, plan] = _size(tower, plan)
            total += sizes[i, plan]
        if total <= most:
            candidates.append((abs(math.log(width / depth)) <= ALIKE, total, plans))
    if not candidates:
        raise ValueError(f"{most:,} parameters are fewer than the smallest student has, {smallest(image, text):,}")
    return max(candidates, key=lambda candidate: candidate[:2])[2]


def _shares(image: Any, text: Any) -> Iterator[tuple[float, float]]:
    """Shares of width and depth that make a difference to one tower at least."""
    deepest = max(max(plan_of(tower).layers) for tower in (image, text))
    widths = [(i + 1) / STEPS for i in range(STEPS)]
    return itertools.product(widths, [(i + 1) / deepest for i in range(deepest)])


def _size(tower: Any, plan: Plan) -> int:
    if is_resnet(tower):
        return n_parameters(on_meta(lambda: made(tower, plan)))
    return size_in(tower, _shape(tower.shape, plan))
