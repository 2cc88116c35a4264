"""Manual weight inheritance: a smaller pair of towers starts with some of the teacher's weights (spec step B)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from unseen.methods.compression.tinyclip.resnets import inherit_resnet, is_resnet
from unseen.nn.pruning import SELECTIONS, Kept, channel_importance, copy_kept, head_importance, unit_importance
from unseen.nn.towers import PrunableTower

Selection = Literal["leading", "uniform", "importance"]
Depth = Literal["interval_front", "even"]
Towers = TypeVar("Towers", bound=nn.Module)


def interval_front(of: int, to: int) -> tuple[int, ...]:
    """Layers 0, step, 2 step, ... with step = floor(of / to), as in the released code: 12 to 9 gives the first nine."""
    return tuple(i * (of // to) for i in range(to))


def even(of: int, to: int) -> tuple[int, ...]:
    """Layers as evenly spaced as can be, the first and the last among them."""
    return tuple(round(i * (of - 1) / max(to - 1, 1)) for i in range(to))


DEPTHS: dict[str, Callable[[int, int], tuple[int, ...]]] = {"interval_front": interval_front, "even": even}


def inherit_weights(
    student: Towers, teacher: nn.Module, mode: Selection = "leading", depth: Depth = "interval_front"
) -> Towers:
    """Let two towers (or one) begin with weights of larger ones of their kind.

    Parameters
    ----------
    student, teacher : nn.Module
        Two towers with `image`, `text` and `logit_scale`, or a single tower: transformers (`unseen.nn.towers`) or
        open_clip's ResNets.
    mode : {"leading", "uniform", "importance"}
        Which channels, heads and hidden units are taken: the first, as in the released code; every (n / k)-th; or those
        with the largest sum of absolute weights. Heads are taken whole, within each of q, k and v.
    depth : {"interval_front", "even"}
        Which layers (in a ResNet of each stage).

    Returns
    -------
    nn.Module
        The student, changed in place.

    Raises
    ------
    ValueError
        If the student is larger than the teacher somewhere, or heads are of unlike widths.
    TypeError
        If a tower is of another kind.
    """
    for name, value, known in (("mode", mode, SELECTIONS), ("depth", depth, DEPTHS)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
    if hasattr(student, "encode_image"):
        both: Any = (student, teacher)
        for side in ("image", "text"):
            _inherit(getattr(both[0], side), getattr(both[1], side), mode, depth, side)
        both[0].logit_scale.data.copy_(both[1].logit_scale.data)
    else:
        _inherit(student, teacher, mode, depth, "student")
    return student


def _inherit(student: nn.Module, teacher: nn.Module, mode: str, depth: str, side: str) -> None:
    if is_resnet(student) and is_resnet(teacher):
        inherit_resnet(student, teacher, SELECTIONS[mode], DEPTHS[depth])
    elif isinstance(student, PrunableTower) and type(student) is type(teacher):
        copy_kept(student, teacher, kept_of(student, teacher, mode, depth, side))
    else:
        kinds = f"{type(student).__name__} and {type(teacher).__name__}"
        raise TypeError(f"{side}: towers must be transformers of one kind, or open_clip's ResNets; got {kinds}")


def kept_of(student: PrunableTower, teacher: PrunableTower, mode: str, depth: str, side: str = "student") -> Kept:
    """What of the teacher's weights a student of that shape takes."""
    into, of = student.shape, teacher.shape
    if into.head != of.head:
        raise ValueError(f"{side}: heads must be as wide as the teacher's, {of.head}; got {into.head}")
    if into.width > of.width or into.layers > of.layers or student.dim > teacher.dim:
        raise ValueError(
            f"{side}: a student must be no larger than its teacher, {of.layers} layers of {of.width} channels into "
            f"{teacher.dim} dimensions; got {into.layers} of {into.width} into {student.dim}"
        )
    select, layers = SELECTIONS[mode], DEPTHS[depth](of.layers, into.layers)
    blocks: list[Any] = [teacher.blocks[layer] for layer in layers]
    for layer, block, heads, mlp in zip(layers, blocks, into.heads, into.mlp):
        if heads > block.heads or mlp > block.mlp:
            raise ValueError(
                f"{side}: layer {layer} of the teacher has {block.heads} heads and {block.mlp} hidden units; "
                f"the student wants {heads} and {mlp}"
            )
    return Kept(
        layers,
        select(channel_importance(teacher), into.width),
        [select(head_importance(block), heads) for block, heads in zip(blocks, into.heads)],
        [select(unit_importance(block), mlp) for block, mlp in zip(blocks, into.mlp)],
    )


def on_meta(make: Callable[[], nn.Module]) -> nn.Module:
    """A network without its weights: for its size."""
    with torch.device("meta"):
        return make()
