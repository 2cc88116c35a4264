"""Inheritance in open_clip's ResNets: stages keep some blocks, streams and blocks some channels (spec step B4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from unseen.nn.build import Recipe, rebuild, recipe_of
from unseen.nn.pruning import Index, rows_of_heads, slice_linear, slice_norm

Select = Callable[[Tensor, int], Index]
STAGES = ("layer1", "layer2", "layer3", "layer4")


def is_resnet(network: nn.Module) -> bool:
    """Whether it is one of open_clip's: stages, then a pool by attention."""
    return all(hasattr(network, name) for name in (*STAGES, "attnpool"))


def resnet_like(teacher: nn.Module, width: int, layers: tuple[int, ...]) -> Any:
    """One of another width and depth, with fresh weights and heads as wide as the teacher's."""
    recipe = recipe_of(teacher)
    config = {**recipe.args["config"], "width": width, "layers": layers}
    return rebuild(Recipe(recipe.builder, {**recipe.args, "config": config}))


def width_of(network: Any) -> int:
    """Channels of its first stage."""
    return int(network.conv3.out_channels)


def depths_of(network: Any) -> tuple[int, ...]:
    """Blocks of each stage."""
    return tuple(len(getattr(network, stage)) for stage in STAGES)


@torch.no_grad()
def inherit_resnet(student: Any, teacher: Any, select: Select, depth: Callable[[int, int], tuple[int, ...]]) -> None:
    """Copy slices of every convolution, of its BatchNorm with the statistics, and of the pool by attention."""
    if width_of(student) > width_of(teacher) or any(a > b for a, b in zip(depths_of(student), depths_of(teacher))):
        raise ValueError(
            f"image: a student must be no larger than its teacher, width {width_of(teacher)} and stages of "
            f"{depths_of(teacher)}; got {width_of(student)} and {depths_of(student)}"
        )
    if student.attnpool.c_proj.out_features > teacher.attnpool.c_proj.out_features:
        raise ValueError("image: a student's shared space must be no wider than its teacher's")
    stream = torch.arange(3)
    for i in (1, 2, 3):
        stream = _convolution(student, teacher, f"conv{i}", f"bn{i}", stream, select)
    for stage in STAGES:
        into, of = getattr(student, stage), getattr(teacher, stage)
        outgoing = select(sum(block.bn3.weight.abs() for block in of), into[0].conv3.out_channels)
        for block, source in zip(into, depth(len(of), len(into))):
            _bottleneck(block, of[source], stream, outgoing, select)
            stream = outgoing
    _pool(student.attnpool, teacher.attnpool, stream, select)


def _convolution(into: Any, of: Any, conv: str, norm: str, incoming: Index, select: Select) -> Index:
    """Copy one convolution with its norm; return which channels it gives."""
    small, large = getattr(into, conv), getattr(of, conv)
    channels = select(large.weight.abs().flatten(1).sum(dim=1), small.out_channels)
    small.weight.copy_(large.weight[channels][:, incoming])
    slice_norm(getattr(into, norm), getattr(of, norm), channels)
    return channels


def _bottleneck(into: Any, of: Any, incoming: Index, outgoing: Index, select: Select) -> None:
    inner = _convolution(into, of, "conv1", "bn1", incoming, select)
    inner = _convolution(into, of, "conv2", "bn2", inner, select)
    into.conv3.weight.copy_(of.conv3.weight[outgoing][:, inner])
    slice_norm(into.bn3, of.bn3, outgoing)
    if into.downsample is not None and of.downsample is not None:
        *_, conv, norm = into.downsample
        *_, large, large_norm = of.downsample
        conv.weight.copy_(large.weight[outgoing][:, incoming])
        slice_norm(norm, large_norm, outgoing)


def _pool(into: Any, of: Any, stream: Index, select: Select) -> None:
    """q, k and v are layers of their own here; whole heads are taken of each."""
    head = of.q_proj.out_features // of.num_heads
    importance = of.c_proj.weight.abs().sum(dim=0).view(of.num_heads, head).sum(dim=1)
    rows = rows_of_heads(select(importance, into.num_heads), head, of.num_heads, parts=1)
    for name in ("q_proj", "k_proj", "v_proj"):
        slice_linear(getattr(into, name), getattr(of, name), rows, stream)
    slice_linear(into.c_proj, of.c_proj, torch.arange(into.c_proj.out_features), rows)
    into.positional_embedding.copy_(of.positional_embedding[:, stream])
