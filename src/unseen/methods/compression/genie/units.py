"""Steps 11 and 13: what is reconstructed at a time, and which bits weights and inputs get."""

import contextlib
from collections.abc import Collection, Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from unseen.nn.network_io import Output
from unseen.nn.quantizers import FLOAT, Layer

BLOCKS = frozenset(
    {
        "BasicBlock",
        "Bottleneck",
        "BottleneckBlock",
        "InvertedResidual",
        "DepthwiseSeparableConv",
        "EdgeResidual",
        "CondConvResidual",
        "UniversalInvertedResidual",
        "MBConv",
        "FusedMBConv",
        "ConvBlock",
        "ConvBnAct",
        "ResBottleneckBlock",
    }
)
"""Classes of residual blocks of timm and torchvision."""
EDGE_BITS = 8
"""Bits of the first and of the last layer."""

Setting = Literal["brecq", "qdrop"]


class Unit(NamedTuple):
    """A block or a layer: its name, its layers, where inputs are rounded, and how often a forward pass calls it."""

    name: str
    layers: tuple[str, ...]
    inputs: dict[str, int]
    calls: int


class Plan(NamedTuple):
    """Units in the order of a forward pass, and bits of the weights of all layers."""

    units: tuple[Unit, ...]
    weight_bits: dict[str, int]

    @property
    def input_bits(self) -> dict[str, int]:
        """Bits of every module whose input is rounded."""
        return {name: bits for unit in self.units for name, bits in unit.inputs.items()}


def blocks_of(network: nn.Module, classes: Collection[str] = ()) -> dict[str, nn.Module]:
    """Modules of the known classes, or of those named, by name; what lies inside another one is left out."""
    wanted = BLOCKS | set(classes)
    blocks: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        inside = any(name.startswith(f"{block}.") for block in blocks)
        if name and not inside and type(module).__name__ in wanted and any(True for _ in _layers(module)):
            blocks[name] = module
    return blocks


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    return (inner for inner in module.modules() if isinstance(inner, Layer))


class _Call(NamedTuple):
    """A module was called with this tensor, in this version of it: changed in place it is another one."""

    name: str
    tensor: Tensor
    version: int


@contextlib.contextmanager
def _traced(modules: dict[str, nn.Module]) -> Iterator[list[_Call]]:
    """Note the calls of modules while the block runs."""
    calls: list[_Call] = []

    def watch(name: str, module: nn.Module) -> Any:
        def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            calls.append(_Call(name, inputs[0], inputs[0]._version))

        return module.register_forward_pre_hook(note)

    handles = [watch(name, module) for name, module in modules.items()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def plan(
    network: nn.Module,
    layers: dict[str, Layer],
    x: Tensor,
    output: Output,
    weight_bits: int,
    activation_bits: int,
    *,
    setting: Setting = "brecq",
    classes: Collection[str] = (),
) -> Plan:
    """Units of a network and their bits, from one forward pass.

    The first layer has weights of 8 bits and reads floats, the last one has 8 bits for both, and in the setting of
    BRECQ what enters the second layer has 8, too. Weights and inputs for which 32 bits are asked for stay float.

    Parameters
    ----------
    network : Module
        Changed only while it runs.
    layers : dict of name to layer
        Those that are quantized.
    x : Tensor (1, ...)
    output : callable
        How the network reads a batch.
    weight_bits, activation_bits : int
    setting : {"brecq", "qdrop"}
    classes : collection of str
        Names of further classes of blocks.
    """
    blocks = blocks_of(network, classes)
    with _traced({**blocks, **layers}) as calls:
        output(network, x)
    order = list(dict.fromkeys(call.name for call in calls if call.name in layers))
    read = {call.name: (id(call.tensor), call.version) for call in reversed(calls)}  # by the first call of each
    times = {name: sum(call.name == name for call in calls) for name in read}
    grouped: dict[str, list[str]] = {}
    for name in order:
        owner = next((block for block in blocks if name.startswith(f"{block}.")), name)
        grouped.setdefault(owner, []).append(name)
    bits = _input_bits(order, activation_bits, setting)
    units = []
    for owner, names in grouped.items():
        inputs = {name: bits[name] for name in names}
        shared = [name for name in names if read[name] == read[owner]]
        if owner in blocks and shared and not isinstance(blocks[owner], nn.Sequential):
            # Two readers of one tensor share a quantizer: what the block reads is rounded, for its shortcut as well.
            inputs = {owner: bits[shared[0]]} | {name: bits[name] for name in names if name not in shared}
        units.append(Unit(owner, tuple(names), {n: k for n, k in inputs.items() if k != FLOAT}, times[owner]))
    edges = {order[0], order[-1]}
    wanted = {name: max(EDGE_BITS, weight_bits) if name in edges else weight_bits for name in layers}
    return Plan(tuple(units), {name: k for name, k in wanted.items() if k != FLOAT})


def _input_bits(order: list[str], activation_bits: int, setting: Setting) -> dict[str, int]:
    """Bits of what enters each layer, in the order of the layers' calls."""
    bits = dict.fromkeys(order, activation_bits)
    if setting == "brecq" and len(order) > 1:
        bits[order[1]] = max(EDGE_BITS, activation_bits)
    bits[order[-1]] = max(EDGE_BITS, activation_bits)
    return bits | {order[0]: FLOAT}
